//! What an owner may change.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{Error, Job, State, Store, interval, job::COLUMNS};

/// What became of [`Store::cancel`].
#[derive(Debug)]
pub enum Cancelled {
    /// It is cancelled now; its worker, if any, is fenced at its next heartbeat.
    Now(Box<Job>),
    /// It had ended before.
    TooLate(Box<Job>),
}

/// What became of [`Store::retry`].
#[derive(Debug)]
pub enum Retried {
    /// The job that repeats it; the same one however often this is asked.
    As(Box<Job>),
    /// It is not over, or it succeeded.
    NotNow(Box<Job>),
    /// Its video is erased.
    Expired,
    /// The user has too many jobs that are not at rest.
    TooMany,
}

impl Store {
    /// Takes a job back. `None`: no such job of this user.
    pub async fn cancel(&self, user_id: Uuid, id: Uuid) -> Result<Option<Cancelled>, Error> {
        let update = format!(
            "update jobs set state = 'cancelled', lease = null, lease_until = null, wake_at = null, finished_at = now()
             where id = $1 and user_id = $2 and state in ('queued', 'running') and deleted_at is null returning {COLUMNS}"
        );
        let query = sqlx::query_as(AssertSqlSafe(update)).bind(id).bind(user_id);
        if let Some(job) = self.bounded(query.fetch_optional(&self.pool)).await? {
            return Ok(Some(Cancelled::Now(Box::new(job))));
        }
        Ok(self.find(user_id, id).await?.map(|job| Cancelled::TooLate(Box::new(job))))
    }

    /// Repeats a failed or cancelled job as a new one over the same video: what has ended stays ended. `None`: no such job of this user.
    pub async fn retry(
        &self,
        user_id: Uuid,
        id: Uuid,
        new_id: Uuid,
        retention: Duration,
        limit: u32,
    ) -> Result<Option<Retried>, Error> {
        let Some(job) = self.find(user_id, id).await? else {
            return Ok(None);
        };
        if let Some(repeated) = self.find_retry_of(id).await? {
            return Ok(Some(Retried::As(Box::new(repeated))));
        }
        if !matches!(job.state, State::Failed | State::Cancelled) {
            return Ok(Some(Retried::NotNow(Box::new(job))));
        }
        if job.expired {
            return Ok(Some(Retried::Expired));
        }
        let repeated = self.insert_retry(id, new_id, retention, limit).await?;
        if let Some(job) = repeated {
            return Ok(Some(Retried::As(Box::new(job))));
        }
        // Somebody else may have retried it, or the janitor erased it, since we looked.
        Ok(Some(match self.find_retry_of(id).await? {
            Some(job) => Retried::As(Box::new(job)),
            None if self.find(user_id, id).await?.is_none_or(|job| job.expired) => Retried::Expired,
            None => Retried::TooMany,
        }))
    }

    async fn insert_retry(
        &self,
        id: Uuid,
        new_id: Uuid,
        retention: Duration,
        limit: u32,
    ) -> Result<Option<Job>, Error> {
        let insert = format!(
            "insert into jobs (id, user_id, state, source_id, source_name, source_bytes, source_sha256, options, traceparent, retry_of,
                 queued_at, wake_at, expires_at)
             select $2, user_id, 'queued', source_id, source_name, source_bytes, source_sha256, options, traceparent, id,
                 now(), now() + interval '30 s', now() + $3
             from jobs old where id = $1 and erased_at is null and deleted_at is null and expires_at > now()
               and (select count(*) from jobs where user_id = old.user_id and state in ('queued', 'running')) < $4
             for update of old
             on conflict (retry_of) do nothing returning {COLUMNS}"
        );
        let query = sqlx::query_as(AssertSqlSafe(insert))
            .bind(id)
            .bind(new_id)
            .bind(interval(retention))
            .bind(i64::from(limit));
        self.bounded(query.fetch_optional(&self.pool)).await
    }

    async fn find_retry_of(&self, id: Uuid) -> Result<Option<Job>, Error> {
        let select = format!("select {COLUMNS} from jobs where retry_of = $1 and deleted_at is null");
        self.bounded(sqlx::query_as(AssertSqlSafe(select)).bind(id).fetch_optional(&self.pool)).await
    }

    /// Deletes a job for its owner: it is gone from every answer at once, its objects follow. A deleted retry can be asked for again. `false`: no such job of this user.
    pub async fn delete(&self, user_id: Uuid, id: Uuid) -> Result<bool, Error> {
        let query = sqlx::query(
            "update jobs set deleted_at = now(), retry_of = null, lease = null, lease_until = null, wake_at = null,
                 state = case when state in ('queued', 'running') then 'cancelled' else state end,
                 finished_at = coalesce(finished_at, now())
             where id = $1 and user_id = $2 and state <> 'receiving' and deleted_at is null",
        );
        Ok(self.bounded(query.bind(id).bind(user_id).execute(&self.pool)).await?.rows_affected() == 1)
    }
}
