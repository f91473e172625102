use std::future::Future;
use std::panic::Location;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(20);

/// Asks `probe` again and again until it has something, and returns that.
///
/// # Panics
/// It has nothing `within` that time; the message names the caller's line.
#[track_caller]
pub fn eventually<T>(within: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let asking = async {
            loop {
                if let Some(found) = probe().await {
                    return found;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let found = tokio::time::timeout(within, asking).await;
        found.unwrap_or_else(|_| panic!("what {caller} waits for did not happen within {within:?}"))
    }
}
