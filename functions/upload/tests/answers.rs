//! Every answer of `POST /upload`.

mod common;

use common::{PATIENCE, fid, file, fixture, fixture_with, form, mp4, problem};
use reqwest::multipart::Form;
use serde_json::Value;
use testkit::{eventually, queue_depth};

#[tokio::test]
async fn an_accepted_video_is_stored_queued_and_announced() {
    let f = fixture().await;
    let bytes = mp4(300_000);
    let response = f.upload(form(bytes.clone())).await;
    assert_eq!(response.status(), 202);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let location = response.headers()["location"].to_str().expect("ASCII").to_owned();
    let body: Value = response.json().await.expect("JSON");
    let fid = fid(&body);
    assert_eq!(location, format!("/jobs/{fid}"));
    assert_eq!((&body["message"], &body["status"]), (&"success!".into(), &"queued".into()));
    assert_eq!(body["links"]["download"], format!("/download?fid={fid}"));
    assert!(body["expires_at"].is_string());

    assert!(f.source(fid).await.expect("the video") == bytes);
    let job = f.world.store.find(f.me.id, fid).await.expect("an answer").expect("a job");
    assert_eq!((job.source.name.as_str(), job.source.bytes), ("video.mp4", 300_000));
    assert_eq!(
        f.world.objects().digest(objects::ObjectKey::Source(fid)).await.expect("a digest").1.to_vec(),
        job.source.sha256
    );
    assert_eq!(queue_depth(&f.world.amqp_url, queue::CONVERT).await, 1);
}

#[tokio::test]
async fn whoever_wants_plain_text_gets_success_and_the_fid() {
    let f = fixture().await;
    let response = f.post(form(mp4(100))).header("accept", "text/plain").send().await.expect("an answer");
    assert_eq!(response.status(), 202);
    let text = response.text().await.expect("text");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("success!"));
    assert!(lines.next().and_then(|fid| fid.parse::<uuid::Uuid>().ok()).is_some(), "{text}");
}

#[tokio::test]
async fn the_field_may_have_any_name_and_options_any_place() {
    let f = fixture().await;
    let form = Form::new().text("bitrate", "192").part("whatever", file("a.mp4", mp4(100)));
    let body: Value = f.upload(form).await.json().await.expect("JSON");
    let before = f.world.store.find(f.me.id, fid(&body)).await.expect("an answer").expect("a job");
    let form = Form::new().part("x", file("a.mp4", mp4(100))).text("bitrate", "64");
    let body: Value = f.upload(form).await.json().await.expect("JSON");
    let after = f.world.store.find(f.me.id, fid(&body)).await.expect("an answer").expect("a job");
    assert_eq!((&before.options["bitrate"], &after.options["bitrate"]), (&192.into(), &64.into()));
    let url = format!("{}?bitrate=320", f.url());
    let request = f.client.post(url).bearer_auth(&f.me.token).multipart(common::form(mp4(100)));
    let body: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    let query = f.world.store.find(f.me.id, fid(&body)).await.expect("an answer").expect("a job");
    assert_eq!(query.options["bitrate"], 320);
}

#[tokio::test]
async fn a_file_name_is_shown_without_its_folders() {
    let f = fixture().await;
    let form = Form::new().part("file", file("../../etc/passwd Grüße.mp4", mp4(100)));
    let body: Value = f.upload(form).await.json().await.expect("JSON");
    let job = f.world.store.find(f.me.id, fid(&body)).await.expect("an answer").expect("a job");
    assert_eq!(job.source.name, "passwd Grüße.mp4");
}

#[tokio::test]
async fn what_cannot_be_accepted_is_named_and_leaves_nothing() {
    let f = fixture_with(|launch, _| launch.env("MAX_UPLOAD_BYTES", "7MiB")).await;
    let two = Form::new().part("a", file("a.mp4", mp4(100))).part("b", file("b.mp4", mp4(100)));
    let large_two = Form::new().part("a", file("a.mp4", mp4(6 << 20))).part("b", file("b.mp4", mp4(100)));
    let bad_option = Form::new().part("a", file("a.mp4", mp4(100))).text("bitrate", "129");
    let unknown_option = Form::new().text("colour", "red").part("a", file("a.mp4", mp4(100)));
    for (form, expected) in [
        (Form::new().text("bitrate", "128"), (400, "one_file_required")),
        (two, (400, "one_file_required")),
        (large_two, (400, "one_file_required")),
        (form(b"#!/bin/sh\necho this is no video\n".to_vec()), (415, "not_mp4")),
        (form(Vec::new()), (415, "not_mp4")),
        (form(b"\0\0\0\x18fty".to_vec()), (415, "not_mp4")),
        (bad_option, (422, "invalid_option")),
        (unknown_option, (422, "invalid_option")),
        (form(mp4((7 << 20) + 1)), (413, "too_large")),
        (Form::new().text("file", "x".repeat(2000)), (400, "malformed_form")),
    ] {
        let (status, code) = problem(f.upload(form).await).await;
        assert_eq!((status, code.as_str()), expected);
    }
    assert_eq!(f.states().await, Vec::<String>::new());
    assert_eq!(testkit::objects_in(&f.world.bucket).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_body_that_is_no_form_is_refused() {
    let f = fixture().await;
    let request = f.client.post(f.url()).bearer_auth(&f.me.token).body(mp4(100)).header("content-type", "video/mp4");
    assert_eq!(problem(request.send().await.expect("an answer")).await, (415, "not_multipart".to_owned()));
    let request = f.client.post(f.url()).bearer_auth(&f.me.token).body("no boundary here");
    let request = request.header("content-type", "multipart/form-data; boundary=x");
    let (status, _) = problem(request.send().await.expect("an answer")).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn nobody_uploads_without_a_good_token() {
    let f = fixture().await;
    let request = f.client.post(f.url()).multipart(form(mp4(100)));
    let response = request.send().await.expect("an answer");
    assert!(response.headers()["www-authenticate"].to_str().expect("ASCII").starts_with("Bearer"));
    assert_eq!(problem(response).await.0, 401);
    let forged = format!("{}x", f.me.token);
    let request = f.client.post(f.url()).bearer_auth(forged).multipart(form(mp4(100)));
    assert_eq!(problem(request.send().await.expect("an answer")).await, (401, "invalid_token".to_owned()));
    f.world.store.set_disabled(f.me.id, true).await.expect("disabled");
    assert_eq!(problem(f.upload(form(mp4(100))).await).await, (401, "invalid_token".to_owned()));
    assert_eq!(f.states().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_and_another_payload_a_refusal() {
    let f = fixture().await;
    let with_key = |form| f.post(form).header("idempotency-key", "key-1").send();
    let first: Value = with_key(form(mp4(1000))).await.expect("an answer").json().await.expect("JSON");
    let again = with_key(form(mp4(1000))).await.expect("an answer");
    assert_eq!(again.status(), 202);
    assert_eq!(again.json::<Value>().await.expect("JSON"), first);
    let other = with_key(form(mp4(1001))).await.expect("an answer");
    assert_eq!(problem(other).await, (422, "idempotency_key_reused".to_owned()));
    let other = with_key(form(mp4(1000)).text("bitrate", "64")).await.expect("an answer");
    assert_eq!(problem(other).await, (422, "idempotency_key_reused".to_owned()));
    assert_eq!(f.states().await, ["queued"]);
    let endless = f.post(form(mp4(10))).header("idempotency-key", "k".repeat(256)).send().await.expect("an answer");
    assert_eq!(problem(endless).await, (400, "malformed_idempotency_key".to_owned()));
}

#[tokio::test]
async fn a_second_upload_with_the_key_of_one_that_still_goes_on_is_told_to_wait() {
    let f = fixture().await;
    let (sender, body) = common::stalled_body();
    let first = f.client.post(f.url()).bearer_auth(&f.me.token).header("idempotency-key", "key-1");
    let first = tokio::spawn(first.header("content-type", common::CONTENT_TYPE).body(body).send());
    sender.send(common::HEAD).await;
    eventually(PATIENCE, || async { (f.states().await == ["receiving"]).then_some(()) }).await;
    let second = f.post(form(mp4(100))).header("idempotency-key", "key-1").send().await.expect("an answer");
    assert!(second.headers().contains_key("retry-after"));
    assert_eq!(problem(second).await, (409, "upload_in_progress".to_owned()));
    sender.send(common::TAIL).await;
    drop(sender);
    assert_eq!(first.await.expect("no panic").expect("an answer").status(), 202);
}

#[tokio::test]
async fn nobody_has_more_unfinished_jobs_than_allowed() {
    let f = fixture_with(|launch, _| launch.env("MAX_JOBS_PER_USER", "2")).await;
    for _ in 0..2 {
        assert_eq!(f.upload(form(mp4(100))).await.status(), 202);
    }
    let third = f.upload(form(mp4(100))).await;
    assert!(third.headers().contains_key("retry-after"));
    assert_eq!(problem(third).await, (429, "too_many_jobs".to_owned()));
    assert_eq!(f.states().await.len(), 2);
}
