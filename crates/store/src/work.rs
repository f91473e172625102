//! The worker's side: claim, heartbeat, and one compare-and-set at the end.

use std::time::Duration;

use sqlx::{AssertSqlSafe, FromRow, postgres::PgQueryResult};
use uuid::Uuid;

use crate::{Audio, Error, JobError, State, Store, interval};

/// A worker's right to write to a job, until the lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: Uuid,
    /// Drawn anew for every claim.
    pub token: Uuid,
    /// Names this attempt's object.
    pub attempt: i32,
}

/// A claimed job: what the worker needs to know.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The right to write.
    pub lease: Lease,
    /// Names the object `in/{source_id}`.
    pub source_id: Uuid,
    /// Size of the video in bytes.
    pub source_bytes: i64,
    /// Encoding options.
    pub options: serde_json::Value,
    /// W3C trace context of the upload.
    pub traceparent: Option<String>,
    /// Seconds between acceptance and this claim.
    pub waited_seconds: f64,
    /// An S3 upload that an earlier attempt left open, and that attempt.
    pub left_open: Option<(i32, String)>,
}

/// How far the conversion is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Seconds of audio done.
    pub seconds: f64,
    /// Seconds of audio in all, where known.
    pub total_seconds: Option<f64>,
    /// The S3 upload that is open for this attempt.
    pub open_upload: Option<String>,
}

/// Whether a final compare-and-set counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It did; the job is in this state now.
    As(State),
    /// The lease was lost, or the job cancelled or deleted: whoever asked must take back what it stored.
    Fenced,
}

#[derive(FromRow)]
struct Claimed {
    id: Uuid,
    attempt: i32,
    source_id: Uuid,
    source_bytes: i64,
    options: serde_json::Value,
    traceparent: Option<String>,
    waited_seconds: f64,
    left_open: Option<String>,
}

/// `picked` names one job that may be claimed, locked; the outer update decides.
const CLAIM: &str = "
    with picked as (PICK)
    update jobs set state = 'running', attempt = jobs.attempt + 1, lease = $1, lease_until = now() + $2, wake_at = null,
        started_at = coalesce(jobs.started_at, now()), progress_seconds = null, open_upload = null
    from picked where jobs.id = picked.id
    returning jobs.id, jobs.attempt, jobs.source_id, jobs.source_bytes, jobs.options, jobs.traceparent,
        extract(epoch from now() - jobs.queued_at)::float8 as waited_seconds, picked.open_upload as left_open";

impl Store {
    /// Claims the job that a message names. `None`: there is nothing to do for this message (a duplicate, a job that ended, or one whose
    /// worker is alive).
    pub async fn claim(
        &self,
        job: Uuid,
        token: Uuid,
        lease: Duration,
        max_attempts: u32,
    ) -> Result<Option<Claim>, Error> {
        let pick = "select id, open_upload from jobs where id = $3 and attempt - handbacks < $4
                    and (state = 'queued' or (state = 'running' and lease_until < now())) for update";
        let query =
            sqlx::query_as(AssertSqlSafe(CLAIM.replace("PICK", pick))).bind(token).bind(interval(lease)).bind(job);
        let claimed = self.bounded(query.bind(i64::from(max_attempts)).fetch_optional(&self.pool)).await?;
        Ok(claimed.map(|claimed| claim(claimed, token)))
    }

    /// Claims any job that waits in vain: its message was lost, or its worker died.
    pub async fn sweep(&self, token: Uuid, lease: Duration, max_attempts: u32) -> Result<Option<Claim>, Error> {
        self.fail_exhausted(max_attempts).await?;
        let pick = "select id, open_upload from jobs where attempt - handbacks < $3
                    and ((state = 'queued' and wake_at <= now()) or (state = 'running' and lease_until < now()))
                    order by coalesce(lease_until, wake_at) limit 1 for update skip locked";
        let query = sqlx::query_as(AssertSqlSafe(CLAIM.replace("PICK", pick))).bind(token).bind(interval(lease));
        let claimed = self.bounded(query.bind(i64::from(max_attempts)).fetch_optional(&self.pool)).await?;
        Ok(claimed.map(|claimed| claim(claimed, token)))
    }

    /// A job whose every attempt died without a word ends here, so that a poisonous file cannot eat workers for ever.
    async fn fail_exhausted(&self, max_attempts: u32) -> Result<u64, Error> {
        let query = sqlx::query(
            "update jobs set state = 'failed', lease = null, lease_until = null, wake_at = null, finished_at = now(),
                 error_code = 'attempts_exhausted',
                 error_detail = 'Each of ' || (attempt - handbacks) || ' attempts to convert this file ended without a result.'
             where attempt - handbacks >= $1
               and ((state = 'queued' and wake_at <= now()) or (state = 'running' and lease_until < now()))",
        );
        let ended = self.bounded(query.bind(i64::from(max_attempts)).execute(&self.pool)).await?;
        Ok(ended.rows_affected())
    }

    /// Prolongs the lease and records the progress. `false`: fenced, stop at once.
    pub async fn heartbeat(&self, lease: Lease, length: Duration, progress: &Progress) -> Result<bool, Error> {
        let query = sqlx::query(
            "update jobs set lease_until = now() + $3, progress_seconds = $4, total_seconds = coalesce($5, total_seconds), open_upload = $6
             where id = $1 and lease = $2 and state = 'running'",
        )
        .bind(lease.job)
        .bind(lease.token)
        .bind(interval(length))
        .bind(progress.seconds)
        .bind(progress.total_seconds)
        .bind(&progress.open_upload);
        Ok(self.bounded(query.execute(&self.pool)).await?.rows_affected() == 1)
    }

    /// Publishes the audio: the one moment at which the job becomes done.
    pub async fn finish(&self, lease: Lease, audio: &Audio) -> Result<Finished, Error> {
        let query = sqlx::query(
            "update jobs set state = 'done', audio_attempt = $3, audio_bytes = $4, audio_sha256 = $5, audio_seconds = $6, warning = $7,
                 progress_seconds = $6, total_seconds = $6, lease = null, lease_until = null, open_upload = null, finished_at = now()
             where id = $1 and lease = $2 and state = 'running'",
        )
        .bind(lease.job)
        .bind(lease.token)
        .bind(audio.attempt)
        .bind(audio.bytes)
        .bind(&audio.sha256)
        .bind(audio.seconds)
        .bind(&audio.warning);
        self.ended(lease, State::Done, self.bounded(query.execute(&self.pool)).await).await
    }

    /// Ends the job with a reason: trying again cannot help.
    pub async fn fail(&self, lease: Lease, error: &JobError) -> Result<Finished, Error> {
        let query = sqlx::query(
            "update jobs set state = 'failed', error_code = $3, error_detail = $4, lease = null, lease_until = null,
                 finished_at = now()
             where id = $1 and lease = $2 and state = 'running'",
        );
        let query = query.bind(lease.job).bind(lease.token).bind(&error.code).bind(&error.detail);
        self.ended(lease, State::Failed, self.bounded(query.execute(&self.pool)).await).await
    }

    /// Gives the job back after a failure of ours, to be swept after `delay`; the last attempt fails it instead.
    pub async fn retry_later(&self, lease: Lease, delay: Duration, max_attempts: u32) -> Result<Finished, Error> {
        let query = sqlx::query_scalar(
            "update jobs set lease = null, lease_until = null,
                 state = case when attempt - handbacks < $3 then 'queued' else 'failed' end,
                 wake_at = case when attempt - handbacks < $3 then now() + $4 end,
                 error_code = case when attempt - handbacks >= $3 then 'attempts_exhausted' end,
                 error_detail = case when attempt - handbacks >= $3
                     then 'The service failed ' || (attempt - handbacks) || ' times to convert this file; it is worth trying again later.' end,
                 finished_at = case when attempt - handbacks >= $3 then now() end
             where id = $1 and lease = $2 and state = 'running' returning state",
        );
        let query = query.bind(lease.job).bind(lease.token).bind(i64::from(max_attempts)).bind(interval(delay));
        let state = self.bounded(query.fetch_optional(&self.pool)).await?;
        Ok(state.map_or(Finished::Fenced, Finished::As))
    }

    /// Gives the job back because this worker is asked to stop; the attempt does not count.
    pub async fn hand_back(&self, lease: Lease) -> Result<Finished, Error> {
        let query = sqlx::query(
            "update jobs set state = 'queued', lease = null, lease_until = null, handbacks = handbacks + 1, wake_at = now()
             where id = $1 and lease = $2 and state = 'running'",
        );
        let done = self.bounded(query.bind(lease.job).bind(lease.token).execute(&self.pool)).await?;
        Ok(if done.rows_affected() == 1 { Finished::As(State::Queued) } else { Finished::Fenced })
    }

    /// Ends every lease at once. Only for whoever knows that no worker is alive: a system on one machine that has just started.
    pub async fn end_leases(&self) -> Result<(), Error> {
        let query = sqlx::query("update jobs set lease_until = now() where state = 'running'");
        self.bounded(query.execute(&self.pool)).await.map(drop)
    }

    /// Zero rows, or no answer at all, may mean that an earlier try succeeded: the row tells, since this attempt's number is ours alone.
    /// While it still says that the lease is ours, a try without an answer may yet succeed: then nobody may take anything back.
    async fn ended(&self, lease: Lease, state: State, answer: Result<PgQueryResult, Error>) -> Result<Finished, Error> {
        let unanswered = match answer {
            Ok(done) if done.rows_affected() == 1 => return Ok(Finished::As(state)),
            Ok(_) => None,
            Err(error) if error.is_transient() => Some(error),
            Err(error) => return Err(error),
        };
        let query = sqlx::query_as("select state, lease from jobs where id = $1 and attempt = $2").bind(lease.job);
        let row: Option<(State, Option<Uuid>)> =
            self.bounded(query.bind(lease.attempt).fetch_optional(&self.pool)).await?;
        match (row, unanswered) {
            (Some((now, _)), _) if now == state => Ok(Finished::As(state)),
            (Some((_, Some(token))), Some(error)) if token == lease.token => Err(error),
            (_, _) => Ok(Finished::Fenced),
        }
    }
}

fn claim(row: Claimed, token: Uuid) -> Claim {
    Claim {
        lease: Lease { job: row.id, token, attempt: row.attempt },
        source_id: row.source_id,
        source_bytes: row.source_bytes,
        options: row.options,
        traceparent: row.traceparent,
        waited_seconds: row.waited_seconds,
        left_open: row.left_open.map(|upload| (row.attempt - 1, upload)),
    }
}
