//! The multipart body: exactly one file under any field name, options as the other fields, in any order (RFC 7578).

use std::{io, time::Duration};

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::StatusCode;
use multer::{Constraints, Field, Multipart, SizeLimit};
use options::Options;
use service::Problem;

/// Options are short words.
const MAX_OPTION_BYTES: u64 = 1024;
/// More parts than this are no form of ours.
const MAX_PARTS: usize = 32;
const MAX_NAME_CHARS: usize = 255;

/// A form that is being read.
pub(crate) struct Form {
    parts: Multipart<'static>,
    count: usize,
    /// What the query and the fields so far ask for.
    pub(crate) options: Options,
}

impl Form {
    /// Looks at the headers only; reads nothing.
    pub(crate) fn new(headers: &HeaderMap, body: Body, idle: Duration, options: Options) -> Result<Self, Problem> {
        let content_type =
            headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(content_type).map_err(|_| not_multipart())?;
        let limits = SizeLimit::new().per_field(u64::MAX);
        let parts = Multipart::with_constraints(paced(body, idle), boundary, Constraints::new().size_limit(limits));
        Ok(Self { parts, count: 0, options })
    }

    /// The next file, with the options in front of it taken in; `None` at the end of the form.
    pub(crate) async fn next_file(&mut self) -> Result<Option<Field<'static>>, Problem> {
        while let Some(field) = self.parts.next_field().await.map_err(|error| broken(&error))? {
            self.count += 1;
            if self.count > MAX_PARTS {
                return Err(bad_form(&format!("the form has more than {MAX_PARTS} parts")));
            }
            if field.file_name().is_some() {
                return Ok(Some(field));
            }
            self.take_option(field).await?;
        }
        Ok(None)
    }

    async fn take_option(&mut self, mut field: Field<'static>) -> Result<(), Problem> {
        let name = field.name().unwrap_or_default().to_owned();
        let mut value = Vec::new();
        while let Some(piece) = field.chunk().await.map_err(|error| broken(&error))? {
            value.extend_from_slice(&piece);
            if value.len() as u64 > MAX_OPTION_BYTES {
                return Err(bad_form(&format!(
                    "the field `{name}` is longer than {MAX_OPTION_BYTES} bytes; send the video as a file"
                )));
            }
        }
        let value = String::from_utf8(value).map_err(|_| bad_form(&format!("the field `{name}` is not UTF-8")))?;
        self.options.set(&name, &value).map_err(|error| invalid_option(&error))
    }
}

/// The client's file name, for display only: its last component, no control characters, not endless.
pub(crate) fn display_name(field: &Field<'_>) -> String {
    let name = field.file_name().unwrap_or_default();
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    if clean.trim().is_empty() { "video.mp4".to_owned() } else { clean }
}

/// A body that must not pause for longer than `idle`.
fn paced(body: Body, idle: Duration) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures::stream::unfold(Some(body.into_data_stream()), move |body| async move {
        let mut body = body?;
        // multer takes whatever is ready into its buffer; one piece at a time keeps that buffer small.
        tokio::task::yield_now().await;
        match tokio::time::timeout(idle, body.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(body))),
            Ok(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

/// What the client's stream was guilty of.
pub(crate) fn broken(error: &multer::Error) -> Problem {
    match error {
        multer::Error::StreamReadFailed(cause) if timed_out(cause.as_ref()) => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "upload_too_slow",
            "The upload paused for too long and was broken off; nothing was kept. Send it again.",
        )
        .retryable(true),
        multer::Error::StreamReadFailed(_)
        | multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. } => Problem::new(
            StatusCode::BAD_REQUEST,
            "upload_interrupted",
            "The upload ended early; nothing was kept. Send it again.",
        )
        .retryable(true),
        other => bad_form(&other.to_string()),
    }
}

fn timed_out(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

pub(crate) fn invalid_option(error: &options::Invalid) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_option", format!("{error}."))
}

fn bad_form(what: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_form", format!("This is not a form that can be read: {what}."))
}

fn not_multipart() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "not_multipart",
        "Send the video as multipart/form-data, as `curl -F 'file=@video.mp4'` does.",
    )
}
