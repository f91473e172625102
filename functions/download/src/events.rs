//! `GET /jobs/{fid}/events`: the job whenever it changes, as server-sent events, until it has ended.

use std::{convert::Infallible, time::Duration};

use auth::Caller;
use axum::{
    extract::Path,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use chrono::Utc;
use futures::{Stream, stream};
use http::HeaderValue;
use service::Problem;
use store::Job;
use uuid::Uuid;

use crate::{Download, handler::not_found, jobs::id, view};

/// One wait; a change ends it early.
const LOOK: Duration = Duration::from_secs(15);

pub(crate) async fn events(
    caller: Caller,
    download: Download,
    Path(fid): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let fid = id(&fid)?;
    download.store.find(caller.user_id, fid).await?.ok_or_else(not_found)?;
    let watch = Watch { download, user_id: caller.user_id, fid, seen: None };
    let events = stream::unfold(Some(watch), |watch| async {
        let (job, watch) = watch?.next().await?;
        let event = Event::default().event("job").json_data(view::job(&job, Utc::now())).ok()?;
        Some((Ok(event), (!job.state.is_final()).then_some(watch)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Watch {
    download: Download,
    user_id: Uuid,
    fid: Uuid,
    seen: Option<HeaderValue>,
}

impl Watch {
    /// The next version of the job; `None` when it was deleted, the store is away, or the function stops: the client then asks anew.
    async fn next(mut self) -> Option<(Job, Self)> {
        loop {
            if self.download.shutdown.is_requested() {
                return None;
            }
            let seen = self.seen.clone();
            let news = |job: &Job| Some(view::etag(job)) != seen;
            let job = self.download.wait(self.user_id, self.fid, LOOK, news).await.ok()??;
            let etag = Some(view::etag(&job));
            if etag != self.seen {
                self.seen = etag;
                return Some((job, self));
            }
        }
    }
}
