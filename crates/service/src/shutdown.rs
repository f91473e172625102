//! The one place that knows when to stop: first softly, then hard.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// A request to stop, shared by everything that runs; clones are cheap.
///
/// The first request is soft: take no new work, finish what is in hand. The second request, or the
/// end of the grace period, is hard: drop everything.
#[derive(Clone, Debug)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    requested_at: Arc<OnceLock<Instant>>,
    grace: Duration,
}

impl Shutdown {
    /// A shutdown that only [`Shutdown::request`] brings about.
    pub fn manual(grace: Duration) -> Self {
        Self { soft: CancellationToken::new(), hard: CancellationToken::new(), requested_at: Arc::default(), grace }
    }

    /// A shutdown that SIGTERM and SIGINT request. Needs a running tokio runtime.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn listen(grace: Duration) -> anyhow::Result<Self> {
        let shutdown = Self::manual(grace);
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let signals = signal(kind).context("cannot listen for signals")?;
            tokio::spawn(request_on(signals, shutdown.clone()));
        }
        Ok(shutdown)
    }

    /// Asks to stop: softly the first time, hard the second time.
    pub fn request(&self) {
        if self.requested_at.set(Instant::now()).is_ok() {
            self.soft.cancel();
        } else {
            self.hard.cancel();
        }
    }

    /// Whether nothing new should be begun.
    pub fn is_requested(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Resolves once nothing new should be begun.
    pub async fn requested(&self) {
        self.soft.cancelled().await;
    }

    /// Resolves once what is still in hand should be dropped.
    pub async fn forced(&self) {
        self.requested().await;
        match self.requested_at.get().and_then(|at| at.checked_add(self.grace)) {
            // Either way it is time: by a second request or by the end of the grace period.
            Some(deadline) => timeout_at(deadline, self.hard.cancelled()).await.unwrap_or(()),
            None => self.hard.cancelled().await,
        }
    }

    /// How long work in hand may go on after the first request.
    pub fn grace(&self) -> Duration {
        self.grace
    }
}

async fn request_on(mut signals: Signal, shutdown: Shutdown) {
    while signals.recv().await.is_some() {
        let grace_s = shutdown.grace().as_secs_f64();
        tracing::info!(at_once = shutdown.is_requested(), grace_s, "asked to stop");
        shutdown.request();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_request_is_soft_until_the_grace_period_ends() {
        let shutdown = Shutdown::manual(Duration::from_secs(25));
        assert!(!shutdown.is_requested());
        shutdown.request();
        shutdown.requested().await;
        let asked = Instant::now();
        shutdown.clone().forced().await;
        assert_eq!(asked.elapsed().as_secs(), 25);
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_request_is_hard_at_once() {
        let shutdown = Shutdown::manual(Duration::from_hours(1));
        shutdown.request();
        shutdown.clone().request();
        let asked = Instant::now();
        shutdown.forced().await;
        assert_eq!(asked.elapsed().as_secs(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_forced_before_it_is_requested() {
        let shutdown = Shutdown::manual(Duration::ZERO);
        let waited = tokio::time::timeout(Duration::from_mins(1), shutdown.forced()).await;
        assert!(waited.is_err() && !shutdown.is_requested());
    }
}
