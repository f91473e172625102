//! The tools of the other tests do what they say.

use std::net::SocketAddr;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use sqlx::Connection as _;
use testkit::process::Function;
use testkit::proxy::Proxy;
use testkit::{clips, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn each_database_has_the_schema_and_none_of_the_others_rows() {
    let (one, other) = tokio::join!(testkit::database(), testkit::database());
    assert_ne!(one.url(), other.url());
    for database in [&one, &other] {
        let mut connection = sqlx::PgConnection::connect(database.url()).await.expect("a database");
        let jobs: i64 =
            sqlx::query_scalar("SELECT count(*) FROM jobs").fetch_one(&mut connection).await.expect("a table of jobs");
        assert_eq!(jobs, 0);
    }
}

#[tokio::test]
async fn each_virtual_host_takes_connections_and_knows_its_own_queues_only() {
    let (one, other) = tokio::join!(testkit::vhost(), testkit::vhost());
    let connection = Connection::connect(&one, ConnectionProperties::default()).await.expect("a broker");
    let channel = connection.create_channel().await.expect("a channel");
    let declared = channel.queue_declare("q".into(), QueueDeclareOptions::default(), FieldTable::default()).await;
    declared.expect("a queue");
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish("".into(), "q".into(), options, b"x", properties).await.expect("a message sent");

    eventually(SOON, async || (testkit::queue_depth(&one, "q").await == 1).then_some(())).await;
    let missing = tokio::spawn(async move { testkit::queue_depth(&other, "q").await }).await;
    assert!(missing.is_err(), "the other host has no such queue");
}

#[tokio::test]
async fn a_bucket_is_there_and_closed_to_strangers() {
    let bucket = testkit::bucket().await;
    let answer = reqwest::get(format!("{}/{}", bucket.endpoint, bucket.name)).await.expect("an S3 server");
    assert_eq!(answer.status(), 403);
}

/// A server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    addr
}

async fn says_back(stream: &mut TcpStream, word: &[u8]) -> bool {
    let mut heard = vec![0; word.len()];
    stream.write_all(word).await.is_ok() && stream.read_exact(&mut heard).await.is_ok() && heard == word
}

#[tokio::test]
async fn a_cut_line_breaks_refuses_and_heals() {
    let proxy = Proxy::to(echo().await).await;
    let mut stream = TcpStream::connect(proxy.addr()).await.expect("a connection");
    assert!(says_back(&mut stream, b"before").await);

    proxy.cut();
    assert!(!says_back(&mut stream, b"during").await);
    eventually(SOON, async || TcpStream::connect(proxy.addr()).await.err()).await;
    proxy.heal();
    let mut stream = eventually(SOON, async || TcpStream::connect(proxy.addr()).await.ok()).await;
    assert!(says_back(&mut stream, b"after").await);
}

#[tokio::test]
async fn a_blackhole_takes_connections_and_holds_everything_back_until_it_heals() {
    let proxy = Proxy::to(echo().await).await;
    proxy.blackhole();
    let mut stream = TcpStream::connect(proxy.addr()).await.expect("a connection");
    stream.write_all(b"held").await.expect("room in the socket");
    let mut heard = [0; 4];
    assert!(timeout(MOMENT, stream.read_exact(&mut heard)).await.is_err());

    proxy.heal();
    timeout(SOON, stream.read_exact(&mut heard)).await.expect("in time").expect("an answer");
    assert_eq!(&heard, b"held");
}

#[tokio::test]
async fn a_line_that_is_cut_after_some_bytes_lets_just_these_through() {
    let proxy = Proxy::to(echo().await).await;
    proxy.cut_after(10);
    let mut stream = TcpStream::connect(proxy.addr()).await.expect("a connection");
    assert!(says_back(&mut stream, b"12345").await);
    assert!(!says_back(&mut stream, b"6").await);
}

#[test]
fn a_tone_is_as_long_and_as_high_as_asked_for() {
    let pcm = clips::decode(&std::fs::read(clips::tone(3, 1000)).expect("a clip"));
    assert_eq!((pcm.rate, pcm.channels), (48_000, 2));
    assert!((pcm.seconds() - 3.0).abs() < 0.03, "{}", pcm.seconds());
    let hz = pcm.tone_hz().expect("a tone");
    assert!((hz - 1000.0).abs() < 1.0, "{hz}");
}

#[test]
fn a_big_clip_has_the_very_size_and_plays() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("big.mp4");
    clips::big(&path, 5_000_000);
    let bytes = std::fs::read(&path).expect("a clip");
    assert_eq!(bytes.len(), 5_000_000);
    assert!(clips::decode(&bytes).seconds() > 1.9);
}

#[tokio::test]
#[should_panic(expected = "tests/testkit.rs")]
async fn waiting_in_vain_names_the_line_that_waits() {
    eventually(MOMENT, async || None::<()>).await;
}

#[tokio::test]
async fn a_program_sees_only_its_own_environment_and_ends_when_told_to() {
    let script = "echo NAME=$NAME PORT=$PORT HOME=$HOME >&2; exec sleep 60";
    let mut program = Function::launch("/bin/sh").arg("-c").arg(script).env("NAME", "value").spawn();
    let said = eventually(SOON, async || Some(program.log()).filter(|log| log.contains('\n'))).await;
    assert!(said.starts_with("NAME=value PORT=") && said.ends_with("HOME=\n"), "{said}");
    assert!(program.peak_rss_bytes() > 100_000);
    program.terminate();
    assert!(!program.wait(SOON).await.success());
}
