//! What surrounds every router: request ids, traces, metrics, the access log, probes.

mod body;
mod observe;
mod request_id;

use std::any::Any;

use anyhow::anyhow;
use axum::{
    Router, middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use tower_http::catch_panic::CatchPanicLayer;

use crate::Problem;

pub use request_id::current as request_id;

/// Adds to a function's router what all of them have.
///
/// - `/livez` and `/readyz` answer 200 once we listen and touch no store: a cold start stays short,
///   and an outage elsewhere takes nothing down.
/// - Unknown routes, wrong methods and panics are answered as a [`Problem`].
/// - Every response carries `x-request-id`; every request is a span, a log line and a measurement.
pub fn wrap(router: Router, function: &'static str) -> Router {
    router
        .route("/livez", get(ok))
        .route("/readyz", get(ok))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(function, observe::observe))
}

async fn ok() -> &'static str {
    "ok"
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address.")
}

async fn method_not_allowed() -> Problem {
    let detail = "This address does not take this method; the Allow header lists those it takes.";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("not a text");
    Problem::internal(anyhow!("a handler panicked: {text}")).into_response()
}
