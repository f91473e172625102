use serde::{Deserialize, Serialize};

/// The state of a job.
///
/// ```text
/// receiving ──► queued ──► running ──► done
///                 ▲  │        │  ├───► failed
///                 │  │        │  └───► cancelled
///                 │  └────────┼──────► cancelled, failed (attempts used up)
///                 └───────────┘ handed back, or to be tried again
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum State {
    /// The upload has begun; nobody was told of this job yet.
    Receiving,
    /// Accepted: the video is stored and the job will be worked on, whatever dies.
    Queued,
    /// A worker holds the lease.
    Running,
    /// The audio is there. Final.
    Done,
    /// It cannot be done; the row says why. Final.
    Failed,
    /// The user took it back. Final.
    Cancelled,
}

impl State {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 6] =
        [Self::Receiving, Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// Final states are never left; the database forbids it too.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// As in the database, the API and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
