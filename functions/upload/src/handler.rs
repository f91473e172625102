use std::collections::BTreeMap;

use auth::Caller;
use axum::{
    Json,
    extract::{Query, Request, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use options::Options;
use serde_json::json;
use service::Problem;
use store::{Job, NewJob};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    form::{Form, invalid_option},
    receive::{Upload, too_large},
};

/// What a form needs around its file: boundaries, headers, options.
const FORM_OVERHEAD: u64 = 64 << 10;
const MAX_KEY_CHARS: usize = 255;

/// `POST /upload`: decides by the headers alone whatever can be, before one byte of the body is asked for.
pub(crate) async fn upload(
    caller: Caller,
    upload: Upload,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let options = options_of(query)?;
    refuse_too_large(&head.headers, upload.limits.max_upload_bytes)?;
    let form = Form::new(&head.headers, body, upload.limits.upload_idle_timeout, options)?;
    let new = NewJob {
        id: Uuid::new_v4(),
        user_id: caller.user_id,
        idempotency_key: idempotency_key(&head.headers)?,
        limit: upload.quota.max_jobs_per_user,
    };
    let received = tokio::spawn(async move { upload.run(new, form).await }.in_current_span());
    let job = received.await.map_err(Problem::internal)??;
    Ok(accepted(&job, &head.headers))
}

fn options_of(query: Result<Query<BTreeMap<String, String>>, QueryRejection>) -> Result<Options, Problem> {
    let Query(pairs) =
        query.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed_query", error.body_text()))?;
    let mut options = Options::default();
    for (name, value) in &pairs {
        options.set(name, value).map_err(|error| invalid_option(&error))?;
    }
    Ok(options)
}

fn refuse_too_large(headers: &HeaderMap, limit: u64) -> Result<(), Problem> {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
    match length {
        Some(length) if limit.saturating_add(FORM_OVERHEAD) < length => Err(too_large(limit)),
        _ => Ok(()),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY_CHARS).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_idempotency_key",
            format!("An Idempotency-Key has 1 to {MAX_KEY_CHARS} printable ASCII characters."),
        )),
    }
}

fn accepted(job: &Job, headers: &HeaderMap) -> Response {
    let fid = job.id;
    let location = [(header::LOCATION, format!("/jobs/{fid}")), (header::CACHE_CONTROL, "no-store".to_owned())];
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.starts_with("text/plain") {
        return (StatusCode::ACCEPTED, location, format!("success!\n{fid}\n")).into_response();
    }
    let body = json!({
        "message": "success!",
        "fid": fid,
        "status": job.state,
        "links": {
            "self": format!("/jobs/{fid}"),
            "download": format!("/download?fid={fid}"),
            "cancel": format!("/jobs/{fid}/cancel"),
        },
        "expires_at": job.expires_at,
    });
    (StatusCode::ACCEPTED, location, Json(body)).into_response()
}
