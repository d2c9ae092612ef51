//! The demo as a user runs it: what it exits with and what its last line says.

use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tests::wait::within;
use tokio::process::Command;

/// How long one demo may take on a busy machine.
const DEMO_WITHIN: Duration = Duration::from_secs(240);

async fn demo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command
        .args(arguments)
        .env(
            "NATS_SERVER_BIN",
            tests::program::nats_server().expect("a nats-server"),
        )
        .kill_on_drop(true);
    within("the demo to end", DEMO_WITHIN, command.output())
        .await
        .expect("it ends")
        .expect("it starts")
}

/// The figures of a demo that has shown what it should.
#[track_caller]
fn figures(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}\n{stdout}");
    let last = stdout.lines().last().unwrap_or_default();
    let figures = last.strip_prefix("SUMMARY ").expect("the last line");
    let figures: Value = serde_json::from_str(figures).expect("JSON");
    for zero in ["lost", "completed_twice", "key_overlaps"] {
        assert_eq!(figures[zero], 0, "{zero}: {stdout}");
    }
    assert_eq!(figures["leader_kills"], 1, "{stdout}");
    assert_eq!(figures["worker_kills"], 1, "{stdout}");
    assert!(figures["executed_twice"].as_u64() >= Some(1), "{stdout}");
    figures
}

#[tokio::test]
async fn made_up_invoices_are_done_once_though_a_leader_and_a_worker_are_killed() {
    let output = demo(&["--count", "300", "--markets", "5", "--seconds", "6"]).await;
    let figures = figures(&output);
    let of = |name: &str| figures[name].as_u64().unwrap();
    assert_eq!(of("accepted"), 300);
    assert_eq!(of("completed") + of("discarded"), 300);
    assert!(of("discarded") > 0 && of("duplicates_refused") > 0 && of("conflicts_refused") > 0);
    assert_eq!(
        of("submitted"),
        300 + of("duplicates_refused") + of("conflicts_refused")
    );
    // A keyed job waits until its former worker has surely given it up; one that was not announced
    // yet waits for its lease of 30 s.
    assert!((2_000..40_000).contains(&of("rescue_ms")), "{figures}");
}

#[tokio::test]
async fn the_official_invoices_end_with_each_verdict() {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let Some(folder) = variable("UBL_SAMPLES") else {
        assert!(
            variable("CI").is_none_or(|value| value == "false" || value == "0"),
            "UBL_SAMPLES is unset: CI must name the folder of the official samples"
        );
        println!("SKIPPED: UBL_SAMPLES is unset; set it to the folder of the official UBL samples");
        return;
    };
    let folder = folder.to_str().unwrap();
    let output = demo(&["--invoices", folder, "--seconds", "12"]).await;
    let figures = figures(&output);
    assert_eq!(figures["accepted"], 16);
    assert_eq!(figures["completed"], 16);
    let stdout = String::from_utf8(output.stdout).unwrap();
    for (document, verdict) in [
        ("guide-example1", "250.33 EUR payable"),
        ("guide-example2", "801.78 NOK payable"),
        ("guide-example3", "1125.00 DKK payable"),
        ("issue116", "830.00 SEK payable"),
        ("sample-discount-price", "15.15 EUR payable"),
        ("ubl-tc434-creditnote1", "100.11 EUR payable"),
        ("ubl-tc434-example1", "250.33 EUR payable"),
        ("ubl-tc434-example10", "250.33 EUR payable"),
        ("ubl-tc434-example2", "801.78 NOK payable"),
        ("ubl-tc434-example3", "2005.00 DKK payable"),
        ("ubl-tc434-example4", "4675.00 DKK payable"),
        ("ubl-tc434-example5", "2337.50 DKK payable"),
        ("ubl-tc434-example6", "4675.00 DKK payable"),
        ("ubl-tc434-example7", "3200.00 SEK payable"),
        ("ubl-tc434-example8", "1099.78 EUR payable"),
        ("ubl-tc434-example9", "177.87 EUR payable"),
    ] {
        let shown = stdout
            .lines()
            .any(|line| line.contains(&format!("│ {document} ")) && line.contains(verdict));
        assert!(shown, "{document}: {verdict} is not in\n{stdout}");
    }
}

#[tokio::test]
async fn a_folder_of_anything_ends_with_a_reason_for_each_file() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("not an invoice.xml", "<Order/>");
    write("broken.xml", "<Invoice");
    write("empty.xml", "");
    write("notes.txt", "no .xml file");
    let output = demo(&["--invoices", dir.path().to_str().unwrap(), "--seconds", "8"]).await;
    assert_eq!(figures(&output)["discarded"], 12);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("3 files"), "{stderr}");
    assert!(
        stderr.contains("submitted 4 times under derived ids"),
        "{stderr}"
    );
    for (document, code) in [
        ("not an invoice", "not-ubl"),
        ("broken", "not-xml"),
        ("empty~4", "not-xml"),
    ] {
        let shown = stdout
            .lines()
            .any(|line| line.contains(&format!("│ {document} ")) && line.contains(code));
        assert!(shown, "{document}: {code} is not in\n{stdout}\n{stderr}");
    }
}

#[tokio::test]
async fn an_empty_folder_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let output = demo(&["--invoices", dir.path().to_str().unwrap()]).await;
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("there is no .xml file in"), "{stderr}");
    assert!(stderr.contains("name a folder of UBL invoices"), "{stderr}");
}
