//! One attempt at one job: run the engine under a lease, publish the result by one compare-and-set.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use media::{Limits, Report};
use objects::{ObjectKey, Objects, Writer};
use options::Options;
use service::{crash, metrics, shutdown::Shutdown};
use store::{Audio, Claim, Finished, JobError, Lease, Progress, Store};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    WorkerSettings,
    s3::{Requests, S3Sink, S3Source},
};

/// An engine that was told to stop does so between two packets, or when its request to S3 ends.
const STOP_TIMEOUT: Duration = Duration::from_secs(90);

/// Why an attempt gave no audio.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The file is at fault; the job ends with this reason.
    #[error("{detail}")]
    Input {
        /// Stable.
        code: &'static str,
        /// A sentence for its owner.
        detail: String,
    },
    /// We are; the job is tried again.
    #[error(transparent)]
    Infra(#[from] anyhow::Error),
    /// The job is no longer ours: cancelled, deleted, or taken over.
    #[error("the lease was lost")]
    Fenced,
    /// The worker is asked to stop and the time for that is over.
    #[error("the worker is stopping")]
    Stopping,
}

/// One attempt, and all that it needs.
pub(crate) struct Attempt<'a> {
    pub(crate) store: &'a Store,
    pub(crate) objects: &'a Objects,
    pub(crate) settings: &'a WorkerSettings,
    pub(crate) shutdown: &'a Shutdown,
    pub(crate) claim: Claim,
}

type Engine = JoinHandle<(Result<Report, media::Error>, Writer)>;

impl Attempt<'_> {
    /// Brings the job to its next state.
    ///
    /// # Errors
    /// Only when the store does not answer: the lease then ends by itself, and the job is claimed again.
    pub(crate) async fn run(self) -> Result<Finished, store::Error> {
        crash::point("convert.claimed");
        metrics::conversion_waited(Duration::from_secs_f64(self.claim.waited_seconds.max(0.0)));
        self.free_what_was_left_open().await;
        let begun = Instant::now();
        let lease = self.claim.lease;
        match self.convert().await {
            Ok(audio) => self.publish(&audio, begun.elapsed()).await,
            Err(Failure::Input { code, detail }) => {
                tracing::info!(code, "the file cannot be converted");
                metrics::conversion_failed(code);
                self.store.fail(lease, &JobError { code: code.to_owned(), detail }).await
            }
            Err(Failure::Infra(error)) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    attempt = lease.attempt,
                    "the attempt failed; the job will be tried again"
                );
                metrics::conversion_failed("infra");
                self.store.retry_later(lease, backoff(lease.attempt), self.settings.max_attempts).await
            }
            Err(Failure::Stopping) => self.store.hand_back(lease).await,
            Err(Failure::Fenced) => Ok(Finished::Fenced),
        }
    }

    /// An earlier attempt died within an upload to S3; its parts would cost space for ever.
    async fn free_what_was_left_open(&self) {
        let Some((attempt, upload)) = &self.claim.left_open else {
            return;
        };
        let key = ObjectKey::Audio { job: self.claim.lease.job, attempt: *attempt };
        if let Err(error) = self.objects.abort_upload(key, upload).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot free the parts of an earlier attempt");
        }
    }

    async fn convert(&self) -> Result<Audio, Failure> {
        let options = serde_json::from_value(self.claim.options.clone()).map_err(anyhow::Error::from)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (progress, opened) = (watch::Sender::new(None), watch::Sender::new(None));
        let (seen, open_upload) = (progress.subscribe(), opened.subscribe());
        let requests = Requests::new();
        let mut engine = self.start(options, requests.clone(), stop.clone(), progress, opened);
        let ended = self.supervise(&mut engine, &requests, seen, open_upload).await;
        let (converted, writer) = match ended {
            Ok(ended) => ended,
            Err(failure) => {
                stop.store(true, Ordering::Relaxed);
                self.discard(engine).await;
                return Err(failure);
            }
        };
        match converted {
            Ok(report) => self.keep(writer, report).await,
            Err(error) => {
                abort(writer).await;
                Err(failure(error))
            }
        }
    }

    fn start(
        &self,
        options: Options,
        requests: Requests,
        stop: Arc<AtomicBool>,
        progress: watch::Sender<Option<media::Progress>>,
        opened: watch::Sender<Option<String>>,
    ) -> Engine {
        let source = ObjectKey::Source(self.claim.source_id);
        let source = S3Source::new(
            requests.clone(),
            self.objects.clone(),
            source,
            u64::try_from(self.claim.source_bytes).unwrap_or(0),
        );
        let mut sink = S3Sink::new(requests, self.objects.writer_with_head(self.audio_key()), opened);
        let limits =
            Limits { max_duration: self.settings.max_duration, max_output_bytes: self.settings.max_output_bytes };
        tokio::task::spawn_blocking(move || {
            let mut tell = |now| {
                progress.send_replace(Some(now));
                if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let converted = media::convert(Box::new(source), &mut sink, &options, &limits, &mut tell);
            (converted, sink.into_writer())
        })
    }

    /// Waits for the engine, renewing the lease meanwhile.
    async fn supervise(
        &self,
        engine: &mut Engine,
        requests: &Requests,
        progress: watch::Receiver<Option<media::Progress>>,
        mut open_upload: watch::Receiver<Option<String>>,
    ) -> Result<(Result<Report, media::Error>, Writer), Failure> {
        let mut heartbeat = interval(self.settings.lease / 3);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ours_until = Instant::now() + self.settings.lease;
        let (mut stalled_at, mut done) = (Instant::now() + self.settings.stall_timeout, None);
        // A progress a second is enough for whoever waits; the first comes at once.
        let mut telling = interval(Duration::from_secs(1));
        telling.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = &mut *engine => return ended.map_err(|error| Failure::Infra(error.into())),
                () = self.shutdown.forced() => return Err(Failure::Stopping),
                () = tokio::time::sleep_until(stalled_at) => return Err(stalled(requests)),
                () = tokio::time::sleep_until(ours_until) => return Err(Failure::Fenced),
                Ok(()) = open_upload.changed() => {}
                _ = heartbeat.tick() => {}
                _ = telling.tick() => {
                    let now = *progress.borrow();
                    if now == done {
                        continue;
                    }
                    (stalled_at, done) = (Instant::now() + self.settings.stall_timeout, now);
                }
            }
            let asked = Instant::now();
            let now = Progress { open_upload: open_upload.borrow_and_update().clone(), ..told(*progress.borrow()) };
            match self.store.heartbeat(self.claim.lease, self.settings.lease, &now).await {
                Ok(true) => ours_until = asked + self.settings.lease,
                Ok(false) => return Err(Failure::Fenced),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the lease could not be renewed; trying on"
                ),
            }
        }
    }

    /// Makes the audio visible to us, and reads it back: what the row will promise is what the object store has.
    async fn keep(&self, writer: Writer, report: Report) -> Result<Audio, Failure> {
        crash::point("convert.converted");
        writer.finish().await.map_err(anyhow::Error::from)?;
        crash::point("convert.stored");
        let (bytes, sha256) = self.objects.digest(self.audio_key()).await.map_err(anyhow::Error::from)?;
        if bytes != report.bytes_written {
            return Err(anyhow::anyhow!("{bytes} of {} bytes were stored", report.bytes_written).into());
        }
        metrics::bytes_read(report.bytes_read);
        metrics::bytes_written(bytes);
        Ok(Audio {
            attempt: self.claim.lease.attempt,
            bytes: i64::try_from(bytes).map_err(anyhow::Error::from)?,
            sha256: sha256.to_vec(),
            seconds: report.duration.as_secs_f64(),
            warning: report.warning,
        })
    }

    /// The one moment at which the job becomes done; fenced, our audio is nobody's.
    async fn publish(&self, audio: &Audio, took: Duration) -> Result<Finished, store::Error> {
        let finished = self.store.finish(self.claim.lease, audio).await?;
        crash::point("convert.done");
        if finished == Finished::Fenced {
            self.take_back().await;
        } else {
            metrics::conversion_done(Duration::from_secs_f64(audio.seconds), took);
            tracing::info!(
                audio_s = audio.seconds,
                took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                bytes = audio.bytes,
                "converted"
            );
        }
        Ok(finished)
    }

    async fn take_back(&self) {
        if let Err(error) = self.objects.delete(self.audio_key()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot delete the audio of a fenced attempt; the janitor will"
            );
        }
    }

    /// Waits for an engine that was told to stop, and gives up what it stored.
    async fn discard(&self, engine: Engine) {
        match timeout(STOP_TIMEOUT, engine).await {
            Ok(Ok((_, writer))) => abort(writer).await,
            Ok(Err(error)) => tracing::error!(%error, "the engine panicked"),
            Err(_) => tracing::error!("the engine did not stop in time; its thread is left behind"),
        }
    }

    fn audio_key(&self) -> ObjectKey {
        let Lease { job, attempt, .. } = self.claim.lease;
        ObjectKey::Audio { job, attempt }
    }
}

async fn abort(writer: Writer) {
    if let Err(error) = writer.abort().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot abort an upload to the object store; the janitor will"
        );
    }
}

/// Whose fault it is decides what happens: a bad file ends the job, everything else is tried again.
fn failure(error: media::Error) -> Failure {
    match error {
        media::Error::Input(error) => Failure::Input { code: error.code(), detail: error.to_string() },
        error => Failure::Infra(error.into()),
    }
}

/// A file that makes the engine hang ends its job; an object store that does not answer is ours.
fn stalled(requests: &Requests) -> Failure {
    if requests.is_waiting() {
        return Failure::Infra(anyhow::anyhow!("the object store did not answer in time"));
    }
    let detail = "The conversion made no progress and was ended; the file is probably damaged.";
    Failure::Input { code: "stalled", detail: detail.to_owned() }
}

fn told(progress: Option<media::Progress>) -> Progress {
    let Some(now) = progress else {
        return Progress::default();
    };
    Progress {
        seconds: now.done.as_secs_f64(),
        total_seconds: now.total.map(|total| total.as_secs_f64()),
        open_upload: None,
    }
}

/// 5 s, 20 s, 80 s, ... at most 10 min: an outage should not use up the attempts.
fn backoff(attempt: i32) -> Duration {
    let power = u32::try_from(attempt.clamp(1, 5) - 1).unwrap_or(0);
    Duration::from_secs(5 * 4_u64.pow(power)).min(Duration::from_mins(10))
}
