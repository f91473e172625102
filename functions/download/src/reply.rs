//! The audio as an answer: whole or in part, conditional, and never wrong bytes.

use std::{io, ops::Range as Span};

use aws_lc_rs::digest;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use headers::{ETag, HeaderMapExt, IfNoneMatch, IfRange, Range};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use objects::{ObjectKey, Objects};
use service::{Problem, metrics};
use store::{Audio, Job};

use crate::disposition::attachment;

/// Answers with the audio of a job that is done.
pub(crate) async fn audio(
    objects: &Objects,
    job: &Job,
    audio: &Audio,
    method: &Method,
    request: &HeaderMap,
) -> Result<Response, Problem> {
    let length = u64::try_from(audio.bytes).unwrap_or(0);
    let etag: ETag = format!("\"{}\"", hex::encode(&audio.sha256))
        .parse()
        .map_err(|_| Problem::internal(anyhow::anyhow!("no etag")))?;
    let mut answer = about(job, audio, &etag);
    if request.typed_get::<IfNoneMatch>().is_some_and(|known| !known.precondition_passes(&etag)) {
        answer.remove(header::CONTENT_TYPE);
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    let span = match wanted(method, request, &etag, length) {
        Wanted::All => None,
        Wanted::Part(span) => Some(span),
        Wanted::Nothing => return Err(unsatisfiable(length)),
    };
    let (status, sent) = match &span {
        None => (StatusCode::OK, length),
        Some(span) => {
            let content_range = format!("bytes {}-{}/{length}", span.start, span.end - 1);
            answer.insert(header::CONTENT_RANGE, content_range.parse().map_err(Problem::internal)?);
            (StatusCode::PARTIAL_CONTENT, span.end - span.start)
        }
    };
    answer.insert(header::CONTENT_LENGTH, sent.into());
    if method == Method::HEAD {
        return Ok((status, answer, Body::empty()).into_response());
    }
    let body = body(objects, job, audio, span, sent).await?;
    metrics::bytes_written(sent);
    Ok((status, answer, body).into_response())
}

fn about(job: &Job, audio: &Audio, etag: &ETag) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.typed_insert(etag.clone());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/mpeg"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let digest = format!("sha-256=:{}:", BASE64_STANDARD.encode(&audio.sha256));
    for (name, value) in [("content-disposition", attachment(&job.source.name)), ("repr-digest", digest)] {
        headers.insert(name, HeaderValue::from_str(&value).expect("both are made of printable ASCII"));
    }
    headers
}

enum Wanted {
    All,
    Part(Span<u64>),
    Nothing,
}

/// One range of a GET is honoured; several at once are answered with the whole, as RFC 9110, 14.2 allows.
fn wanted(method: &Method, request: &HeaderMap, etag: &ETag, length: u64) -> Wanted {
    let stale = request.typed_get::<IfRange>().is_some_and(|known| known.is_modified(Some(etag), None));
    let Some(range) = request.typed_get::<Range>().filter(|_| method == Method::GET && !stale) else {
        return Wanted::All;
    };
    if suffix(request).is_some_and(|suffix| suffix >= length && length > 0) {
        return Wanted::All;
    }
    let spans: Vec<_> = range.satisfiable_ranges(length).filter_map(|bounds| span(bounds, length)).collect();
    match spans.as_slice() {
        [] => Wanted::Nothing,
        [one] => Wanted::Part(one.clone()),
        _ => Wanted::All,
    }
}

/// N of `bytes=-N`: `headers` takes one longer than the audio for unsatisfiable, RFC 9110, 14.1.2 for all of it.
fn suffix(request: &HeaderMap) -> Option<u64> {
    request.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=-")?.trim().parse().ok()
}

fn span((first, last): (std::ops::Bound<u64>, std::ops::Bound<u64>), length: u64) -> Option<Span<u64>> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let start = match first {
        Included(first) => first,
        Excluded(first) => first + 1,
        Unbounded => 0,
    };
    let end = match last {
        Included(last) => last.saturating_add(1).min(length),
        Excluded(last) => last.min(length),
        Unbounded => length,
    };
    (start < end).then_some(start..end)
}

async fn body(
    objects: &Objects,
    job: &Job,
    audio: &Audio,
    span: Option<Span<u64>>,
    sent: u64,
) -> Result<Body, Problem> {
    let key = ObjectKey::Audio { job: job.id, attempt: audio.attempt };
    let whole = span.is_none();
    let stored = match objects.get(key, span).await {
        Err(error @ objects::Error::Missing(_)) => {
            return Err(damaged(job, &anyhow::Error::from(error)));
        }
        other => other?,
    };
    if stored.length != sent {
        return Err(damaged(job, &anyhow::anyhow!("the object store has {} bytes instead of {sent}", stored.length)));
    }
    let pieces = stored.into_stream();
    Ok(if whole { Body::from_stream(verified(pieces, audio.sha256.clone())) } else { Body::from_stream(pieces) })
}

/// Withholds the last piece until the digest of all is right: what the client got whole is what was made.
fn verified(
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    sha256: Vec<u8>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let state = (Box::pin(pieces), digest::Context::new(&digest::SHA256), None::<Bytes>);
    futures::stream::try_unfold(Some(state), move |state| {
        let sha256 = sha256.clone();
        async move {
            let Some((mut pieces, mut context, held)) = state else {
                return Ok(None);
            };
            let Some(piece) = pieces.next().await.transpose()? else {
                let right = context.finish().as_ref() == sha256;
                return if right { Ok(held.map(|last| (last, None))) } else { Err(corrupt()) };
            };
            context.update(&piece);
            let next = Some((pieces, context, Some(piece)));
            Ok(Some((held.unwrap_or_default(), next)))
        }
    })
}

fn corrupt() -> io::Error {
    tracing::error!("the object store gave other bytes than were stored; the answer was broken off");
    io::Error::new(io::ErrorKind::InvalidData, "the stored audio is damaged")
}

fn damaged(job: &Job, cause: &anyhow::Error) -> Problem {
    tracing::error!(job_id = %job.id, error = format!("{cause:#}"), "the audio of a finished job is missing or damaged");
    let detail =
        "The audio was made, but the object store has lost or damaged it. Upload the video again, or ask the operator.";
    Problem::new(StatusCode::BAD_GATEWAY, "audio_damaged", detail)
}

fn unsatisfiable(length: u64) -> Problem {
    let detail = format!("The audio has {length} bytes; none of them is in the range that was asked for.");
    let content_range = HeaderValue::from_str(&format!("bytes */{length}")).expect("a number is printable");
    Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", detail)
        .header(header::CONTENT_RANGE, content_range)
}
