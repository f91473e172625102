//! Every answer below `/jobs`.

mod common;

use aws_lc_rs::digest::{SHA256, digest};
use common::{AUDIO, PATIENCE, fixture, fixture_with, header, problem, send};
use serde_json::{Value, json};
use store::Progress;
use testkit::queue_depth;
use uuid::Uuid;

async fn body(request: reqwest::RequestBuilder) -> Value {
    let response = send(request).await;
    assert!(response.status().is_success(), "{}", response.status());
    response.json().await.expect("JSON")
}

#[tokio::test]
async fn a_job_shows_all_that_its_owner_may_know() {
    let f = fixture().await;
    let id = f.queued().await.id;
    let response = send(f.get(&format!("/jobs/{id}"))).await;
    assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (200, "private, no-cache"));
    let job: Value = response.json().await.expect("JSON");
    let (timings, expires_at) = (&job["timings"], &job["expires_at"]);
    assert!([&timings["created_at"], &timings["queued_at"], expires_at].iter().all(|time| time.is_string()), "{job}");
    let expected = json!({
        "fid": id,
        "status": "queued",
        "progress": null,
        "eta_s": null,
        "attempts": 0,
        "retry_of": null,
        "error": null,
        "options": { "bitrate": 128 },
        "input": { "name": "my talk.mp4", "bytes": 1000, "sha256": "07".repeat(32) },
        "output": null,
        "timings": {
            "created_at": timings["created_at"],
            "queued_at": timings["queued_at"],
            "started_at": null,
            "finished_at": null,
        },
        "expires_at": expires_at,
        "links": { "self": format!("/jobs/{id}"), "download": format!("/download?fid={id}") },
    });
    assert_eq!(job, expected);
}

#[tokio::test]
async fn a_running_job_shows_how_far_it_is() {
    let f = fixture().await;
    let id = f.queued().await.id;
    let claim = f.claim(id).await;
    let progress = Progress { seconds: 3.0, total_seconds: Some(12.0), open_upload: None };
    assert!(f.world.store.heartbeat(claim.lease, PATIENCE, &progress).await.expect("an answer"));
    let job = body(f.get(&format!("/jobs/{id}"))).await;
    assert_eq!((&job["status"], &job["progress"], &job["attempts"]), (&"running".into(), &0.25.into(), &1.into()));
    assert!(job["eta_s"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{job}");
    assert!(job["timings"]["started_at"].is_string());
}

#[tokio::test]
async fn a_job_that_has_ended_shows_what_came_of_it() {
    let f = fixture().await;
    let done = body(f.get(&format!("/jobs/{}", f.done().await))).await;
    assert_eq!((&done["status"], &done["progress"]), (&"done".into(), &1.0.into()));
    let sha256 = hex::encode(digest(&SHA256, AUDIO));
    let output = json!({ "bytes": AUDIO.len(), "sha256": sha256, "duration_s": 1.5, "warning": null });
    assert_eq!(done["output"], output);
    let failed = body(f.get(&format!("/jobs/{}", f.failed("no_audio").await))).await;
    assert_eq!((&failed["error"]["code"], &failed["error"]["retryable"]), (&"no_audio".into(), &false.into()));
    let expired = f.done().await;
    f.expire(expired).await;
    assert_eq!(body(f.get(&format!("/jobs/{expired}"))).await["status"], "expired");
}

#[tokio::test]
async fn the_list_has_my_jobs_newest_first_page_by_page() {
    let f = fixture().await;
    let other = f.world.person("other").await;
    let mut mine = Vec::new();
    for _ in 0..5 {
        mine.push(f.queued().await.id.to_string());
        f.cancelled().await;
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
        let Some(next) = page["next"].as_str() else {
            assert_eq!(link, "");
            break;
        };
        assert_eq!(link, format!("<{next}>; rel=\"next\""));
        path = next.to_owned();
    }
    assert_eq!(seen, mine);
    assert_eq!(body(f.get("/jobs?status=done")).await["jobs"], json!([]));
    let theirs = body(f.client.get(f.url("/jobs")).bearer_auth(&other.token)).await;
    assert_eq!(theirs["jobs"], json!([]));
    assert_eq!(body(f.get("/jobs?limit=0")).await["jobs"].as_array().map(Vec::len), Some(1), "at least one");
    for query in ["status=lost", "status=receiving", "cursor=x", "limit=many"] {
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
    let running = f.queued().await.id;
    f.claim(running).await;
    assert_eq!(send(f.post(&format!("/jobs/{running}/cancel"))).await.status(), 202);
    let done = f.done().await;
    assert_eq!(problem(send(f.post(&format!("/jobs/{done}/cancel"))).await).await, (409, "already_ended".to_owned()));
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
    assert_eq!(send(f.delete(&location)).await.status(), 204);
    let again = send(f.post(&path)).await;
    assert_eq!(again.status(), 202);
    assert_ne!(header(&again, "location"), location);
}

#[tokio::test]
async fn what_is_not_over_or_succeeded_cannot_be_retried() {
    let f = fixture().await;
    for id in [f.queued().await.id, f.done().await] {
        let refused = send(f.post(&format!("/jobs/{id}/retry"))).await;
        assert_eq!(problem(refused).await, (409, "not_retryable".to_owned()));
    }
}

#[tokio::test]
async fn a_retry_needs_its_video_and_room() {
    let f = fixture_with(|launch, _| launch.env("MAX_JOBS_PER_USER", "1")).await;
    let (gone, kept) = (f.cancelled().await, f.cancelled().await);
    f.expire(gone).await;
    assert_eq!(problem(send(f.post(&format!("/jobs/{gone}/retry"))).await).await, (410, "expired".to_owned()));
    f.queued().await;
    let full = send(f.post(&format!("/jobs/{kept}/retry"))).await;
    assert!(!header(&full, "retry-after").is_empty());
    assert_eq!(problem(full).await, (429, "too_many_jobs".to_owned()));
}

#[tokio::test]
async fn a_retry_wakes_a_worker_and_does_without_where_the_broker_is_away() {
    let f = fixture().await;
    let old = f.cancelled().await;
    assert_eq!(send(f.post(&format!("/jobs/{old}/retry"))).await.status(), 202);
    assert_eq!(queue_depth(&f.world.amqp_url, queue::CONVERT).await, 1);

    let f = fixture_with(|launch, _| launch.env("AMQP_URL", "amqp://guest:guest@127.0.0.1:1/%2f")).await;
    let old = f.cancelled().await;
    assert_eq!(send(f.post(&format!("/jobs/{old}/retry"))).await.status(), 202);
}

#[tokio::test]
async fn a_deleted_job_is_not_there_any_more() {
    let f = fixture().await;
    let id = f.done().await;
    let path = format!("/jobs/{id}");
    assert_eq!(send(f.delete(&path)).await.status(), 204);
    assert_eq!(problem(send(f.delete(&path)).await).await, (404, "job_not_found".to_owned()));
    assert_eq!(problem(f.download(id).await).await, (404, "job_not_found".to_owned()));
    assert_eq!(problem(send(f.get(&path)).await).await, (404, "job_not_found".to_owned()));
    assert_eq!(body(f.get("/jobs")).await["jobs"], json!([]));
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
    assert_eq!(body(f.get(&format!("/jobs/{id}"))).await["status"], "queued");
}
