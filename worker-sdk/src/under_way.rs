//! What a loop waits for beside other things, if it has begun it.

use futures::future::BoxFuture;

/// Waits for it; for ever, if nothing is under way.
pub(crate) async fn under_way<T>(work: Option<&mut BoxFuture<'static, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}
