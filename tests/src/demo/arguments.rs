//! What `./x demo` can be told.

use std::path::PathBuf;

use clap::Parser;

/// Submits invoices to a system of its own, kills its leader and one of its workers on the way, and
/// shows from the records that each invoice was done once, one of each market at a time.
#[derive(Debug, Clone, Parser)]
#[command(name = "demo")]
pub struct Arguments {
    /// Submit the .xml files of this folder instead of made-up invoices.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["count", "markets", "wrong_percent"])]
    pub invoices: Option<PathBuf>,

    /// How many invoices to make up.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    pub count: u64,

    /// In how many markets their sellers are, 1 to 16.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub markets: u8,

    /// How many of a hundred have one amount off.
    #[arg(long, value_name = "PERCENT", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub wrong_percent: u8,

    /// Another seed makes other invoices, and other repeats of them.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// How long the invoices should last, about: each check is drawn out to fit.
    #[arg(long, value_name = "SECONDS", default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,

    /// Keep the folder with the server's store, the logs and the workers' records.
    #[arg(long)]
    pub keep: bool,

    /// The nats-server program [default: PATH, then .tools/].
    #[arg(long, env = "NATS_SERVER_BIN", value_name = "FILE")]
    pub nats_server: Option<PathBuf>,
}
