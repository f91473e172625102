//! The wake-up message: topology, publishing with confirms, consuming.
//!
//! The row in PostgreSQL is the job; a message only says "look at this one now". Losing all of them delays jobs until the sweep, and a
//! duplicate finds nothing to claim.

mod consume;
mod error;
mod message;
mod publish;
mod topology;

use std::{sync::Arc, time::Duration};

use clap::Args;
use lapin::{Connection, ConnectionProperties, uri::AMQPUri};
use secrecy::{ExposeSecret, SecretString};

pub use consume::{Consumer, Wakeup};
pub use error::Error;
pub use message::ConvertJob;
pub use publish::Publisher;
pub use topology::{CONVERT, DEAD, purge_dead, redrive};

/// A broker that is silent for longer than this counts as gone (two missed heartbeats).
const HEARTBEAT_SECONDS: u16 = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the messages are.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// RabbitMQ, as `amqp://USER:PASSWORD@HOST:PORT/VHOST` (`amqps://` for TLS; the vhost `/` is written `%2f`).
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    pub amqp_url: SecretString,

    /// Whether this program declares the exchanges and queues; `false` where an operator does and users may not.
    #[arg(long, env = "AMQP_DECLARE", default_value_t = true, action = clap::ArgAction::Set)]
    pub amqp_declare: bool,
}

/// One connection with one channel, the topology declared.
async fn open(settings: &Settings, name: &'static str) -> Result<(Arc<Connection>, lapin::Channel), Error> {
    let mut uri: AMQPUri = settings.amqp_url.expose_secret().parse().map_err(Error::BadUrl)?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connection = bounded(CONNECT_TIMEOUT, Connection::connect_uri(uri, properties)).await?;
    let channel = bounded(CALL_TIMEOUT, connection.create_channel()).await?;
    if settings.amqp_declare {
        topology::declare(&channel).await?;
    }
    Ok((Arc::new(connection), channel))
}

/// Every wait for the broker ends: a stopped broker answers neither yes nor no.
async fn bounded<T>(limit: Duration, call: impl Future<Output = lapin::Result<T>>) -> Result<T, Error> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(Error::Broker),
        Err(_) => Err(Error::TimedOut),
    }
}
