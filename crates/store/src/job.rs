use chrono::{DateTime, Utc};
use sqlx::{FromRow, Row, postgres::PgRow};
use uuid::Uuid;

use crate::State;

/// A job as its owner may see it.
#[derive(Clone, Debug)]
pub struct Job {
    /// The fid: names the job in every URL.
    pub id: Uuid,
    /// Where it stands.
    pub state: State,
    /// Past `expires_at`: the audio is gone or about to be.
    pub expired: bool,
    /// How often a worker took it.
    pub attempt: i32,
    /// The job that this one repeats.
    pub retry_of: Option<Uuid>,
    /// The video.
    pub source: Source,
    /// Encoding options as the client gave them.
    pub options: serde_json::Value,
    /// The audio, once done.
    pub audio: Option<Audio>,
    /// Why it failed, once failed.
    pub error: Option<JobError>,
    /// Seconds of audio done, while running.
    pub progress_seconds: Option<f64>,
    /// Seconds of audio in all, where the container says.
    pub total_seconds: Option<f64>,
    /// When the upload began.
    pub created_at: DateTime<Utc>,
    /// When it was accepted.
    pub queued_at: DateTime<Utc>,
    /// When a worker first took it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Until when the audio can be downloaded.
    pub expires_at: DateTime<Utc>,
}

/// The uploaded video.
#[derive(Clone, Debug)]
pub struct Source {
    /// Names the object `in/{id}`; retries share it.
    pub id: Uuid,
    /// The client's file name; display only.
    pub name: String,
    /// Size in bytes.
    pub bytes: i64,
    /// SHA-256 of the bytes.
    pub sha256: Vec<u8>,
}

/// The audio that the job made.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    /// Names the object `out/{job}/{attempt}.mp3`.
    pub attempt: i32,
    /// Size in bytes.
    pub bytes: i64,
    /// SHA-256 of the bytes.
    pub sha256: Vec<u8>,
    /// Length in seconds.
    pub seconds: f64,
    /// What the user should know although it worked.
    pub warning: Option<String>,
}

/// Why a job failed.
#[derive(Clone, Debug)]
pub struct JobError {
    /// Stable, as `no_audio`.
    pub code: String,
    /// A sentence for a person.
    pub detail: String,
}

/// The columns that [`Job`] is read from.
pub(crate) const COLUMNS: &str = "id, state, coalesce(expires_at <= now(), false) as expired, attempt, retry_of, source_id, source_name, \
     source_bytes, source_sha256, options, audio_attempt, audio_bytes, audio_sha256, audio_seconds, warning, error_code, error_detail, \
     progress_seconds, total_seconds, created_at, queued_at, started_at, finished_at, expires_at";

impl FromRow<'_, PgRow> for Job {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            state: row.try_get("state")?,
            expired: row.try_get("expired")?,
            attempt: row.try_get("attempt")?,
            retry_of: row.try_get("retry_of")?,
            source: Source {
                id: row.try_get("source_id")?,
                name: row.try_get("source_name")?,
                bytes: row.try_get("source_bytes")?,
                sha256: row.try_get("source_sha256")?,
            },
            options: row.try_get("options")?,
            audio: audio(row)?,
            error: error(row)?,
            progress_seconds: row.try_get("progress_seconds")?,
            total_seconds: row.try_get("total_seconds")?,
            created_at: row.try_get("created_at")?,
            queued_at: row.try_get("queued_at")?,
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
            expires_at: row.try_get("expires_at")?,
        })
    }
}

fn audio(row: &PgRow) -> Result<Option<Audio>, sqlx::Error> {
    let Some(attempt) = row.try_get("audio_attempt")? else {
        return Ok(None);
    };
    Ok(Some(Audio {
        attempt,
        bytes: row.try_get("audio_bytes")?,
        sha256: row.try_get("audio_sha256")?,
        seconds: row.try_get("audio_seconds")?,
        warning: row.try_get("warning")?,
    }))
}

fn error(row: &PgRow) -> Result<Option<JobError>, sqlx::Error> {
    let Some(code) = row.try_get("error_code")? else {
        return Ok(None);
    };
    Ok(Some(JobError { code, detail: row.try_get::<Option<_>, _>("error_detail")?.unwrap_or_default() }))
}
