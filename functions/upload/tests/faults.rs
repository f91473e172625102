//! Uploads while things break: what was accepted is safe, what was not leaves nothing.

mod common;

use std::{os::unix::process::ExitStatusExt, time::Duration};

use common::{Fixture, PATIENCE, fid, fixture, fixture_with, form, mp4, problem};
use serde_json::Value;
use testkit::{clips, eventually, proxy::Proxy, queue_depth, scratch_dir, world};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Kills the function between two steps of an upload.
async fn killed_at(point: &str) -> Fixture {
    let mut f = fixture_with(|launch, _| launch.env("CRASH_AT", point)).await;
    assert!(f.post(form(mp4(1000))).send().await.is_err(), "the client got no answer");
    let status = f.function.wait(PATIENCE).await;
    assert_eq!(status.signal(), Some(6), "it died at {point}: {}", f.function.log());
    f
}

#[tokio::test]
async fn killed_before_the_acceptance_nothing_was_accepted() {
    for point in ["upload.begun", "upload.stored"] {
        assert_eq!(killed_at(point).await.states().await, ["receiving"], "{point}");
    }
}

#[tokio::test]
async fn killed_after_the_acceptance_the_job_is_there_for_the_sweep() {
    assert_eq!(killed_at("upload.accepted").await.states().await, ["queued"]);
    let published = killed_at("upload.published").await;
    assert_eq!(published.states().await, ["queued"]);
    assert_eq!(queue_depth(&published.world.amqp_url, queue::CONVERT).await, 1);
}

#[tokio::test]
async fn with_the_broker_away_a_video_is_accepted_and_left_to_the_sweep() {
    let world = world().await;
    let me = world.person("me").await;
    let (proxy, through) = Proxy::to_url(&world.amqp_url).await;
    proxy.cut();
    let function = world.launch(env!("CARGO_BIN_EXE_upload")).env("AMQP_URL", &through).start().await;
    let upload = reqwest::Client::new().post(format!("{}/upload", function.base_url())).bearer_auth(&me.token);
    let response = upload.multipart(form(mp4(1000))).send().await.expect("an answer");
    assert_eq!(response.status(), 202);
    let accepted = fid(&response.json::<Value>().await.expect("JSON"));
    let swept = world.store.sweep(uuid::Uuid::new_v4(), Duration::from_mins(1), 3).await.expect("an answer");
    assert_eq!(swept.expect("swept without waiting").lease.job, accepted);
}

#[tokio::test]
async fn with_the_broker_silent_a_video_is_accepted_all_the_same() {
    let world = world().await;
    let me = world.person("me").await;
    let (proxy, through) = Proxy::to_url(&world.amqp_url).await;
    proxy.blackhole();
    let function = world.launch(env!("CARGO_BIN_EXE_upload")).env("AMQP_URL", &through).start().await;
    let upload = reqwest::Client::new().post(format!("{}/upload", function.base_url())).bearer_auth(&me.token);
    let response = upload.multipart(form(mp4(1000))).timeout(PATIENCE).send().await.expect("an answer in time");
    assert_eq!(response.status(), 202);
}

#[tokio::test]
async fn with_the_database_away_the_client_is_told_to_come_again() {
    let world = world().await;
    let me = world.person("me").await;
    let (proxy, through) = Proxy::to_url(world.database.url()).await;
    proxy.cut();
    let function = world.launch(env!("CARGO_BIN_EXE_upload")).env("DATABASE_URL", &through).start().await;
    let upload = reqwest::Client::new().post(format!("{}/upload", function.base_url())).bearer_auth(&me.token);
    let response = upload.multipart(form(mp4(1000))).send().await.expect("an answer");
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(problem(response).await, (503, "unavailable".to_owned()));
    assert_eq!(testkit::objects_in(&world.bucket).await, Vec::<String>::new());
}

#[tokio::test]
async fn with_the_object_store_away_the_client_is_told_to_come_again_and_nothing_is_kept() {
    let world = world().await;
    let me = world.person("me").await;
    let (proxy, through) = Proxy::to_url(&world.bucket.endpoint).await;
    proxy.cut();
    let function = world.launch(env!("CARGO_BIN_EXE_upload")).env("S3_ENDPOINT", &through).start().await;
    let upload = reqwest::Client::new().post(format!("{}/upload", function.base_url())).bearer_auth(&me.token);
    let response = upload.multipart(form(mp4(1000))).send().await.expect("an answer");
    assert_eq!(problem(response).await, (503, "unavailable".to_owned()));
    assert!(world.store.list(me.id, None, None, 10).await.expect("a page").jobs.is_empty());
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let f = fixture().await;
    let (sender, body) = common::stalled_body();
    let request = f.client.post(f.url()).bearer_auth(&f.me.token).header("content-type", common::CONTENT_TYPE);
    let upload = tokio::spawn(request.body(body).send());
    sender.send(common::HEAD).await;
    sender.send(&mp4(6 << 20)).await;
    eventually(PATIENCE, || async { (f.states().await == ["receiving"]).then_some(()) }).await;
    upload.abort();
    eventually(PATIENCE, || async { f.states().await.is_empty().then_some(()) }).await;
    assert_eq!(testkit::objects_in(&f.world.bucket).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_upload_that_pauses_for_too_long_is_broken_off() {
    let f = fixture_with(|launch, _| launch.env("UPLOAD_IDLE_TIMEOUT", "300ms")).await;
    let (sender, body) = common::stalled_body();
    let request = f.client.post(f.url()).bearer_auth(&f.me.token).header("content-type", common::CONTENT_TYPE);
    let upload = tokio::spawn(request.body(body).send());
    sender.send(common::HEAD).await;
    let response = upload.await.expect("no panic").expect("an answer");
    assert_eq!(problem(response).await, (408, "upload_too_slow".to_owned()));
    drop(sender);
    assert_eq!(f.states().await, Vec::<String>::new());
}

/// What curl does for a large body: it asks first, and an early refusal costs it nothing.
#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends_anything() {
    let f = fixture().await;
    let mut stream = TcpStream::connect(f.function.base_url().trim_start_matches("http://")).await.expect("connected");
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: x\r\ncontent-type: {}\r\ncontent-length: 50000000\r\nexpect: 100-continue\r\n\r\n",
        common::CONTENT_TYPE
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 401");
}

/// A proxy in front that forwards the whole body must get the refusal, not a broken pipe.
#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_still_gets_the_refusal() {
    let f = fixture().await;
    for _ in 0..5 {
        let mut stream =
            TcpStream::connect(f.function.base_url().trim_start_matches("http://")).await.expect("connected");
        let body = vec![b'x'; 20_000_000];
        let head = format!(
            "POST /upload HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
            common::CONTENT_TYPE,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(&body).await.expect("the whole body was taken");
        let mut answer = [0; 12];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 401");
    }
}

#[tokio::test]
async fn a_video_of_one_gibibyte_takes_little_memory() {
    const GIB: u64 = 1 << 30;
    let f = fixture().await;
    let dir = scratch_dir();
    let path = dir.path().join("big.mp4");
    clips::big(&path, GIB);
    let video = tokio::fs::File::open(&path).await.expect("the clip");
    let part = reqwest::multipart::Part::stream_with_length(video, GIB).file_name("big.mp4");
    let response = f.upload(reqwest::multipart::Form::new().part("file", part)).await;
    assert_eq!(response.status(), 202);
    let fid = fid(&response.json().await.expect("JSON"));
    assert_eq!(f.world.objects().size(objects::ObjectKey::Source(fid)).await.expect("a size"), GIB);
    let peak = f.function.peak_rss_bytes();
    assert!(peak <= 64 << 20, "{} MiB", peak >> 20);
}
