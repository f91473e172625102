//! Function 4: a job in, its audio or its state out.

mod config;
mod disposition;
mod events;
mod handler;
mod jobs;
mod prefer;
mod reply;
mod view;

use std::{convert::Infallible, time::Duration};

use auth::Verifier;
use axum::{
    Router,
    extract::{FromRef, FromRequestParts},
    routing::{get, post},
};
use http::request::Parts;
use objects::Objects;
use queue::{ConvertJob, Publisher};
use service::{Problem, shutdown::Shutdown};
use store::{Changes, Job, Quota, Store};
use uuid::Uuid;

pub use config::{Limits, Settings};

/// The function's routes: `/download` and everything below `/jobs`.
pub fn router<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Verifier: FromRef<S>,
    Download: FromRequestParts<S, Rejection = Infallible>,
{
    Router::new()
        .route("/download", get(handler::download))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{fid}", get(jobs::show).delete(jobs::delete))
        .route("/jobs/{fid}/events", get(events::events))
        .route("/jobs/{fid}/cancel", post(jobs::cancel))
        .route("/jobs/{fid}/retry", post(jobs::retry))
}

/// What the routes need, from the state that they are mounted on.
pub struct Download {
    store: Store,
    changes: Changes,
    objects: Objects,
    publisher: Publisher,
    quota: Quota,
    limits: Limits,
    shutdown: Shutdown,
}

impl<S> FromRequestParts<S> for Download
where
    S: Send + Sync,
    Store: FromRef<S>,
    Changes: FromRef<S>,
    Objects: FromRef<S>,
    Publisher: FromRef<S>,
    Quota: FromRef<S>,
    Limits: FromRef<S>,
    Shutdown: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            store: Store::from_ref(state),
            changes: Changes::from_ref(state),
            objects: Objects::from_ref(state),
            publisher: Publisher::from_ref(state),
            quota: Quota::from_ref(state),
            limits: Limits::from_ref(state),
            shutdown: Shutdown::from_ref(state),
        })
    }
}

impl Download {
    /// The user's job as soon as `enough` of it, or as it is when patience ends or the function is asked to stop.
    async fn wait(
        &self,
        user: Uuid,
        fid: Uuid,
        patience: Duration,
        enough: impl Fn(&Job) -> bool,
    ) -> Result<Option<Job>, Problem> {
        tokio::select! {
            job = self.changes.wait(user, fid, patience, enough) => Ok(job?),
            () = self.shutdown.requested() => Ok(self.store.find(user, fid).await?),
        }
    }

    /// A hint only: without it the sweep takes the job.
    async fn wake_a_worker(&self, job_id: Uuid) {
        let wakeup = ConvertJob { job_id, traceparent: service::trace::current_traceparent() };
        if let Err(error) = self.publisher.publish(&wakeup).await {
            service::metrics::publish_unconfirmed();
            tracing::warn!(%job_id, error = &error as &dyn std::error::Error, "no wake-up was confirmed; the sweep will take the job");
        }
    }
}
