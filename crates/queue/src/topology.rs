//! Exchanges and queues, declared with every argument spelled out so that RabbitMQ 3.10 and 4.x behave alike.

use lapin::{
    BasicProperties, Channel, Confirmation, ExchangeKind,
    options::{
        BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
        QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions,
    },
    types::{AMQPValue, FieldTable},
};

use crate::{CALL_TIMEOUT, Error, Settings, bounded, open};

/// The exchange and the quorum queue of conversions.
pub const CONVERT: &str = "convert";
/// The exchange and the quorum queue of messages that nobody understood, or that were delivered too often.
pub const DEAD: &str = "convert.dead";

/// A second line only: attempts are counted in PostgreSQL, because what RabbitMQ counts differs by version.
const DELIVERY_LIMIT: i64 = 50;
/// Beyond this the broker refuses, and the sweep takes over.
const MAX_LENGTH: i64 = 1_000_000;

pub(crate) async fn declare(channel: &Channel) -> Result<(), Error> {
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    for exchange in [CONVERT, DEAD] {
        let declared = channel.exchange_declare(exchange.into(), ExchangeKind::Direct, durable, FieldTable::default());
        bounded(CALL_TIMEOUT, declared).await?;
    }
    declare_queue(channel, DEAD, quorum()).await?;
    let mut arguments = quorum();
    arguments.insert("x-dead-letter-exchange".into(), text(DEAD));
    arguments.insert("x-dead-letter-routing-key".into(), text(DEAD));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    declare_queue(channel, CONVERT, arguments).await
}

async fn declare_queue(channel: &Channel, name: &'static str, arguments: FieldTable) -> Result<(), Error> {
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    bounded(CALL_TIMEOUT, channel.queue_declare(name.into(), durable, arguments)).await?;
    let bound =
        channel.queue_bind(name.into(), name.into(), name.into(), QueueBindOptions::default(), FieldTable::default());
    bounded(CALL_TIMEOUT, bound).await
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(MAX_LENGTH));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Sends every dead letter to the queue of conversions again and returns how many. A letter leaves the dead queue only once the broker
/// has confirmed its copy.
///
/// # Errors
/// When the broker fails; what was not moved stays where it is.
pub async fn redrive(settings: &Settings) -> Result<u64, Error> {
    let (_connection, channel) = open(settings, "redrive").await?;
    bounded(CALL_TIMEOUT, channel.confirm_select(ConfirmSelectOptions::default())).await?;
    let mut moved = 0;
    while let Some(letter) = bounded(CALL_TIMEOUT, channel.basic_get(DEAD.into(), BasicGetOptions::default())).await? {
        publish(&channel, &letter.data).await?;
        bounded(CALL_TIMEOUT, letter.ack(BasicAckOptions::default())).await?;
        moved += 1;
    }
    Ok(moved)
}

/// Throws every dead letter away and returns how many.
pub async fn purge_dead(settings: &Settings) -> Result<u32, Error> {
    let (_connection, channel) = open(settings, "purge").await?;
    bounded(CALL_TIMEOUT, channel.queue_purge(DEAD.into(), QueuePurgeOptions::default())).await
}

/// Publishes to [`CONVERT`] and waits for the confirm. `mandatory`: a message that reaches no queue comes back, and counts as not taken.
pub(crate) async fn publish(channel: &Channel, payload: &[u8]) -> Result<(), Error> {
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    let persistent = BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
    let sent =
        bounded(CALL_TIMEOUT, channel.basic_publish(CONVERT.into(), CONVERT.into(), mandatory, payload, persistent))
            .await?;
    match bounded(CALL_TIMEOUT, sent).await? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) | Confirmation::Nack(_) | Confirmation::NotRequested => Err(Error::NotTaken),
    }
}
