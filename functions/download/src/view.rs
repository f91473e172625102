//! A job as JSON: what the owner sees.

use axum::http::HeaderValue;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use store::{Job, State};

/// Failures that are ours; every other is the input's. The client may try the same file again.
const OURS: [&str; 2] = ["attempts_exhausted", "internal"];

/// Whether the service, not the video, is to blame for this failure.
pub(crate) fn is_ours(code: &str) -> bool {
    OURS.contains(&code)
}

/// The state, or `expired` once a finished job's audio is past its time.
pub(crate) fn status(job: &Job) -> &'static str {
    if job.state == State::Done && job.expired { "expired" } else { job.state.as_str() }
}

/// The whole job.
pub(crate) fn job(job: &Job, now: DateTime<Utc>) -> Value {
    json!({
        "fid": job.id,
        "status": status(job),
        "progress": progress(job),
        "eta_s": eta(job, now).map(f64::ceil),
        "attempts": job.attempt,
        "retry_of": job.retry_of,
        "error": job.error.as_ref().map(|error| json!({
            "code": error.code,
            "detail": error.detail,
            "retryable": is_ours(&error.code),
        })),
        "options": job.options,
        "input": {
            "name": job.source.name,
            "bytes": job.source.bytes,
            "sha256": hex::encode(&job.source.sha256),
        },
        "output": job.audio.as_ref().map(|audio| json!({
            "bytes": audio.bytes,
            "sha256": hex::encode(&audio.sha256),
            "duration_s": audio.seconds,
            "warning": audio.warning,
        })),
        "timings": {
            "created_at": job.created_at,
            "queued_at": job.queued_at,
            "started_at": job.started_at,
            "finished_at": job.finished_at,
        },
        "expires_at": job.expires_at,
        "links": {
            "self": format!("/jobs/{}", job.id),
            "download": format!("/download?fid={}", job.id),
        },
    })
}

/// Changes whenever the job does, but not with the clock: `eta_s` is left out.
pub(crate) fn etag(job: &Job) -> HeaderValue {
    let done_ms = job.progress_seconds.unwrap_or_default() * 1000.0;
    let tag = format!("W/\"{}-{}-{done_ms:.0}\"", status(job), job.attempt);
    HeaderValue::from_str(&tag).expect("a state and two numbers are printable")
}

/// Part done, from 0 to 1, to three digits.
fn progress(job: &Job) -> Option<f64> {
    match job.state {
        State::Done => Some(1.0),
        State::Running => {
            let (done, total) = (job.progress_seconds?, job.total_seconds.filter(|total| *total > 0.0)?);
            Some(((done / total).clamp(0.0, 1.0) * 1000.0).round() / 1000.0)
        }
        _ => None,
    }
}

/// Seconds left, if it goes on as it went.
fn eta(job: &Job, now: DateTime<Utc>) -> Option<f64> {
    let part = progress(job).filter(|part| *part > 0.0 && job.state == State::Running)?;
    let spent = (now - job.started_at?).as_seconds_f64().max(0.0);
    Some(spent * (1.0 - part) / part)
}
