//! Errors as clients see them: problem details of RFC 9457.
//!
//! An error has two faces. Outside it is a stable `code` and a sentence that a person can act on;
//! inside, the whole chain of causes is logged once, where the problem is made.

use std::{borrow::Cow, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::http::request_id;

/// How long a client should wait before it asks again, when a store does not answer.
const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// An error answer: `application/problem+json`, never cached.
#[derive(Debug)]
pub struct Problem(Box<Details>);

#[derive(Debug)]
struct Details {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    retryable: bool,
    headers: HeaderMap,
    extensions: Map<String, Value>,
}

impl Problem {
    /// A problem that the client can do something about: `code` is stable `snake_case`, `detail` is
    /// a sentence for a person.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self(Box::new(Details {
            status,
            code: code.into(),
            detail: detail.into(),
            retryable: false,
            headers: HeaderMap::new(),
            extensions: Map::new(),
        }))
    }

    /// A defect of ours, 500: the chain of causes is logged here, the client learns nothing of it.
    pub fn internal(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        tracing::error!(error = format!("{error:#}"), "internal error");
        let detail = "Something went wrong on our side. If it stays, report it with the request_id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// A store that does not answer, 503: `what` names it, as "job store"; the chain is logged here.
    pub fn unavailable(what: &'static str, error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        tracing::warn!(error = format!("{error:#}"), "the {what} does not answer");
        let detail = format!("The {what} does not answer right now; try again in a few seconds.");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(UNAVAILABLE_RETRY_AFTER)
    }

    /// Whether the same request may well succeed later.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// Retryable, after this long: `Retry-After` in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retryable(true).header(header::RETRY_AFTER, seconds.into())
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.append(name, value);
        self
    }

    /// Adds an extension member (RFC 9457, section 3.2); the standard members win.
    ///
    /// # Panics
    /// When `value` has no JSON form, such as a map whose keys are not strings.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("extension members are plain data");
        self.0.extensions.insert(key.to_owned(), value);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable name of what went wrong.
    pub fn code(&self) -> &str {
        &self.0.code
    }
}

impl Details {
    fn body(&self) -> Value {
        let mut members = self.extensions.clone();
        members.insert("type".into(), format!("urn:video-converter:problem:{}", self.code).into());
        members.insert("title".into(), self.status.canonical_reason().into());
        members.insert("status".into(), self.status.as_u16().into());
        members.insert("detail".into(), self.detail.as_str().into());
        members.insert("code".into(), self.code.as_ref().into());
        members.insert("retryable".into(), self.retryable.into());
        if let Some(id) = request_id() {
            members.insert("request_id".into(), id.into());
        }
        members.into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.0.body().to_string();
        let standard = [(header::CONTENT_TYPE, "application/problem+json"), (header::CACHE_CONTROL, "no-store")];
        (self.0.status, standard, self.0.headers, body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::json;

    use super::*;

    async fn sent(problem: Problem) -> (HeaderMap, Value) {
        let (parts, body) = problem.into_response().into_parts();
        let body = to_bytes(body, 4096).await.unwrap();
        (parts.headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_problem_carries_the_members_of_rfc_9457_and_ours() {
        let problem = Problem::new(StatusCode::GONE, "expired", "The file is gone.")
            .with("expired_at", "2026-11-23")
            .with("code", "no extension replaces a standard member");
        let (headers, body) = sent(problem).await;
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        let expected = json!({
            "type": "urn:video-converter:problem:expired",
            "title": "Gone",
            "status": 410,
            "detail": "The file is gone.",
            "code": "expired",
            "retryable": false,
            "expired_at": "2026-11-23",
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn an_internal_error_says_nothing_of_its_cause() {
        let problem = Problem::internal(anyhow::anyhow!("secret").context("outer"));
        assert_eq!((problem.status().as_u16(), problem.code()), (500, "internal"));
        let (_, body) = sent(problem).await;
        assert!(!body.to_string().contains("secret") && !body.to_string().contains("outer"));
    }

    #[tokio::test]
    async fn an_unavailable_store_asks_to_come_back() {
        let (headers, body) = sent(Problem::unavailable("job store", anyhow::anyhow!("x"))).await;
        assert_eq!(headers[header::RETRY_AFTER], "5");
        assert_eq!(body["retryable"], true);
        let detail = "The job store does not answer right now; try again in a few seconds.";
        assert_eq!(body["detail"], detail);
    }

    #[tokio::test]
    async fn a_part_of_a_second_is_rounded_up() {
        let wait = Duration::from_millis(1200);
        let (headers, _) = sent(Problem::new(StatusCode::ACCEPTED, "x", "x").retry_after(wait)).await;
        assert_eq!(headers[header::RETRY_AFTER], "2");
    }
}
