//! Whoever waits for a job: at `/download`, at `/jobs/{fid}`, and for its events.

mod common;

use std::time::{Duration, Instant};

use common::{AUDIO, Fixture, PATIENCE, download, fixture, fixture_with, header, problem, send};
use reqwest::Response;
use serde_json::Value;
use store::Progress;
use testkit::eventually;
use tokio::process::Command;
use uuid::Uuid;

/// A function that would rather wait for longer than any test does.
async fn patient() -> Fixture {
    fixture_with(|launch, _| launch.env("DOWNLOAD_WAIT", "1h").env("DOWNLOAD_MAX_WAIT", "1h")).await
}

async fn status(response: Response) -> (u16, String) {
    let code = response.status().as_u16();
    let job: Value = response.json().await.expect("JSON");
    (code, job["status"].as_str().expect("a status").to_owned())
}

#[tokio::test]
async fn a_job_that_is_not_ready_is_waited_for_and_then_told_about() {
    let f = fixture().await;
    let fid = f.queued().await.id;
    let asked = Instant::now();
    let response = f.download(fid).await;
    assert!(asked.elapsed() >= Duration::from_millis(200), "as long as DOWNLOAD_WAIT says");
    assert_eq!(header(&response, "location"), format!("/jobs/{fid}"));
    assert_eq!((header(&response, "retry-after"), header(&response, "cache-control")), ("5", "no-store"));
    assert_eq!(status(response).await, (202, "queued".to_owned()));
    f.claim(fid).await;
    assert_eq!(status(f.download(fid).await).await, (202, "running".to_owned()));
}

#[tokio::test]
async fn a_job_that_is_done_while_the_client_waits_gives_its_audio() {
    let f = patient().await;
    let fid = f.queued().await.id;
    let response = f.while_waiting(f.get(&download(fid)), f.finish(fid, AUDIO)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.bytes().await.expect("the body"), AUDIO);
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_the_client_waits_is_told_at_once() {
    let f = patient().await;
    let fid = f.queued().await.id;
    let cancel = async { drop(f.world.store.cancel(f.me.id, fid).await.expect("an answer").expect("a job")) };
    let response = f.while_waiting(f.get(&download(fid)), cancel).await;
    assert_eq!(problem(response).await, (409, "cancelled".to_owned()));
}

#[tokio::test]
async fn whoever_prefers_not_to_wait_need_not() {
    let f = patient().await;
    let fid = f.queued().await.id;
    let response = send(f.get(&download(fid)).header("prefer", "wait=0")).await;
    assert_eq!(header(&response, "preference-applied"), "wait=0");
    assert_eq!(status(response).await, (202, "queued".to_owned()));
}

#[tokio::test]
async fn nobody_waits_longer_than_allowed() {
    let f = fixture_with(|launch, _| launch.env("DOWNLOAD_MAX_WAIT", "1s")).await;
    let fid = f.queued().await.id;
    for request in [f.get(&download(fid)), f.get(&format!("/jobs/{fid}"))] {
        let response = send(request.header("prefer", "wait=3600")).await;
        assert!(response.status().is_success());
    }
    let response = send(f.get(&download(fid)).header("prefer", "wait=3600")).await;
    assert_eq!((response.status().as_u16(), header(&response, "preference-applied")), (202, "wait=1"));
}

#[tokio::test]
async fn with_strict_handling_a_job_that_is_not_ready_is_an_error_to_retry() {
    let f = patient().await;
    let fid = f.queued().await.id;
    let strict = send(f.get(&download(fid)).header("prefer", "handling=strict, wait=0")).await;
    assert_eq!(
        (header(&strict, "retry-after"), header(&strict, "preference-applied")),
        ("5", "wait=0, handling=strict")
    );
    assert_eq!(problem(strict).await, (503, "not_ready".to_owned()));
    f.finish(fid, AUDIO).await;
    assert_eq!(send(f.get(&download(fid)).header("prefer", "handling=strict")).await.status(), 200);
}

#[tokio::test]
async fn curl_alone_is_a_whole_client() {
    let f = fixture().await;
    let fid = f.queued().await.id;
    let dir = testkit::scratch_dir();
    let file = dir.path().join("video.mp3");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-f", "--retry", "50", "-H", "Prefer: handling=strict", "-o"]).arg(&file);
    curl.args(["-H", &format!("Authorization: Bearer {}", f.me.token), &f.url(&download(fid))]);
    let mut curl = curl.kill_on_drop(true).spawn().expect("curl starts");
    eventually(PATIENCE, async || f.function.log().contains("503").then_some(())).await;
    f.finish(fid, AUDIO).await;
    let ended = tokio::time::timeout(PATIENCE, curl.wait()).await.expect("in time").expect("an end");
    assert!(ended.success());
    assert_eq!(std::fs::read(file).expect("the file"), AUDIO);
}

#[tokio::test]
async fn whoever_waits_is_let_go_when_the_function_stops() {
    let mut f = patient().await;
    let fid = f.queued().await.id;
    let response = f.while_waiting(f.get(&download(fid)), async { f.function.terminate() }).await;
    assert_eq!(status(response).await, (202, "queued".to_owned()));
    assert!(f.function.wait(PATIENCE).await.success());
}

#[tokio::test]
async fn a_change_of_a_job_is_waited_for() {
    let f = patient().await;
    let id = f.queued().await.id;
    let path = format!("/jobs/{id}");
    let etag = header(&send(f.get(&path)).await, "etag").to_owned();
    assert_eq!(send(f.get(&path).header("if-none-match", &etag)).await.status(), 304);
    let news = f.get(&path).header("if-none-match", &etag).header("prefer", "wait=60");
    let changed = f.while_waiting(news, async { drop(f.claim(id).await) }).await;
    assert_ne!(header(&changed, "etag"), etag);
    assert_eq!(status(changed).await, (200, "running".to_owned()));
}

#[tokio::test]
async fn the_progress_of_a_job_is_a_change_too() {
    let f = patient().await;
    let id = f.queued().await.id;
    let lease = f.claim(id).await.lease;
    let path = format!("/jobs/{id}");
    let etag = header(&send(f.get(&path)).await, "etag").to_owned();
    let progress = Progress { seconds: 3.0, total_seconds: Some(12.0), open_upload: None };
    let beat = async { assert!(f.world.store.heartbeat(lease, PATIENCE, &progress).await.expect("an answer")) };
    let news = f.get(&path).header("if-none-match", &etag).header("prefer", "wait=60");
    let changed: Value = f.while_waiting(news, beat).await.json().await.expect("JSON");
    assert_eq!(changed["progress"], 0.25);
}

#[tokio::test]
async fn the_end_of_a_job_is_waited_for() {
    let f = patient().await;
    let id = f.queued().await.id;
    let end = f.get(&format!("/jobs/{id}")).header("prefer", "wait=60");
    let ended = f.while_waiting(end, f.finish(id, AUDIO)).await;
    assert_eq!(status(ended).await, (200, "done".to_owned()));
}

/// A stream of events whose first one has come.
async fn events(f: &Fixture, id: Uuid) -> Response {
    let mut stream = send(f.get(&format!("/jobs/{id}/events"))).await;
    assert_eq!((stream.status().as_u16(), header(&stream, "content-type")), (200, "text/event-stream"));
    let mut first = String::new();
    while !first.ends_with("\n\n") {
        first += std::str::from_utf8(&stream.chunk().await.expect("a piece").expect("an event")).expect("text");
    }
    assert_eq!(statuses(&first), ["queued"]);
    stream
}

/// The status in each event.
fn statuses(events: &str) -> Vec<String> {
    let mut statuses = Vec::new();
    for event in events.split_terminator("\n\n").filter(|event| !event.starts_with(':')) {
        let data = event.strip_prefix("event: job\ndata: ").expect("an event of a job");
        let job: Value = serde_json::from_str(data).expect("JSON");
        statuses.push(job["status"].as_str().expect("a status").to_owned());
    }
    statuses
}

#[tokio::test]
async fn the_events_of_a_job_end_with_the_job() {
    let f = fixture().await;
    let id = f.queued().await.id;
    let mut stream = events(&f, id).await;
    f.claim(id).await;
    let running = stream.chunk().await.expect("a piece").expect("an event");
    assert_eq!(statuses(std::str::from_utf8(&running).expect("text")), ["running"]);
    f.world.store.cancel(f.me.id, id).await.expect("an answer").expect("a job");
    assert_eq!(statuses(&stream.text().await.expect("it ends in time")), ["cancelled"]);
}

#[tokio::test]
async fn a_job_that_has_ended_has_one_event() {
    let f = fixture().await;
    let id = f.done().await;
    let stream = send(f.get(&format!("/jobs/{id}/events"))).await;
    assert_eq!(statuses(&stream.text().await.expect("it ends in time")), ["done"]);
}

#[tokio::test]
async fn the_events_end_when_the_job_is_deleted_or_the_function_stops() {
    let mut f = fixture().await;
    let (deleted, other) = (f.queued().await.id, f.queued().await.id);
    let (of_deleted, of_other) = (events(&f, deleted).await, events(&f, other).await);
    assert_eq!(send(f.delete(&format!("/jobs/{deleted}"))).await.status(), 204);
    assert_eq!(of_deleted.text().await.expect("it ends in time"), "");
    f.function.terminate();
    assert_eq!(of_other.text().await.expect("it ends in time"), "");
    assert!(f.function.wait(PATIENCE).await.success());
}
