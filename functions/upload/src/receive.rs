//! One upload, from the first byte to the answer. Runs in a task of its own, so that a client that goes away cannot stop the tidying up.

use std::convert::Infallible;

use aws_lc_rs::digest;
use axum::extract::{FromRef, FromRequestParts};
use http::{StatusCode, request::Parts};
use multer::Field;
use objects::{ObjectKey, Objects, Writer};
use queue::{ConvertJob, Publisher};
use service::{Problem, crash, metrics};
use store::{Begun, Job, NewJob, Quota, Received, Store};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    config::Limits,
    form::{Form, broken, display_name},
};

/// Rows of running uploads are renewed about this often.
const RENEW: std::time::Duration = std::time::Duration::from_secs(15);
/// `ftyp` and its size: what tells an mp4 from anything else (ISO/IEC 14496-12, 4.2 and 4.3).
const SNIFF_BYTES: usize = 8;

/// What an upload needs.
#[derive(Clone)]
pub(crate) struct Upload {
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    pub(crate) publisher: Publisher,
    pub(crate) quota: Quota,
    pub(crate) limits: Limits,
}

impl<S> FromRequestParts<S> for Upload
where
    S: Send + Sync,
    Store: FromRef<S>,
    Objects: FromRef<S>,
    Publisher: FromRef<S>,
    Quota: FromRef<S>,
    Limits: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            store: Store::from_ref(state),
            objects: Objects::from_ref(state),
            publisher: Publisher::from_ref(state),
            quota: Quota::from_ref(state),
            limits: Limits::from_ref(state),
        })
    }
}

/// The one file of a form, as it arrived.
struct File {
    name: String,
    bytes: u64,
    sha256: [u8; 32],
}

impl Upload {
    /// Reserves, stores, accepts, publishes. When it returns an error, nothing was kept.
    pub(crate) async fn run(&self, new: NewJob, form: Form) -> Result<Job, Problem> {
        match self.store.begin(&new).await? {
            Begun::New => self.receive(new.id, form).await,
            Begun::Known(job) => self.same_again(*job, form).await,
            Begun::InFlight => Err(in_flight()),
            Begun::TooMany => Err(too_many(self.quota.max_jobs_per_user)),
            Begun::NoSuchUser => Err(auth::invalid_token("the user of this token is gone or disabled")),
        }
    }

    async fn receive(&self, id: Uuid, form: Form) -> Result<Job, Problem> {
        crash::point("upload.begun");
        let deadline = Instant::now() + self.limits.upload_timeout;
        let stored = tokio::time::timeout_at(deadline, self.store_file(id, form)).await;
        let accepted = match stored.unwrap_or_else(|_| Err(too_slow())) {
            Ok(received) => self.accept(id, received).await,
            Err(problem) => Err(problem),
        };
        if accepted.is_err() {
            self.forget(id).await;
        }
        accepted
    }

    /// The acceptance point. What follows it cannot fail the upload any more.
    async fn accept(&self, id: Uuid, received: Received) -> Result<Job, Problem> {
        crash::point("upload.stored");
        let job = self.store.accept(id, &received).await?.ok_or_else(too_slow)?;
        crash::point("upload.accepted");
        metrics::job_entered(job.state.as_str());
        metrics::bytes_read(received.bytes);
        self.wake_a_worker(id, received.traceparent).await;
        crash::point("upload.published");
        Ok(job)
    }

    async fn wake_a_worker(&self, job_id: Uuid, traceparent: Option<String>) {
        let Err(error) = self.publisher.publish(&ConvertJob { job_id, traceparent }).await else {
            return;
        };
        metrics::publish_unconfirmed();
        tracing::warn!(%job_id, error = &error as &dyn std::error::Error, "no wake-up was confirmed; the sweep will take the job");
        if let Err(error) = self.store.wake_now(job_id).await {
            tracing::warn!(%job_id, error = &error as &dyn std::error::Error, "the sweep will take the job half a minute later");
        }
    }

    async fn store_file(&self, id: Uuid, mut form: Form) -> Result<Received, Problem> {
        let mut field = form.next_file().await?.ok_or_else(one_file)?;
        let mut writer = self.objects.writer(ObjectKey::Source(id));
        let file = match self.copy(id, &mut field, &mut writer).await {
            Ok(file) => file,
            Err(problem) => {
                abort(writer).await;
                return Err(problem);
            }
        };
        drop(field);
        // Only now is it known that the client sent one file and valid options.
        match form.next_file().await {
            Ok(None) => writer.finish().await?,
            other => {
                abort(writer).await;
                return Err(other.map_or_else(|problem| problem, |_| one_file()));
            }
        }
        Ok(Received {
            name: file.name,
            bytes: file.bytes,
            sha256: file.sha256,
            options: serde_json::to_value(form.options).map_err(Problem::internal)?,
            traceparent: service::trace::current_traceparent(),
            retention: self.quota.retention,
        })
    }

    /// From the client to S3, counting and hashing on the way.
    async fn copy(&self, id: Uuid, field: &mut Field<'static>, writer: &mut Writer) -> Result<File, Problem> {
        let mut sniffer = Sniffer::default();
        let mut sha256 = digest::Context::new(&digest::SHA256);
        let (mut bytes, mut renewed) = (0, Instant::now());
        while let Some(piece) = field.chunk().await.map_err(|error| broken(&error))? {
            bytes += piece.len() as u64;
            if bytes > self.limits.max_upload_bytes {
                return Err(too_large(self.limits.max_upload_bytes));
            }
            sniffer.see(&piece)?;
            sha256.update(&piece);
            let was_open = writer.open_upload().is_some();
            writer.write(&piece).await?;
            if writer.open_upload().is_some() != was_open || renewed.elapsed() > RENEW {
                self.store.still_receiving(id, writer.open_upload()).await?;
                renewed = Instant::now();
            }
        }
        sniffer.end()?;
        let sha256 = sha256.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok(File { name: display_name(field), bytes, sha256 })
    }

    /// The same key again: the same answer, if it is the same payload (draft-ietf-httpapi-idempotency-key-header-07).
    async fn same_again(&self, job: Job, mut form: Form) -> Result<Job, Problem> {
        let mut field = form.next_file().await?.ok_or_else(one_file)?;
        let mut sha256 = digest::Context::new(&digest::SHA256);
        while let Some(piece) = field.chunk().await.map_err(|error| broken(&error))? {
            sha256.update(&piece);
        }
        drop(field);
        if form.next_file().await?.is_some() {
            return Err(one_file());
        }
        let options = serde_json::to_value(form.options).map_err(Problem::internal)?;
        if sha256.finish().as_ref() != job.source.sha256 || options != job.options {
            return Err(other_payload());
        }
        Ok(job)
    }

    /// Takes back what a refused or broken upload left; what fails here is the janitor's.
    async fn forget(&self, id: Uuid) {
        if let Err(error) = self.try_forget(id).await {
            tracing::warn!(job_id = %id, error = format!("{error:#}"), "cannot take back an upload now; the janitor will");
        }
    }

    /// In this order: an acceptance whose answer was lost wins, and then its video must stay.
    async fn try_forget(&self, id: Uuid) -> anyhow::Result<()> {
        if self.store.refuse(id).await? {
            self.objects.delete(ObjectKey::Source(id)).await?;
            self.store.forget(id).await?;
        }
        Ok(())
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

/// Sees whether the file begins as an mp4 does. A cheap filter for honest mistakes; the engine decides.
#[derive(Default)]
struct Sniffer {
    head: Vec<u8>,
}

impl Sniffer {
    fn see(&mut self, piece: &[u8]) -> Result<(), Problem> {
        if self.head.len() >= SNIFF_BYTES {
            return Ok(());
        }
        self.head.extend_from_slice(&piece[..piece.len().min(SNIFF_BYTES - self.head.len())]);
        if self.head.len() == SNIFF_BYTES { self.end() } else { Ok(()) }
    }

    /// Box types that begin an ISO file, or a `QuickTime` one older than `ftyp`.
    fn end(&self) -> Result<(), Problem> {
        match self.head.get(4..SNIFF_BYTES) {
            Some(b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot") => Ok(()),
            _ => Err(not_mp4()),
        }
    }
}

fn one_file() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "one_file_required",
        "exactly 1 file required: send the video as one part with a file name.",
    )
}

fn not_mp4() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "not_mp4",
        "The file is not an mp4 (m4v, mov, m4a, 3gp) file: it does not begin with an ISO media header.",
    )
}

pub(crate) fn too_large(limit: u64) -> Problem {
    let detail = format!("The video is larger than the limit of {limit} bytes.");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail).with("limit_bytes", limit)
}

fn too_many(limit: u32) -> Problem {
    let detail = format!(
        "You have {limit} unfinished jobs, the most that are allowed; wait until one has ended, or cancel one."
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_jobs", detail).retry_after(std::time::Duration::from_secs(30))
}

fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "upload_too_slow",
        "The upload took too long and was broken off; nothing was kept.",
    )
}

fn in_flight() -> Problem {
    Problem::new(StatusCode::CONFLICT, "upload_in_progress", "An upload with this Idempotency-Key is still going on.")
        .retry_after(std::time::Duration::from_secs(10))
}

fn other_payload() -> Problem {
    let detail = "This Idempotency-Key was used for another file or other options; use a new key for a new upload.";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
}
