//! Every answer below `/jobs`.

mod common;

use common::{AUDIO, PATIENCE, fixture, header, problem, send};
use serde_json::Value;
use store::Progress;
use uuid::Uuid;

async fn json(request: reqwest::RequestBuilder) -> Value {
    let response = send(request).await;
    assert!(response.status().is_success(), "{}", response.status());
    response.json().await.expect("JSON")
}

#[tokio::test]
async fn a_job_shows_how_far_it_is() {
    let f = fixture().await;
    let id = f.queued().await.id;
    let claim = f.claim(id).await;
    let progress = Progress { seconds: 3.0, total_seconds: Some(12.0), open_upload: None };
    let lease = std::time::Duration::from_mins(1);
    assert!(f.world.store.heartbeat(claim.lease, lease, &progress).await.expect("an answer"));
    let job = json(f.get(&format!("/jobs/{id}"))).await;
    assert_eq!((&job["status"], &job["progress"], &job["attempts"]), (&"running".into(), &0.25.into(), &1.into()));
    assert!(job["eta_s"].is_number() && job["timings"]["started_at"].is_string());
    assert_eq!(job["input"]["name"], "my talk.mp4");
}

#[tokio::test]
async fn a_job_that_has_ended_shows_what_came_of_it() {
    let f = fixture().await;
    let done = json(f.get(&format!("/jobs/{}", f.done().await))).await;
    assert_eq!((&done["status"], &done["output"]["bytes"]), (&"done".into(), &AUDIO.len().into()));
    let failed = json(f.get(&format!("/jobs/{}", f.failed("no_audio").await))).await;
    assert_eq!((&failed["error"]["code"], &failed["error"]["retryable"]), (&"no_audio".into(), &false.into()));
    let expired = f.done().await;
    f.expire(expired).await;
    assert_eq!(json(f.get(&format!("/jobs/{expired}"))).await["status"], "expired");
}

#[tokio::test]
async fn a_job_that_has_not_changed_is_not_sent_again_and_a_change_is_waited_for() {
    let f = fixture().await;
    let id = f.queued().await.id;
    let path = format!("/jobs/{id}");
    let etag = header(&send(f.get(&path)).await, "etag").to_owned();
    assert_eq!(send(f.get(&path).header("if-none-match", &etag)).await.status(), 304);
    let waiting = send(f.get(&path).header("if-none-match", &etag).header("prefer", "wait=15"));
    let (changed, _) = tokio::join!(waiting, f.claim(id));
    assert_eq!(changed.status(), 200);
    assert_eq!(changed.json::<Value>().await.expect("JSON")["status"], "running");
}

#[tokio::test]
async fn the_list_has_my_jobs_newest_first_page_by_page() {
    let f = fixture().await;
    let other = f.world.person("other").await;
    let mut mine = Vec::new();
    for _ in 0..5 {
        mine.push(f.queued().await.id.to_string());
    }
    mine.reverse();
    let (mut seen, mut path) = (Vec::new(), "/jobs?limit=2&status=queued".to_owned());
    loop {
        let response = send(f.get(&path)).await;
        let link = header(&response, "link").to_owned();
        let page: Value = response.json().await.expect("JSON");
        seen.extend(
            page["jobs"].as_array().expect("jobs").iter().map(|job| job["fid"].as_str().expect("a fid").to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(link, format!("<{next}>; rel=\"next\""));
        path = next.to_owned();
    }
    assert_eq!(seen, mine);
    assert_eq!(json(f.get("/jobs?status=done")).await["jobs"], Value::Array(Vec::new()));
    let theirs = json(f.client.get(f.url("/jobs")).bearer_auth(&other.token)).await;
    assert_eq!(theirs["jobs"], Value::Array(Vec::new()));
    for query in ["status=lost", "cursor=x", "limit=many"] {
        assert_eq!(problem(send(f.get(&format!("/jobs?{query}"))).await).await, (400, "malformed_query".to_owned()));
    }
}

#[tokio::test]
async fn a_job_is_cancelled_once() {
    let f = fixture().await;
    let path = format!("/jobs/{}/cancel", f.queued().await.id);
    let cancelled = send(f.post(&path)).await;
    assert_eq!(cancelled.status(), 202);
    assert_eq!(cancelled.json::<Value>().await.expect("JSON")["status"], "cancelled");
    assert_eq!(problem(send(f.post(&path)).await).await, (409, "already_ended".to_owned()));
}

#[tokio::test]
async fn a_retry_is_a_new_job_and_the_same_one_when_asked_again() {
    let f = fixture().await;
    let old = f.failed("truncated").await;
    let path = format!("/jobs/{old}/retry");
    let first = send(f.post(&path)).await;
    assert_eq!(first.status(), 202);
    let location = header(&first, "location").to_owned();
    let job: Value = first.json().await.expect("JSON");
    assert_eq!((&job["retry_of"], &job["status"]), (&old.to_string().into(), &"queued".into()));
    assert_eq!(header(&send(f.post(&path)).await, "location"), location);
    // A retry that was deleted can be asked for again.
    assert_eq!(send(f.client.delete(f.url(&location)).bearer_auth(&f.me.token)).await.status(), 204);
    let again = send(f.post(&path)).await;
    assert_eq!(again.status(), 202);
    assert_ne!(header(&again, "location"), location);
    let done = f.done().await;
    assert_eq!(problem(send(f.post(&format!("/jobs/{done}/retry"))).await).await, (409, "not_retryable".to_owned()));
}

#[tokio::test]
async fn a_deleted_job_is_not_there_any_more() {
    let f = fixture().await;
    let id = f.done().await;
    let delete = || f.client.delete(f.url(&format!("/jobs/{id}"))).bearer_auth(&f.me.token);
    assert_eq!(send(delete()).await.status(), 204);
    assert_eq!(problem(send(delete()).await).await, (404, "job_not_found".to_owned()));
    assert_eq!(problem(f.download(id).await).await, (404, "job_not_found".to_owned()));
    assert_eq!(problem(send(f.get(&format!("/jobs/{id}"))).await).await, (404, "job_not_found".to_owned()));
}

#[tokio::test]
async fn nobody_touches_the_job_of_somebody_else() {
    let f = fixture().await;
    let other = f.world.person("other").await;
    let id = f.queued().await.id;
    for request in [
        f.client.get(f.url(&format!("/jobs/{id}"))),
        f.client.get(f.url(&format!("/jobs/{id}/events"))),
        f.client.post(f.url(&format!("/jobs/{id}/cancel"))),
        f.client.post(f.url(&format!("/jobs/{id}/retry"))),
        f.client.delete(f.url(&format!("/jobs/{id}"))),
        f.client.get(f.url(&format!("/jobs/{}", Uuid::new_v4()))),
    ] {
        assert_eq!(problem(send(request.bearer_auth(&other.token)).await).await, (404, "job_not_found".to_owned()));
    }
    assert_eq!(json(f.get(&format!("/jobs/{id}"))).await["status"], "queued");
}

#[tokio::test]
async fn the_events_of_a_job_end_with_the_job() {
    let f = fixture().await;
    let id = f.queued().await.id;
    let mut stream = f.get(&format!("/jobs/{id}/events")).send().await.expect("an answer");
    assert_eq!(header(&stream, "content-type"), "text/event-stream");
    let first = stream.chunk().await.expect("a piece").expect("an event");
    assert!(String::from_utf8_lossy(&first).contains("\"status\":\"queued\""));
    f.finish(id, AUDIO).await;
    let rest = tokio::time::timeout(PATIENCE, stream.text()).await.expect("it ends").expect("text");
    assert!(rest.contains("\"status\":\"done\""), "{rest}");
}
