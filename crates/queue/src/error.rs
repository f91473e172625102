/// What can go wrong between us and the broker. None of it loses a job.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured URL is none.
    #[error("AMQP_URL is not an amqp:// URL: {0}")]
    BadUrl(String),
    /// The broker cannot be reached, or closed the connection or the channel.
    #[error("RabbitMQ does not answer")]
    Broker(#[source] lapin::Error),
    /// The broker took too long.
    #[error("RabbitMQ did not answer in time")]
    TimedOut,
    /// The broker would not take the message: its queue is full or missing.
    #[error("RabbitMQ did not take the message")]
    NotTaken,
    /// The channel went away before the acknowledgement; the message will come again.
    #[error("the message cannot be acknowledged any more")]
    Lost,
    /// The broker ended the consumer.
    #[error("RabbitMQ ended the consumer")]
    Ended,
}
