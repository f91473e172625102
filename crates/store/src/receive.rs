//! The upload's side: a row `receiving`, then the acceptance.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{Error, Job, State, Store, interval, job::COLUMNS};

/// An upload counts as given up when its function has not been heard of for so long.
const RECEIVING_LEASE: Duration = Duration::from_mins(1);
/// How long the sweep leaves a queued job to its message.
const MESSAGE_GRACE: Duration = Duration::from_secs(30);

/// What is known before the first byte of the video.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The fid.
    pub id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// The client's `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// Most jobs of one user that are not at rest.
    pub limit: u32,
}

/// What became of [`Store::begin`].
#[derive(Debug)]
pub enum Begun {
    /// A row `receiving` is there: send the video.
    New,
    /// This key was used before; the same payload gets this job again.
    Known(Box<Job>),
    /// An upload with this key is still going on.
    InFlight,
    /// The user has `limit` jobs that are not at rest.
    TooMany,
    /// The user was disabled or removed since the token was made.
    NoSuchUser,
}

/// What is known after the last byte of the video.
#[derive(Clone, Debug)]
pub struct Received {
    /// The client's file name.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Encoding options, validated.
    pub options: serde_json::Value,
    /// W3C trace context of the upload.
    pub traceparent: Option<String>,
    /// How long the job's objects are kept.
    pub retention: Duration,
}

impl Store {
    /// Reserves the job before its video is read: quota and idempotency are decided here, in one transaction.
    pub async fn begin(&self, job: &NewJob) -> Result<Begun, Error> {
        self.bounded(self.try_begin(job)).await
    }

    async fn try_begin(&self, job: &NewJob) -> Result<Begun, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        // Locking the user makes the count below exact for uploads that begin at the same time.
        let user = sqlx::query("select from users where id = $1 and disabled_at is null for no key update");
        if user.bind(job.user_id).fetch_optional(&mut *tx).await?.is_none() {
            return Ok(Begun::NoSuchUser);
        }
        if let Some(key) = &job.idempotency_key {
            sqlx::query(
                "update jobs set idempotency_key = null
                 where user_id = $1 and idempotency_key = $2
                   and ((state = 'receiving' and lease_until < now()) or deleted_at is not null)",
            )
            .bind(job.user_id)
            .bind(key)
            .execute(&mut *tx)
            .await?;
            let select = format!("select {COLUMNS} from jobs where user_id = $1 and idempotency_key = $2");
            let known = sqlx::query(AssertSqlSafe(select)).bind(job.user_id).bind(key).fetch_optional(&mut *tx).await?;
            if let Some(row) = known {
                return begun_before(&row);
            }
        }
        let active: i64 = sqlx::query_scalar(
            "select count(*) from jobs where user_id = $1
             and (state in ('queued', 'running') or (state = 'receiving' and lease_until >= now() and deleted_at is null))",
        )
        .bind(job.user_id)
        .fetch_one(&mut *tx)
        .await?;
        if active >= i64::from(job.limit) {
            return Ok(Begun::TooMany);
        }
        sqlx::query(
            "insert into jobs (id, user_id, source_id, idempotency_key, lease_until) values ($1, $2, $1, $3, now() + $4)",
        )
        .bind(job.id)
        .bind(job.user_id)
        .bind(&job.idempotency_key)
        .bind(interval(RECEIVING_LEASE))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Begun::New)
    }

    /// Says that the upload still goes on, and which S3 upload is open for it.
    pub async fn still_receiving(&self, id: Uuid, open_upload: Option<&str>) -> Result<(), Error> {
        let query = sqlx::query(
            "update jobs set lease_until = now() + $2, open_upload = coalesce($3, open_upload) where id = $1 and state = 'receiving'",
        );
        self.bounded(query.bind(id).bind(interval(RECEIVING_LEASE)).bind(open_upload).execute(&self.pool))
            .await
            .map(drop)
    }

    /// The acceptance point: from here on the job is never lost. Safe to repeat after an answer that did not come.
    /// `None`: the upload had been given up meanwhile; nothing was accepted.
    pub async fn accept(&self, id: Uuid, received: &Received) -> Result<Option<Job>, Error> {
        match self.try_accept(id, received).await {
            Err(error) if error.is_transient() => self.try_accept(id, received).await,
            answer => answer,
        }
    }

    async fn try_accept(&self, id: Uuid, received: &Received) -> Result<Option<Job>, Error> {
        let update = format!(
            "update jobs set state = 'queued', source_name = $2, source_bytes = $3, source_sha256 = $4, options = $5, traceparent = $6,
                 queued_at = now(), wake_at = now() + $7, expires_at = now() + $8, lease_until = null, open_upload = null
             where id = $1 and state = 'receiving' and deleted_at is null returning {COLUMNS}"
        );
        let query = sqlx::query_as(AssertSqlSafe(update))
            .bind(id)
            .bind(&received.name)
            .bind(i64::try_from(received.bytes).unwrap_or(i64::MAX))
            .bind(received.sha256.as_slice())
            .bind(&received.options)
            .bind(&received.traceparent)
            .bind(interval(MESSAGE_GRACE))
            .bind(interval(received.retention));
        match self.bounded(query.fetch_optional(&self.pool)).await? {
            Some(job) => Ok(Some(job)),
            None => self.accepted(id).await,
        }
    }

    /// An earlier try whose answer was lost may have succeeded.
    async fn accepted(&self, id: Uuid) -> Result<Option<Job>, Error> {
        let select = format!("select {COLUMNS} from jobs where id = $1 and state <> 'receiving'");
        self.bounded(sqlx::query_as(AssertSqlSafe(select)).bind(id).fetch_optional(&self.pool)).await
    }

    /// From here on this upload cannot be accepted any more. `false`: it is too late, it was accepted.
    pub async fn refuse(&self, id: Uuid) -> Result<bool, Error> {
        let query = sqlx::query(
            "update jobs set deleted_at = coalesce(deleted_at, now()) where id = $1 and state = 'receiving'",
        );
        Ok(self.bounded(query.bind(id).execute(&self.pool)).await?.rows_affected() == 1)
    }

    /// Forgets an upload that was refused, once its object is gone.
    pub async fn forget(&self, id: Uuid) -> Result<(), Error> {
        let query =
            sqlx::query("delete from jobs where id = $1 and state = 'receiving' and deleted_at is not null").bind(id);
        self.bounded(query.execute(&self.pool)).await.map(drop)
    }

    /// No message will come for this job: let the sweep, and KEDA, see it now.
    pub async fn wake_now(&self, id: Uuid) -> Result<(), Error> {
        let query = sqlx::query("update jobs set wake_at = now() where id = $1 and state = 'queued'").bind(id);
        self.bounded(query.execute(&self.pool)).await.map(drop)
    }
}

fn begun_before(row: &sqlx::postgres::PgRow) -> Result<Begun, sqlx::Error> {
    use sqlx::{FromRow, Row};
    let state: State = row.try_get("state")?;
    if state == State::Receiving { Ok(Begun::InFlight) } else { Ok(Begun::Known(Box::new(Job::from_row(row)?))) }
}
