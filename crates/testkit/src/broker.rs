use std::time::Duration;

use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

/// Makes a virtual host for one test and returns its `amqp://` URL.
///
/// # Panics
/// The broker's management API does not answer.
pub async fn vhost() -> String {
    let stack = crate::stack().await;
    let name = crate::unique("test");
    let url = reqwest::Url::parse(stack.amqp_url()).expect("the stack's URL is one");
    put(&format!("{}/api/vhosts/{name}", stack.management_url()), &json!({})).await;
    let everything = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    put(&format!("{}/api/permissions/{name}/{}", stack.management_url(), url.username()), &everything).await;
    stack.amqp_url().replace("%2f", &name)
}

async fn put(url: &str, body: &serde_json::Value) {
    let request = reqwest::Client::new().put(url).json(body).timeout(PATIENCE);
    let answer = request.send().await.expect("the management API answers");
    answer.error_for_status().expect("the management API does it");
}

/// How many messages are ready in `queue`, at this moment: the management statistics are 5 s old.
///
/// # Panics
/// The broker does not answer, or there is no such queue.
pub async fn queue_depth(amqp_url: &str, queue: &str) -> u32 {
    tokio::time::timeout(PATIENCE, depth(amqp_url, queue))
        .await
        .expect("the broker answers in time")
        .unwrap_or_else(|error| panic!("cannot look at the queue {queue}: {error}"))
}

async fn depth(amqp_url: &str, queue: &str) -> lapin::Result<u32> {
    let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let look_only = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let depth = channel.queue_declare(queue.into(), look_only, FieldTable::default()).await?.message_count();
    connection.close(200, "done".into()).await?;
    Ok(depth)
}

/// Sends any bytes to `queue`, which must be there.
///
/// # Panics
/// The broker does not answer.
pub async fn publish_raw(amqp_url: &str, queue: &str, payload: &[u8]) {
    let sent = async {
        let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .basic_publish("".into(), queue.into(), BasicPublishOptions::default(), payload, BasicProperties::default())
            .await?
            .await?;
        connection.close(200, "done".into()).await
    };
    tokio::time::timeout(PATIENCE, sent).await.expect("the broker answers in time").expect("sent");
}
