//! `GET` and `HEAD /download`: the audio, or where it stands.

use std::time::Duration;

use auth::Caller;
use axum::{
    Json,
    extract::{Query, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use chrono::Utc;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use objects::ObjectKey;
use serde::Deserialize;
use service::Problem;
use store::{Audio, Job, State};
use uuid::Uuid;

use crate::{
    Download,
    disposition::attachment,
    prefer::{APPLIED, Prefer},
    reply, view,
};

/// How soon a client should ask again about a job that is not ready.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The query of `/download`.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    fid: String,
    #[serde(default)]
    redirect: String,
}

pub(crate) async fn download(
    caller: Caller,
    download: Download,
    method: Method,
    query: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(wanted) =
        query.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed_query", error.body_text()))?;
    let fid = fid(&wanted.fid)?;
    let prefer = Prefer::of(&headers);
    let patience = prefer.wait.unwrap_or(download.limits.download_wait).min(download.limits.download_max_wait);
    let job = download.wait(caller.user_id, fid, patience, |job| job.state.is_final()).await?.ok_or_else(not_found)?;
    let mut answer = match (&job.state, &job.audio) {
        (State::Done, Some(audio)) if !job.expired && wanted.redirect == "1" => download.redirect(&job, audio).await?,
        (State::Done, Some(audio)) if !job.expired => {
            reply::audio(&download.objects, &job, audio, &method, &headers).await?
        }
        (State::Done, _) => return Err(expired()),
        (State::Failed, _) => return Err(failed(&job)),
        (State::Cancelled, _) => return Err(cancelled()),
        _ if prefer.strict => not_ready(&job).into_response(),
        _ => wait_more(&job),
    };
    if let Some(applied) = prefer.applied(patience) {
        answer.headers_mut().insert(APPLIED, applied);
    }
    Ok(answer)
}

impl Download {
    async fn redirect(&self, job: &Job, audio: &Audio) -> Result<Response, Problem> {
        let key = ObjectKey::Audio { job: job.id, attempt: audio.attempt };
        let link = self.objects.link(key, self.limits.download_link_ttl, &attachment(&job.source.name)).await?;
        let headers = [(header::LOCATION, link), (header::CACHE_CONTROL, "no-store".to_owned())];
        Ok((StatusCode::SEE_OTHER, headers).into_response())
    }
}

/// `fid`, with the blanks that a copied command line brings along. What is no id cannot be anybody's job.
fn fid(text: &str) -> Result<Uuid, Problem> {
    match text.trim() {
        "" => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "fid_required",
            "fid is required: /download?fid=FID, as /upload answered it.",
        )),
        fid => fid.parse().map_err(|_| not_found()),
    }
}

/// The same for a job that never was, one of somebody else, and what is no id at all.
pub(crate) fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "job_not_found", "You have no job with this fid.")
}

fn wait_more(job: &Job) -> Response {
    let headers = [
        (header::RETRY_AFTER, HeaderValue::from(ASK_AGAIN.as_secs())),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::LOCATION, HeaderValue::from_str(&format!("/jobs/{}", job.id)).expect("an id is printable")),
    ];
    (StatusCode::ACCEPTED, headers, Json(view::job(job, Utc::now()))).into_response()
}

fn not_ready(job: &Job) -> Problem {
    let detail = format!("The audio is not ready: the job is {}. Ask again.", view::status(job));
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail)
        .retry_after(ASK_AGAIN)
        .with("status", view::status(job))
}

fn failed(job: &Job) -> Problem {
    let (code, detail) = job.error.as_ref().map_or(("internal", ""), |error| (&error.code, &error.detail));
    let ours = view::is_ours(code);
    let status = if ours { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::UNPROCESSABLE_ENTITY };
    Problem::new(status, code.to_owned(), detail.to_owned())
        .with("status", "failed")
        .with("retry", format!("/jobs/{}/retry", job.id))
}

fn cancelled() -> Problem {
    Problem::new(StatusCode::CONFLICT, "cancelled", "The job was cancelled. POST /jobs/{fid}/retry starts it again.")
}

fn expired() -> Problem {
    Problem::new(StatusCode::GONE, "expired", "The audio was kept for its time and is gone. Upload the video again.")
}
