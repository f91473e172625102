//! Function 2: a video in, a job out.
//!
//! The video streams to S3 in constant memory; once the row says `queued` the job is never lost, and only then is the client told.

mod config;
mod drain;
mod form;
mod handler;
mod receive;

use auth::Verifier;
use axum::{Router, extract::FromRef, routing::post};
use objects::Objects;
use queue::Publisher;
use store::{Quota, Store};

pub use config::{Limits, Settings};

/// The function's routes: `POST /upload`.
pub fn router<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Store: FromRef<S>,
    Objects: FromRef<S>,
    Publisher: FromRef<S>,
    Verifier: FromRef<S>,
    Quota: FromRef<S>,
    Limits: FromRef<S>,
{
    Router::new().route("/upload", post(handler::upload).layer(axum::middleware::from_fn(drain::after_answer)))
}
