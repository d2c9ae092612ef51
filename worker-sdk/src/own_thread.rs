//! A thread with a runtime of its own: what the user's code does there can hold up nothing here.

use std::future::Future;
use std::io;

use tokio::sync::watch;

/// Runs what `begin` makes on a thread of this name, and tells how it ended; nothing, if it panicked.
pub(crate) fn run<F, E>(
    name: &str,
    begin: impl FnOnce() -> F + Send + 'static,
    ended: watch::Sender<Option<E>>,
) -> io::Result<()>
where
    F: Future<Output = Option<E>>,
    E: Send + Sync + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let end = runtime.block_on(begin());
            drop(runtime);
            ended.send_replace(end);
        })?;
    Ok(())
}
