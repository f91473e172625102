use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The message: which job to look at. Everything else is in the job's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvertJob {
    /// The job's id.
    pub job_id: Uuid,
    /// W3C trace context of the upload, so that one trace spans the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl ConvertJob {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of a UUID and a string is always JSON")
    }

    /// Unknown members are ignored: a newer upload may say more.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
