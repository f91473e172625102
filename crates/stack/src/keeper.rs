//! The one thread that starts every child process and serves S3.
//!
//! The kernel sends a child its parent-death signal when the *thread* that forked it ends, and a runtime closes its
//! sockets when it ends. Callers' runtimes come and go (each `#[tokio::test]` has its own), so the stack has a thread
//! and a runtime that live as long as the process.

use std::future::Future;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle};

static KEEPER: LazyLock<Handle> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime needs only file descriptors");
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("stack-keeper".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .expect("the process may have one more thread");
    handle
});

/// Runs `work` on the keeper's thread and waits for it; a panic in it goes on in the caller.
pub(crate) async fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match KEEPER.spawn(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
