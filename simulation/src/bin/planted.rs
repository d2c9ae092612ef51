//! Plants one bug after the other and shows how soon the simulation notices each. One that is not
//! noticed within its time fails the run: then the simulation is too weak.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use protocol::planted::{BUGS, plant};
use simulation::{cores, search};

/// Shows that the simulation notices what is wrong.
#[derive(Parser)]
struct Arguments {
    /// Those whose names contain this alone.
    filter: Option<String>,
    /// How long each is searched for.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[expect(clippy::print_stdout, reason = "it is a program for people")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (mut planted, mut caught) = (0, 0);
    println!("{:<24} {:>7} {:>6}  what broke", "bug", "seed", "s");
    for (_, name, takes_out) in BUGS {
        let is_asked = arguments.filter.as_ref().is_none_or(|f| name.contains(f));
        if !is_asked || !plant(name) {
            continue;
        }
        planted += 1;
        let started = Instant::now();
        let is_late = || started.elapsed().as_secs() >= arguments.seconds;
        let found = search((1, u64::MAX), cores(), is_late);
        let took = started.elapsed().as_secs_f64();
        match found.failed {
            Some((seed, broken)) => {
                caught += 1;
                let mut what = format!("{}: {}", broken.rule, broken.what);
                if let Some((at, _)) = what.char_indices().nth(110) {
                    what.truncate(at);
                }
                println!("{name:<24} {seed:>7} {took:>6.1}  {what}");
            }
            None => println!("{name:<24}       - {took:>6.1}  NOT CAUGHT: {takes_out}"),
        }
    }
    println!("{caught} of {planted} planted bugs were caught");
    match caught == planted && planted > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
