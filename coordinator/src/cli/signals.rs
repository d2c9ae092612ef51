//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failure};

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let hear =
            |kind| signal(kind).map_err(|error| Failure::failed(format!("hear signals: {error}")));
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

/// Does `work` until it is done or the first signal comes.
pub(crate) async fn at_once<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut signals = Signals::new()?;
    tokio::select! {
        result = work => result,
        () = signals.next() => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}

/// Does `work`, which ends in order when `shutdown` is cancelled by the first signal; the second
/// drops it.
pub(crate) async fn in_order<T>(
    shutdown: CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut signals = Signals::new()?;
    tokio::pin!(work);
    tokio::select! {
        result = &mut work => return result,
        () = signals.next() => shutdown.cancel(),
    }
    tokio::select! {
        result = &mut work => result,
        () = signals.next() => Err(Failure::new(
            Exit::Interrupted,
            "ended at once by a second signal, without an orderly end",
        )),
    }
}
