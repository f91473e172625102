//! `/jobs`: look, list, cancel, retry, delete.

use auth::Caller;
use axum::{
    Json,
    extract::{Path, Query, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use service::Problem;
use store::{Cancelled, Job, PageKey, Retried, State};
use uuid::Uuid;

use crate::{Download, handler::not_found, prefer::Prefer, view};

const PAGE: u16 = 50;
const MAX_PAGE: u16 = 200;

/// `GET /jobs/{fid}`: with `Prefer: wait`, as soon as it differs from `If-None-Match`, or has ended.
pub(crate) async fn show(
    caller: Caller,
    download: Download,
    Path(fid): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = headers.get(header::IF_NONE_MATCH).cloned();
    let patience = Prefer::of(&headers).wait.unwrap_or_default().min(download.limits.download_max_wait);
    let news = |job: &Job| known.as_ref().map_or(job.state.is_final(), |known| view::etag(job) != known);
    let job = download.wait(caller.user_id, id(&fid)?, patience, news).await?.ok_or_else(not_found)?;
    let etag = view::etag(&job);
    let headers =
        [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, http::HeaderValue::from_static("private, no-cache"))];
    if known.is_some_and(|known| known == etag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    Ok((headers, Json(view::job(&job, Utc::now()))).into_response())
}

/// The query of `GET /jobs`.
#[derive(Deserialize)]
pub(crate) struct Listing {
    status: Option<String>,
    limit: Option<u16>,
    cursor: Option<String>,
}

/// `GET /jobs`: newest first, a page at a time; the next page in `Link` (RFC 8288) and as `next`.
pub(crate) async fn list(
    caller: Caller,
    download: Download,
    query: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) =
        query.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed_query", error.body_text()))?;
    let state = query.status.as_deref().map(state).transpose()?;
    let after = query.cursor.as_deref().map(cursor).transpose()?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let page = download.store.list(caller.user_id, state, after, limit).await?;
    let now = Utc::now();
    let next = page.next.map(|key| next_page(key, query.status.as_deref(), limit));
    let jobs: Vec<_> = page.jobs.iter().map(|job| view::job(job, now)).collect();
    let no_cache = [(header::CACHE_CONTROL, "private, no-cache")];
    let mut answer = (no_cache, Json(json!({ "jobs": jobs, "next": next }))).into_response();
    if let Some(next) = next {
        let link = format!("<{next}>; rel=\"next\"").parse().map_err(Problem::internal)?;
        answer.headers_mut().insert(header::LINK, link);
    }
    Ok(answer)
}

/// `POST /jobs/{fid}/cancel`: 202, or 409 once it has ended.
pub(crate) async fn cancel(caller: Caller, download: Download, Path(fid): Path<String>) -> Result<Response, Problem> {
    match download.store.cancel(caller.user_id, id(&fid)?).await?.ok_or_else(not_found)? {
        Cancelled::Now(job) => {
            service::metrics::job_entered(job.state.as_str());
            Ok((StatusCode::ACCEPTED, Json(view::job(&job, Utc::now()))).into_response())
        }
        Cancelled::TooLate(job) => {
            let detail = format!("The job cannot be cancelled any more: it is {}.", view::status(&job));
            Err(Problem::new(StatusCode::CONFLICT, "already_ended", detail).with("status", view::status(&job)))
        }
    }
}

/// `POST /jobs/{fid}/retry`: a new job over the same video; asked again, the same new job.
pub(crate) async fn retry(caller: Caller, download: Download, Path(fid): Path<String>) -> Result<Response, Problem> {
    let quota = download.quota;
    let retried =
        download.store.retry(caller.user_id, id(&fid)?, Uuid::new_v4(), quota.retention, quota.max_jobs_per_user);
    match retried.await?.ok_or_else(not_found)? {
        Retried::As(job) => {
            service::metrics::job_entered(job.state.as_str());
            download.wake_a_worker(job.id).await;
            let location = [(header::LOCATION, format!("/jobs/{}", job.id))];
            Ok((StatusCode::ACCEPTED, location, Json(view::job(&job, Utc::now()))).into_response())
        }
        Retried::NotNow(job) => {
            let detail = format!("Only a failed or cancelled job can be retried; this one is {}.", view::status(&job));
            Err(Problem::new(StatusCode::CONFLICT, "not_retryable", detail).with("status", view::status(&job)))
        }
        Retried::Expired => Err(Problem::new(StatusCode::GONE, "expired", "The video is gone. Upload it again.")),
        Retried::TooMany => {
            let detail = format!(
                "You have {} unfinished jobs, the most that are allowed; wait until one has ended.",
                quota.max_jobs_per_user
            );
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_jobs", detail)
                .retry_after(std::time::Duration::from_secs(30)))
        }
    }
}

/// `DELETE /jobs/{fid}`: gone at once; video and audio are erased shortly after.
pub(crate) async fn delete(caller: Caller, download: Download, Path(fid): Path<String>) -> Result<StatusCode, Problem> {
    if download.store.delete(caller.user_id, id(&fid)?).await? { Ok(StatusCode::NO_CONTENT) } else { Err(not_found()) }
}

pub(crate) fn id(fid: &str) -> Result<Uuid, Problem> {
    fid.trim().parse().map_err(|_| not_found())
}

fn state(name: &str) -> Result<State, Problem> {
    let states = &State::ALL[1..];
    states.iter().copied().find(|state| state.as_str() == name).ok_or_else(|| {
        let valid: Vec<_> = states.iter().map(|state| state.as_str()).collect();
        Problem::new(StatusCode::BAD_REQUEST, "malformed_query", format!("`status` is one of {}.", valid.join(", ")))
    })
}

/// A cursor is opaque to clients: microseconds of the creation, a dot, the id, in base64url.
fn next_page(key: PageKey, status: Option<&str>, limit: u16) -> String {
    let cursor = BASE64_URL_SAFE_NO_PAD.encode(format!("{}.{}", key.created_at.timestamp_micros(), key.id));
    let status = status.map(|status| format!("&status={status}")).unwrap_or_default();
    format!("/jobs?limit={limit}{status}&cursor={cursor}")
}

fn cursor(text: &str) -> Result<PageKey, Problem> {
    let parse = || {
        let plain = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (micros, id) = plain.split_once('.')?;
        let created_at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        Some(PageKey { created_at, id: id.parse().ok()? })
    };
    parse().ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_query",
            "This `cursor` is none that we gave; begin without one.",
        )
    })
}
