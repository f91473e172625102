//! Publishing and consuming over a real RabbitMQ, each test on a virtual host of its own.

use std::time::Duration;

use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeleteOptions},
};
use queue::{CONVERT, Consumer, ConvertJob, DEAD, Error, Publisher, Settings};
use testkit::{eventually, proxy::Proxy, queue_depth, vhost};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);

fn settings(amqp_url: &str) -> Settings {
    Settings { amqp_url: amqp_url.into(), amqp_declare: true }
}

fn job() -> ConvertJob {
    ConvertJob {
        job_id: Uuid::new_v4(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

async fn next(consumer: &mut Consumer) -> queue::Wakeup {
    tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a message in time").expect("a message")
}

async fn depth_is(amqp_url: &str, name: &str, depth: u32) {
    eventually(PATIENCE, || async { (queue_depth(amqp_url, name).await == depth).then_some(()) }).await;
}

#[tokio::test]
async fn a_confirmed_message_arrives_and_is_gone_once_acknowledged() {
    let url = vhost().await;
    let sent = job();
    Publisher::new(&settings(&url)).publish(&sent).await.expect("confirmed");
    let mut consumer = Consumer::open(&settings(&url)).await.expect("consuming");
    let wakeup = next(&mut consumer).await;
    assert_eq!(wakeup.job().expect("ours"), sent);
    wakeup.ack().await.expect("acknowledged");
    consumer.close().await.expect("closed");
    depth_is(&url, CONVERT, 0).await;
}

#[tokio::test]
async fn a_message_that_was_not_acknowledged_comes_again() {
    let url = vhost().await;
    let sent = job();
    Publisher::new(&settings(&url)).publish(&sent).await.expect("confirmed");
    for _ in 0..2 {
        let mut consumer = Consumer::open(&settings(&url)).await.expect("consuming");
        let wakeup = next(&mut consumer).await;
        assert_eq!(wakeup.job().expect("ours"), sent);
        consumer.close().await.expect("closed");
    }
    depth_is(&url, CONVERT, 1).await;
}

#[tokio::test]
async fn a_message_that_is_put_back_comes_again_at_once() {
    let url = vhost().await;
    Publisher::new(&settings(&url)).publish(&job()).await.expect("confirmed");
    let mut consumer = Consumer::open(&settings(&url)).await.expect("consuming");
    next(&mut consumer).await.requeue().await.expect("put back");
    next(&mut consumer).await.ack().await.expect("acknowledged");
}

#[tokio::test]
async fn one_worker_holds_one_message() {
    let url = vhost().await;
    let publisher = Publisher::new(&settings(&url));
    let (first, second) = (job(), job());
    publisher.publish(&first).await.expect("confirmed");
    publisher.publish(&second).await.expect("confirmed");
    let mut busy = Consumer::open(&settings(&url)).await.expect("consuming");
    let held = next(&mut busy).await;
    let mut idle = Consumer::open(&settings(&url)).await.expect("consuming");
    assert_eq!(next(&mut idle).await.job().expect("ours"), second, "the busy worker was not given a second one");
    held.ack().await.expect("acknowledged");
}

#[tokio::test]
async fn what_nobody_understands_is_buried_and_can_be_redriven() {
    let url = vhost().await;
    let mut consumer = Consumer::open(&settings(&url)).await.expect("consuming");
    publish_raw(&url, b"not json").await;
    let alien = next(&mut consumer).await;
    assert!(alien.job().is_err());
    alien.bury().await.expect("buried");
    depth_is(&url, DEAD, 1).await;
    consumer.close().await.expect("closed");
    assert_eq!(queue::redrive(&settings(&url)).await.expect("redriven"), 1);
    depth_is(&url, DEAD, 0).await;
    depth_is(&url, CONVERT, 1).await;
}

#[tokio::test]
async fn a_message_of_a_newer_version_is_understood() {
    let url = vhost().await;
    let mut consumer = Consumer::open(&settings(&url)).await.expect("consuming");
    let id = Uuid::new_v4();
    publish_raw(&url, format!("{{\"job_id\":\"{id}\",\"priority\":7}}").as_bytes()).await;
    assert_eq!(next(&mut consumer).await.job().expect("ours").job_id, id);
}

#[tokio::test]
async fn a_message_that_reaches_no_queue_does_not_count_as_published() {
    let url = vhost().await;
    let publisher = Publisher::new(&settings(&url));
    publisher.publish(&job()).await.expect("confirmed");
    let connection = connect(&url).await;
    let channel = connection.create_channel().await.expect("a channel");
    channel.queue_delete(CONVERT.into(), QueueDeleteOptions::default()).await.expect("deleted");
    let lost = publisher.publish(&job()).await;
    assert!(matches!(lost, Err(Error::NotTaken)), "{lost:?}");
    publisher.publish(&job()).await.expect("the queue is declared again");
}

#[tokio::test]
async fn publishing_fails_soon_while_the_broker_is_away_and_works_again_after() {
    let url = vhost().await;
    let (proxy, through) = Proxy::to_url(&url).await;
    let publisher = Publisher::new(&settings(&through));
    publisher.publish(&job()).await.expect("confirmed");
    proxy.cut();
    assert!(publisher.publish(&job()).await.is_err());
    proxy.heal();
    publisher.publish(&job()).await.expect("confirmed");
    depth_is(&url, CONVERT, 2).await;
}

#[tokio::test]
async fn a_broker_that_takes_and_never_answers_does_not_hold_an_upload() {
    let url = vhost().await;
    let (proxy, through) = Proxy::to_url(&url).await;
    let publisher = Publisher::new(&settings(&through));
    publisher.publish(&job()).await.expect("confirmed");
    proxy.blackhole();
    let answer = tokio::time::timeout(PATIENCE, publisher.publish(&job())).await.expect("it gave up by itself");
    assert!(matches!(answer, Err(Error::TimedOut)), "{answer:?}");
}

#[tokio::test]
async fn a_consumer_whose_connection_breaks_says_so() {
    let url = vhost().await;
    let (proxy, through) = Proxy::to_url(&url).await;
    let mut consumer = Consumer::open(&settings(&through)).await.expect("consuming");
    proxy.cut();
    let ended = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("an end in time");
    assert!(ended.is_err());
}

async fn connect(url: &str) -> Connection {
    Connection::connect(url, ConnectionProperties::default()).await.expect("a connection")
}

async fn publish_raw(url: &str, payload: &[u8]) {
    let connection = connect(url).await;
    let channel = connection.create_channel().await.expect("a channel");
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let sent = channel.basic_publish(CONVERT.into(), CONVERT.into(), options, payload, properties).await.expect("sent");
    sent.await.expect("sent");
    connection.close(200, "".into()).await.expect("closed");
}
