//! Waiting for a job to change without asking all the time.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::{Error, Job, Store};

/// Notifications are a hint; whoever waits looks again after this long anyway.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const RECONNECT: Duration = Duration::from_secs(1);
/// A waiter that falls behind this many changes just looks.
const BACKLOG: usize = 1024;

/// Tells which jobs change, from one `LISTEN` connection per process.
#[derive(Clone, Debug)]
pub struct Changes {
    store: Store,
    sender: broadcast::Sender<Uuid>,
}

impl Changes {
    /// Listens in the background until every clone is gone. Must be called within a runtime.
    pub fn listen(store: Store) -> Self {
        let sender = broadcast::Sender::new(BACKLOG);
        tokio::spawn(forward(store.clone(), sender.downgrade()));
        Self { store, sender }
    }

    /// The job as soon as `enough` of it, or as it is after `patience`. `None`: no such job of this user.
    pub async fn wait(
        &self,
        user_id: Uuid,
        id: Uuid,
        patience: Duration,
        enough: impl Fn(&Job) -> bool,
    ) -> Result<Option<Job>, Error> {
        // Subscribed before the first look, so that no change falls between the two.
        let mut changes = self.sender.subscribe();
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let job = self.store.find(user_id, id).await?;
            if job.as_ref().is_none_or(&enough) || tokio::time::Instant::now() >= deadline {
                return Ok(job);
            }
            let look_again = deadline.min(tokio::time::Instant::now() + LOOK_AGAIN);
            let changed = tokio::time::timeout_at(look_again, this_job(&mut changes, id)).await;
            if changed.is_err() {
                tracing::trace!(%id, "no notification; looking again");
            }
        }
    }
}

/// Ends at the next change of this job, or when changes were missed.
async fn this_job(changes: &mut broadcast::Receiver<Uuid>, id: Uuid) {
    loop {
        match changes.recv().await {
            Ok(changed) if changed != id => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn forward(store: Store, sender: broadcast::WeakSender<Uuid>) {
    while sender.strong_count() > 0 && !store.pool.is_closed() {
        if let Err(error) = forward_once(&store, &sender).await {
            tracing::debug!(%error, "cannot listen for changes of jobs; waiting requests poll meanwhile");
            tokio::time::sleep(RECONNECT).await;
        }
    }
}

async fn forward_once(store: &Store, sender: &broadcast::WeakSender<Uuid>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(&store.pool).await?;
    listener.listen("job_events").await?;
    while let Some(sender) = sender.upgrade() {
        // A silent half minute is the moment to look whether anybody is left to tell.
        let Ok(notification) = tokio::time::timeout(Duration::from_secs(30), listener.recv()).await else {
            continue;
        };
        match notification?.payload().parse() {
            // An error only says that nobody waits right now.
            Ok(id) => drop(sender.send(id)),
            Err(error) => tracing::warn!(%error, "a notification on job_events is not a job's id"),
        }
    }
    Ok(())
}
