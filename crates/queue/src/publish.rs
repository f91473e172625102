use std::{sync::Arc, time::Duration};

use lapin::{Channel, Connection, options::ConfirmSelectOptions};
use tokio::sync::Mutex;

use crate::{CALL_TIMEOUT, ConvertJob, Error, Settings, bounded, open, topology};

/// An upload waits no longer than this for the broker: the job is safe without it.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Publishes wake-ups over one connection, opened on first use and again after any error. Clones share it.
#[derive(Clone)]
pub struct Publisher {
    settings: Settings,
    link: Arc<Mutex<Option<Link>>>,
}

#[derive(Clone)]
struct Link {
    /// Held, because dropping it would close the channel.
    _connection: Arc<Connection>,
    channel: Channel,
}

impl Publisher {
    /// A publisher that has not connected yet.
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), link: Arc::default() }
    }

    /// Returns once the broker has confirmed that the message is safe on its queue.
    ///
    /// # Errors
    /// Any: the caller leaves the job to the sweep.
    pub async fn publish(&self, job: &ConvertJob) -> Result<(), Error> {
        let sent = tokio::time::timeout(PUBLISH_TIMEOUT, self.try_publish(job)).await;
        let sent = sent.unwrap_or(Err(Error::TimedOut));
        if sent.is_err() {
            self.link.lock().await.take();
        }
        sent
    }

    async fn try_publish(&self, job: &ConvertJob) -> Result<(), Error> {
        let link = self.link().await?;
        topology::publish(&link.channel, &job.to_bytes()).await
    }

    async fn link(&self) -> Result<Link, Error> {
        let mut link = self.link.lock().await;
        if let Some(link) = link.as_ref().filter(|link| link.channel.status().connected()) {
            return Ok(link.clone());
        }
        let (connection, channel) = open(&self.settings, "upload").await?;
        bounded(CALL_TIMEOUT, channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(link.insert(Link { _connection: connection, channel }).clone())
    }
}
