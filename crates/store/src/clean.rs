//! What the janitor asks: rows whose objects nobody may need any more.

use std::time::Duration;

use sqlx::FromRow;
use uuid::Uuid;

use crate::{Error, Store, interval};

/// A deleted or expired job whose objects are still there.
#[derive(Clone, Debug, FromRow)]
pub struct Erasable {
    /// The job.
    pub id: Uuid,
    /// Objects `out/{id}/1.mp3` to this attempt may exist.
    pub attempt: i32,
    /// The video's object.
    pub source_id: Uuid,
    /// Whether this was the last job over that video.
    pub source_too: bool,
    /// An S3 upload that was left open for the last attempt.
    pub open_upload: Option<String>,
}

/// An upload that was refused but not tidied up, or that its function gave up without a word.
#[derive(Clone, Debug, FromRow)]
pub struct Abandoned {
    /// The job that never was; its object is `in/{id}`.
    pub id: Uuid,
    /// The S3 upload that was left open.
    pub open_upload: Option<String>,
}

impl Store {
    /// Up to `limit` deleted or expired jobs at rest whose objects are still there.
    pub async fn to_erase(&self, limit: u16) -> Result<Vec<Erasable>, Error> {
        let query = sqlx::query_as(
            "select id, attempt, source_id, open_upload,
                 not exists (select from jobs other where other.source_id = jobs.source_id and other.id <> jobs.id
                             and other.deleted_at is null and coalesce(other.expires_at > now(), true)) as source_too
             from jobs
             where erased_at is null and state in ('done', 'failed', 'cancelled') and (deleted_at is not null or expires_at < now() - interval '5 min')
             order by expires_at limit $1",
        );
        self.bounded(query.bind(i64::from(limit)).fetch_all(&self.pool)).await
    }

    /// The objects of this job are gone.
    pub async fn erased(&self, id: Uuid) -> Result<(), Error> {
        let query = sqlx::query("update jobs set erased_at = now(), open_upload = null where id = $1").bind(id);
        self.bounded(query.execute(&self.pool)).await.map(drop)
    }

    /// Up to `limit` uploads that were refused, or have not been heard of for `silence`.
    pub async fn abandoned(&self, silence: Duration, limit: u16) -> Result<Vec<Abandoned>, Error> {
        let query = sqlx::query_as(
            "select id, open_upload from jobs where state = 'receiving' and (deleted_at is not null or lease_until < now() - $1) order by lease_until limit $2",
        );
        self.bounded(query.bind(interval(silence)).bind(i64::from(limit)).fetch_all(&self.pool)).await
    }
}
