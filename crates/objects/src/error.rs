use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use service::Problem;

use crate::ObjectKey;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong between us and the S3 server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object.
    #[error("there is no object {0}")]
    Missing(ObjectKey),
    /// The server cannot be reached, is overloaded, or broke off. Worth trying again.
    #[error("the object store does not answer")]
    Unavailable(#[source] Source),
    /// A defect or a wrong setting: the server refused what we asked.
    #[error("the object store refused a request: {code}")]
    Refused {
        /// S3's error code.
        code: String,
        /// The rest.
        source: Source,
    },
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(_) => Problem::unavailable("object store", error),
            error => Problem::internal(error),
        }
    }
}

/// A server that answers with a client error means it; everything else may pass. A clock that differs is the operator's fault and may pass too.
pub(crate) fn classify<E>(error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.code().unwrap_or_default().to_owned();
    let refused = status.is_some_and(|status| (400..500).contains(&status) && !matches!(status, 408 | 429));
    if refused && code != "RequestTimeTooSkewed" && code != "RequestTimeout" {
        let code = if code.is_empty() { format!("status {}", status.unwrap_or_default()) } else { code };
        Error::Refused { code, source: error.into() }
    } else {
        Error::Unavailable(error.into())
    }
}

/// As [`classify`], for a request about one object.
pub(crate) fn about<E>(key: ObjectKey) -> impl FnOnce(SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    move |error| match error.raw_response().map(|response| response.status().as_u16()) {
        Some(404) if error.code() != Some("NoSuchBucket") && error.code() != Some("NoSuchUpload") => {
            Error::Missing(key)
        }
        _ => classify(error),
    }
}
