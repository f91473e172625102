//! What an owner sees. Somebody else's job is as absent as one that never was.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{Error, Job, State, Store, job::COLUMNS};

/// Where a page of the list begins: after this job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageKey {
    /// Its creation, to the microsecond.
    pub created_at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
}

/// One page of a list, newest first.
#[derive(Debug)]
pub struct Page {
    /// At most as many as asked for.
    pub jobs: Vec<Job>,
    /// Set when there are more.
    pub next: Option<PageKey>,
}

impl Store {
    /// The user's job, once it was accepted.
    pub async fn find(&self, user_id: Uuid, id: Uuid) -> Result<Option<Job>, Error> {
        let select = format!(
            "select {COLUMNS} from jobs where id = $1 and user_id = $2 and state <> 'receiving' and deleted_at is null"
        );
        self.bounded(sqlx::query_as(AssertSqlSafe(select)).bind(id).bind(user_id).fetch_optional(&self.pool)).await
    }

    /// The user's jobs, newest first, by keyset: a page stays the same however many jobs come in front of it.
    pub async fn list(
        &self,
        user_id: Uuid,
        state: Option<State>,
        after: Option<PageKey>,
        limit: u16,
    ) -> Result<Page, Error> {
        let select = format!(
            "select {COLUMNS} from jobs where user_id = $1 and state <> 'receiving' and deleted_at is null
                 and ($2::text is null or state = $2) and ($3::timestamptz is null or (created_at, id) < ($3, $4))
             order by created_at desc, id desc limit $5"
        );
        let query = sqlx::query_as::<_, Job>(AssertSqlSafe(select))
            .bind(user_id)
            .bind(state.map(State::as_str))
            .bind(after.map(|key| key.created_at))
            .bind(after.map(|key| key.id))
            .bind(i64::from(limit) + 1);
        let mut jobs = self.bounded(query.fetch_all(&self.pool)).await?;
        let more = jobs.len() > usize::from(limit);
        jobs.truncate(usize::from(limit));
        let next = jobs.last().filter(|_| more).map(|job| PageKey { created_at: job.created_at, id: job.id });
        Ok(Page { jobs, next })
    }

    /// How many jobs are in each state, states without jobs included; for the gauge.
    pub async fn count_by_state(&self) -> Result<[(State, u64); 6], Error> {
        let query = sqlx::query_as("select state, count(*) from jobs where deleted_at is null group by state");
        let counts: Vec<(State, i64)> = self.bounded(query.fetch_all(&self.pool)).await?;
        let count =
            |state| counts.iter().find(|(counted, _)| *counted == state).map_or(0, |(_, count)| count.unsigned_abs());
        Ok(State::ALL.map(|state| (state, count(state))))
    }
}
