use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::Method;
use opentelemetry::trace::Status;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{
    body::Accompanied,
    request_id::{self, REQUEST_ID, X_REQUEST_ID},
};
use crate::{metrics, trace};

/// What a request is called that was given up by its client before the answer, as nginx does.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Gives the request an id and a span, and records how it went.
pub(super) async fn observe(State(function): State<&'static str>, request: Request, next: Next) -> Response {
    let id = request_id::of(request.headers());
    let mut exchange = Exchange::begin(function, &request, &id);
    let in_flight = InFlight::begin(function);
    let answer = next.run(request).instrument(exchange.span.clone());
    let mut response = REQUEST_ID.scope(id.clone(), answer).await;
    exchange.status = response.status().as_u16();
    let id = id.parse().expect("a request id is visible ASCII");
    response.headers_mut().insert(X_REQUEST_ID, id);
    response.map(|body| Accompanied::wrap(body, in_flight))
}

/// One request and its answer; logged and measured when dropped, so also if the client gives up.
struct Exchange {
    function: &'static str,
    method: Method,
    route: String,
    status: u16,
    began: Instant,
    span: Span,
}

impl Exchange {
    fn begin(function: &'static str, request: &Request, id: &str) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
        let method = request.method().clone();
        let span = span(function, &method, route, id);
        let parent = request.headers().get(trace::TRACEPARENT).and_then(|value| value.to_str().ok());
        if let Some(parent) = parent {
            trace::continue_from(&span, parent);
        }
        let (route, status, began) = (route.to_owned(), CLIENT_CLOSED_REQUEST, Instant::now());
        Self { function, method, route, status, began, span }
    }
}

/// The fields are for log lines; attributes by the semantic conventions go to the trace alone.
fn span(function: &'static str, method: &Method, route: &str, id: &str) -> Span {
    let span = info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        request_id = id,
        %method,
        route,
    );
    span.set_attribute("function", function);
    span.set_attribute("http.request.method", method.to_string());
    span.set_attribute("http.route", route.to_owned());
    span
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let (took, status) = (self.began.elapsed(), self.status);
        metrics::request_answered(self.function, known(&self.method), &self.route, status, took);
        self.span.set_attribute("http.response.status_code", i64::from(status));
        if (500..600).contains(&status) {
            self.span.set_status(Status::error(""));
        }
        let latency_ms = took.as_secs_f64() * 1e3;
        self.span.in_scope(|| tracing::info!(status, latency_ms, "answered"));
    }
}

/// Clients may invent methods; labels must not grow with them.
fn known(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => "_OTHER",
    }
}

struct InFlight(&'static str);

impl InFlight {
    fn begin(function: &'static str) -> Self {
        metrics::requests_in_flight(function, 1);
        Self(function)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::requests_in_flight(self.0, -1);
    }
}
