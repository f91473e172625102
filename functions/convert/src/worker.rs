//! The loop: a wake-up or a sweep brings a job; the job is brought to its next state; the message is answered last.

use std::time::Duration;

use objects::Objects;
use queue::{Consumer, Wakeup};
use service::{crash, metrics, shutdown::Shutdown};
use store::{Claim, Finished, State, Store};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::Instrument;
use uuid::Uuid;

use crate::{WorkerSettings, attempt::Attempt};

/// Between two tries to reach the broker or the store.
const RECONNECT: Duration = Duration::from_secs(2);

/// Takes one job at a time, until it is asked to stop.
#[derive(Clone)]
pub struct Worker {
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    pub(crate) queue: queue::Settings,
    pub(crate) settings: WorkerSettings,
    pub(crate) shutdown: Shutdown,
}

/// Why a round with the broker ended; the next begins after a pause.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Worker {
    /// A worker; [`Worker::run`] does the rest.
    pub fn new(
        store: Store,
        objects: Objects,
        queue: &queue::Settings,
        settings: &WorkerSettings,
        shutdown: Shutdown,
    ) -> Self {
        Self { store, objects, queue: queue.clone(), settings: settings.clone(), shutdown }
    }

    /// Works until shutdown is requested and the job in hand is finished or handed back. Outlives the broker and the store: without the
    /// broker it sweeps, without the store it takes nothing.
    pub async fn run(&self) {
        // The first sweep comes at once: this worker may have been woken for just that.
        let mut sweeps = interval(self.settings.sweep_interval);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.shutdown.is_requested() {
            if let Err(error) = self.serve(&mut sweeps).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "not consuming; trying again");
                self.sweep_alone(&mut sweeps).await;
            }
        }
        tracing::info!("the worker has stopped");
    }

    /// One connection's time. Whatever goes wrong with it, it is dropped and built anew.
    async fn serve(&self, sweeps: &mut Interval) -> Result<(), Broken> {
        let mut consumer = Consumer::open(&self.queue).await?;
        tracing::info!(queue = queue::CONVERT, "consuming");
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.requested() => return Ok(consumer.close().await?),
                _ = sweeps.tick() => self.sweep().await?,
                wakeup = consumer.next() => self.answer(wakeup?).await?,
            }
        }
    }

    /// While the broker is away: sweeps go on, and soon the broker is tried again.
    async fn sweep_alone(&self, sweeps: &mut Interval) {
        let mut reconnect = interval(RECONNECT);
        reconnect.tick().await;
        tokio::select! {
            biased;
            () = self.shutdown.requested() => {}
            _ = sweeps.tick() => {
                if let Err(error) = self.sweep().await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot sweep");
                }
            }
            _ = reconnect.tick() => {}
        }
    }

    /// Does what a message asks, then answers it. Unanswered it comes again, and finds nothing to claim.
    async fn answer(&self, wakeup: Wakeup) -> Result<(), Broken> {
        let job = match wakeup.job() {
            Ok(job) => job,
            Err(error) => {
                tracing::error!(%error, "not a message of ours; it goes to the dead letters");
                return Ok(wakeup.bury().await?);
            }
        };
        let claim =
            self.store.claim(job.job_id, Uuid::new_v4(), self.settings.lease, self.settings.max_attempts).await?;
        let finished = match claim {
            Some(claim) => Some(self.work(claim).await?),
            None => None,
        };
        crash::point("convert.acking");
        // Handed back because we stop: the message is for the next worker. Otherwise it has done its work, whatever became of the job.
        match finished {
            Some(Finished::As(State::Queued)) if self.shutdown.is_requested() => Ok(wakeup.requeue().await?),
            _ => Ok(wakeup.ack().await?),
        }
    }

    /// Takes every job that waits in vain.
    async fn sweep(&self) -> Result<(), store::Error> {
        while !self.shutdown.is_requested() {
            let Some(claim) = self.store.sweep(Uuid::new_v4(), self.settings.lease, self.settings.max_attempts).await?
            else {
                break;
            };
            tracing::info!(job_id = %claim.lease.job, attempt = claim.lease.attempt, "swept");
            self.work(claim).await?;
        }
        Ok(())
    }

    async fn work(&self, claim: Claim) -> Result<Finished, store::Error> {
        let lease = claim.lease;
        let span = tracing::info_span!("convert", job_id = %lease.job, attempt = lease.attempt);
        if let Some(traceparent) = &claim.traceparent {
            service::trace::continue_from(&span, traceparent);
        }
        metrics::job_entered("running");
        let attempt = Attempt {
            store: &self.store,
            objects: &self.objects,
            settings: &self.settings,
            shutdown: &self.shutdown,
            claim,
        };
        let finished = attempt.run().instrument(span).await?;
        match finished {
            Finished::As(state) => metrics::job_entered(state.as_str()),
            Finished::Fenced => {
                tracing::info!(job_id = %lease.job, attempt = lease.attempt, "fenced: the job is no longer this worker's");
            }
        }
        Ok(finished)
    }
}
