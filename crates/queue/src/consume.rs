use std::sync::Arc;

use futures::StreamExt;
use lapin::{
    Connection,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
    },
    types::FieldTable,
};

use crate::{CALL_TIMEOUT, CONVERT, ConvertJob, Error, Settings, bounded, open};

/// Takes one wake-up at a time. On any error it is dropped and opened anew: lapin's own recovery can leave a consumer that waits for ever.
pub struct Consumer {
    connection: Arc<Connection>,
    channel: lapin::Channel,
    deliveries: lapin::Consumer,
}

impl Consumer {
    /// Connects and subscribes. A prefetch of one, because each message that a stopping worker hands back untouched counts as a delivery.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let (connection, channel) = open(settings, "convert").await?;
        bounded(CALL_TIMEOUT, channel.basic_qos(1, BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions::default();
        let consumed = channel.basic_consume(CONVERT.into(), "".into(), options, FieldTable::default());
        let deliveries = bounded(CALL_TIMEOUT, consumed).await?;
        Ok(Self { connection, channel, deliveries })
    }

    /// Waits for the next wake-up. Cancel-safe.
    pub async fn next(&mut self) -> Result<Wakeup, Error> {
        match self.deliveries.next().await {
            Some(Ok(delivery)) => Ok(Wakeup { delivery }),
            Some(Err(error)) => Err(Error::Broker(error)),
            None => Err(Error::Ended),
        }
    }

    /// Stops taking messages and closes the connection; what is unacknowledged goes back to the queue.
    pub async fn close(self) -> Result<(), Error> {
        let tag = self.deliveries.tag();
        bounded(CALL_TIMEOUT, self.channel.basic_cancel(tag, BasicCancelOptions::default())).await?;
        bounded(CALL_TIMEOUT, self.connection.close(200, "done".into())).await
    }
}

/// A delivered message; dropped without an answer it comes again when the connection ends.
pub struct Wakeup {
    delivery: Delivery,
}

impl Wakeup {
    /// What the message says.
    ///
    /// # Errors
    /// When it is not one of ours: [`Wakeup::bury`] it.
    pub fn job(&self) -> Result<ConvertJob, serde_json::Error> {
        ConvertJob::from_bytes(&self.delivery.data)
    }

    /// Nothing is left to do for this message.
    pub async fn ack(self) -> Result<(), Error> {
        settled(bounded(CALL_TIMEOUT, self.delivery.ack(BasicAckOptions::default())).await?)
    }

    /// Back to the queue, for another worker.
    pub async fn requeue(self) -> Result<(), Error> {
        let options = BasicNackOptions { requeue: true, ..Default::default() };
        settled(bounded(CALL_TIMEOUT, self.delivery.nack(options)).await?)
    }

    /// To the dead letters, for a person.
    pub async fn bury(self) -> Result<(), Error> {
        settled(bounded(CALL_TIMEOUT, self.delivery.reject(BasicRejectOptions { requeue: false })).await?)
    }
}

/// lapin answers `false`, not an error, when the channel is gone.
fn settled(sent: bool) -> Result<(), Error> {
    if sent { Ok(()) } else { Err(Error::Lost) }
}
