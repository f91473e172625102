use std::fmt;

use uuid::Uuid;

/// Every object there is. Client data never becomes part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKey {
    /// The video, as uploaded.
    Source(Uuid),
    /// The audio that one attempt made. The number is never used twice, so attempts cannot overwrite each other.
    Audio {
        /// The job.
        job: Uuid,
        /// The claim's number, from 1.
        attempt: i32,
    },
}

impl ObjectKey {
    /// The media type that the object is stored with.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Source(_) => "video/mp4",
            Self::Audio { .. } => "audio/mpeg",
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(id) => write!(f, "in/{id}"),
            Self::Audio { job, attempt } => write!(f, "out/{job}/{attempt}.mp3"),
        }
    }
}
