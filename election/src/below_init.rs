//! A program that is the first process of its container, run once more below itself: the kernel kills
//! a child by its timer, and process 1 never.

use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What is passed on to the child.
const PASSED_ON: [Signal; 6] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
];

/// What a shell adds to the number of the signal that ended a process.
const KILLED_BY: i32 = 128;

/// If this is process 1, runs the same program with the same arguments below it, passes signals on,
/// buries what dies, and gives the code to end with when the program has ended; otherwise gives
/// nothing, and the caller goes on. Call it first in `main`, before any runtime or thread is made.
///
/// ```no_run
/// # fn serve() -> std::process::ExitCode { std::process::ExitCode::SUCCESS }
/// fn main() -> std::io::Result<std::process::ExitCode> {
///     if let Some(code) = election::run_below_init()? {
///         return Ok(code);
///     }
///     Ok(serve())
/// }
/// ```
///
/// # Errors
/// This is process 1 and the program cannot be started below it.
pub fn run_below_init() -> std::io::Result<Option<ExitCode>> {
    if std::process::id() != 1 {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(run())?;
    let code = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|by| KILLED_BY + by));
    let code = code.and_then(|code| u8::try_from(code).ok());
    Ok(Some(ExitCode::from(code.unwrap_or(u8::MAX))))
}

async fn run() -> std::io::Result<WaitStatus> {
    // Before the child lives, so that no signal is missed.
    let mut deaths = signal(SignalKind::child())?;
    let mut passed = PASSED_ON
        .iter()
        .map(|&by| Ok((by, signal(SignalKind::from_raw(by.as_raw()))?)))
        .collect::<std::io::Result<Vec<(Signal, Stream)>>>()?;
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    let child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .spawn()?;
    let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let child = child.ok_or_else(|| std::io::Error::other("the child has no process id"))?;
    tracing::info!(?name, %child, "process 1 cannot be killed by its own timer: running below it");
    loop {
        let by = tokio::select! {
            Some(()) = deaths.recv() => None,
            by = next(&mut passed) => Some(by),
        };
        if let Some(by) = by
            && let Err(error) = kill_process(child, by)
        {
            tracing::debug!(%error, ?by, "the child is gone already");
        }
        // One signal may stand for several deaths.
        while let Some((dead, status)) = wait(WaitOptions::NOHANG)? {
            if dead == child {
                return Ok(status);
            }
        }
    }
}

async fn next(signals: &mut [(Signal, Stream)]) -> Signal {
    let each = signals.iter_mut().map(|(by, stream)| {
        let by = *by;
        Box::pin(async move {
            // A stream of signals never ends.
            stream.recv().await;
            by
        })
    });
    let (by, _, _) = futures::future::select_all(each).await;
    by
}
