//! Every answer of `GET /download`.

mod common;

use base64::{Engine, prelude::BASE64_STANDARD};
use common::{AUDIO, PATIENCE, fixture, fixture_with, header, problem, send};
use objects::ObjectKey;
use serde_json::Value;
use testkit::proxy::Proxy;
use uuid::Uuid;

#[tokio::test]
async fn a_finished_job_gives_its_audio_with_all_that_a_client_needs() {
    let f = fixture().await;
    let fid = f.done().await;
    let response = f.download(fid).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "audio/mpeg");
    assert_eq!(header(&response, "content-length"), AUDIO.len().to_string());
    assert_eq!(header(&response, "content-disposition"), "attachment; filename=\"my talk.mp3\"");
    assert_eq!(header(&response, "accept-ranges"), "bytes");
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, AUDIO);
    assert_eq!(header(&response, "repr-digest"), format!("sha-256=:{}:", BASE64_STANDARD.encode(digest)));
    assert_eq!(header(&response, "etag"), format!("\"{}\"", hex::encode(digest)));
    assert_eq!(response.bytes().await.expect("the body"), AUDIO);
}

#[tokio::test]
async fn a_name_beyond_ascii_arrives_as_it_was() {
    let f = fixture().await;
    let fid = f.queued_as("Grüße.mp4").await.id;
    f.finish(fid, AUDIO).await;
    let response = f.download(fid).await;
    assert!(header(&response, "content-disposition").ends_with("filename*=UTF-8''Gr%C3%BC%C3%9Fe.mp3"));
}

#[tokio::test]
async fn head_says_the_same_without_the_audio() {
    let f = fixture().await;
    let fid = f.done().await;
    let request = f.client.head(f.url(&format!("/download?fid={fid}"))).bearer_auth(&f.me.token);
    let response = send(request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-length"), AUDIO.len().to_string());
    assert_eq!(response.bytes().await.expect("no body").len(), 0);
}

#[tokio::test]
async fn one_range_is_honoured_and_an_impossible_one_refused() {
    let f = fixture().await;
    let fid = f.done().await;
    let path = format!("/download?fid={fid}");
    let len = AUDIO.len();
    for (range, from, to) in
        [("bytes=0-3", 0, 4), ("bytes=4-", 4, len), ("bytes=-5", len - 5, len), ("bytes=3-999", 3, len)]
    {
        let response = send(f.get(&path).header("range", range)).await;
        assert_eq!(response.status(), 206, "{range}");
        assert_eq!(header(&response, "content-range"), format!("bytes {from}-{}/{len}", to - 1));
        assert_eq!(response.bytes().await.expect("a part"), AUDIO[from..to]);
    }
    let several = send(f.get(&path).header("range", "bytes=0-1,5-6")).await;
    assert_eq!(several.status(), 200);
    let beyond = send(f.get(&path).header("range", "bytes=999-")).await;
    assert_eq!(header(&beyond, "content-range"), format!("bytes */{len}"));
    assert_eq!(problem(beyond).await, (416, "range_not_satisfiable".to_owned()));
}

#[tokio::test]
async fn a_client_that_has_it_is_not_sent_it_again() {
    let f = fixture().await;
    let path = format!("/download?fid={}", f.done().await);
    let etag = header(&send(f.get(&path)).await, "etag").to_owned();
    let same = send(f.get(&path).header("if-none-match", &etag)).await;
    assert_eq!((same.status().as_u16(), same.bytes().await.expect("no body").len()), (304, 0));
    let resumed = send(f.get(&path).header("range", "bytes=4-").header("if-range", &etag)).await;
    assert_eq!(resumed.status(), 206);
    let changed = send(f.get(&path).header("range", "bytes=4-").header("if-range", "\"other\"")).await;
    assert_eq!(changed.status(), 200);
}

#[tokio::test]
async fn blanks_around_a_copied_fid_do_not_matter() {
    let f = fixture().await;
    let fid = f.done().await;
    for query in [format!("%20{fid}"), format!("+{fid}%20"), fid.to_string().to_uppercase()] {
        assert_eq!(send(f.get(&format!("/download?fid={query}"))).await.status(), 200, "{query}");
    }
}

#[tokio::test]
async fn a_job_that_is_not_ready_is_waited_for_and_then_told_about() {
    let f = fixture().await;
    let fid = f.queued().await.id;
    let response = f.download(fid).await;
    assert_eq!(response.status(), 202);
    assert_eq!(
        (header(&response, "retry-after"), header(&response, "location")),
        ("5", format!("/jobs/{fid}").as_str())
    );
    let body: Value = response.json().await.expect("JSON");
    assert_eq!((&body["fid"], &body["status"]), (&fid.to_string().into(), &"queued".into()));
    let strict = send(f.get(&format!("/download?fid={fid}")).header("prefer", "handling=strict, wait=0")).await;
    assert!(!header(&strict, "retry-after").is_empty());
    assert_eq!(problem(strict).await, (503, "not_ready".to_owned()));
}

#[tokio::test]
async fn a_job_that_is_done_while_the_client_waits_is_answered_at_once() {
    let f = fixture_with(|launch, _| launch.env("DOWNLOAD_WAIT", "60s")).await;
    let fid = f.queued().await.id;
    let (waiting, ()) = tokio::join!(f.download(fid), f.finish(fid, AUDIO));
    assert_eq!(waiting.status(), 200);
    assert_eq!(waiting.bytes().await.expect("the body"), AUDIO);
}

#[tokio::test]
async fn nobody_waits_longer_than_allowed() {
    let f = fixture_with(|launch, _| launch.env("DOWNLOAD_MAX_WAIT", "1s")).await;
    let fid = f.queued().await.id;
    let response = send(f.get(&format!("/download?fid={fid}")).header("prefer", "wait=3600")).await;
    assert_eq!((response.status().as_u16(), header(&response, "preference-applied")), (202, "wait=1"));
}

#[tokio::test]
async fn whoever_waits_is_let_go_when_the_function_stops() {
    let mut f = fixture_with(|launch, _| launch.env("DOWNLOAD_WAIT", "60s")).await;
    let fid = f.queued().await.id;
    let waiting = tokio::spawn(f.get(&format!("/download?fid={fid}")).send());
    testkit::eventually(PATIENCE, async || {
        let metrics = send(f.client.get(f.url("/readyz"))).await;
        metrics.status().is_success().then_some(())
    })
    .await;
    f.function.terminate();
    assert!(f.function.wait(PATIENCE).await.success());
    if let Ok(response) = waiting.await.expect("no panic") {
        assert_eq!(response.status(), 202);
    }
}

#[tokio::test]
async fn curl_alone_is_a_whole_client() {
    let f = fixture().await;
    let fid = f.queued().await.id;
    let out = testkit::scratch_dir();
    let file = out.path().join("video.mp3");
    let mut curl = tokio::process::Command::new("curl")
        .args(["-sS", "-f", "--retry", "50", "--retry-delay", "1", "-H", "Prefer: handling=strict, wait=0", "-H"])
        .arg(format!("Authorization: Bearer {}", f.me.token))
        .arg("-o")
        .arg(&file)
        .arg(f.url(&format!("/download?fid={fid}")))
        .spawn()
        .expect("curl starts");
    testkit::eventually(PATIENCE, async || f.function.log().contains("503").then_some(())).await;
    f.finish(fid, AUDIO).await;
    let ended = tokio::time::timeout(PATIENCE, curl.wait()).await.expect("in time").expect("an end");
    assert!(ended.success());
    assert_eq!(std::fs::read(file).expect("the file"), AUDIO);
}

#[tokio::test]
async fn a_failed_job_says_why_and_whose_fault_it_is() {
    let f = fixture().await;
    let theirs = f.failed("no_audio").await;
    assert_eq!(problem(f.download(theirs).await).await, (422, "no_audio".to_owned()));
    let ours = f.failed("attempts_exhausted").await;
    assert_eq!(problem(f.download(ours).await).await, (500, "attempts_exhausted".to_owned()));
}

#[tokio::test]
async fn a_cancelled_job_conflicts_and_an_expired_one_is_gone() {
    let f = fixture().await;
    assert_eq!(problem(f.download(f.cancelled().await).await).await, (409, "cancelled".to_owned()));
    let fid = f.done().await;
    f.expire(fid).await;
    assert_eq!(problem(f.download(fid).await).await, (410, "expired".to_owned()));
}

#[tokio::test]
async fn unknown_malformed_and_foreign_fids_get_the_identical_answer() {
    let f = fixture().await;
    let other = f.world.person("other").await;
    let mine = f.done().await;
    let mut bodies = Vec::new();
    for (token, fid) in [
        (&f.me.token, Uuid::new_v4().to_string()),
        (&f.me.token, "../../etc/passwd".to_owned()),
        (&other.token, mine.to_string()),
    ] {
        let request = f.client.get(f.url("/download")).query(&[("fid", fid)]).bearer_auth(token);
        // The request id is the client's own to choose; all else must be equal to the byte.
        let response = send(request.header("x-request-id", "the-same")).await;
        assert_eq!(response.status(), 404);
        bodies.push(response.text().await.expect("a body"));
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test]
async fn a_missing_fid_is_asked_for_and_a_missing_token_too() {
    let f = fixture().await;
    for path in ["/download", "/download?fid=", "/download?fid=%20"] {
        assert_eq!(problem(send(f.get(path)).await).await, (400, "fid_required".to_owned()));
    }
    for path in ["/download?fid=x", "/jobs", "/jobs/x"] {
        let response = send(f.client.get(f.url(path))).await;
        assert!(header(&response, "www-authenticate").starts_with("Bearer"));
        assert_eq!(problem(response).await.0, 401);
        assert_eq!(problem(send(f.client.get(f.url(path)).bearer_auth("x.y.z")).await).await.0, 401);
    }
}

#[tokio::test]
async fn a_redirect_leads_to_a_link_that_needs_no_token() {
    let f = fixture().await;
    let fid = f.done().await;
    let response = send(f.get(&format!("/download?fid={fid}&redirect=1"))).await;
    assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (303, "no-store"));
    let linked = send(f.client.get(header(&response, "location"))).await;
    assert_eq!(header(&linked, "content-disposition"), "attachment; filename=\"my talk.mp3\"");
    assert_eq!(linked.bytes().await.expect("the body"), AUDIO);
}

#[tokio::test]
async fn audio_that_the_store_lost_or_changed_is_never_given_as_whole() {
    let f = fixture().await;
    let fid = f.done().await;
    let key = ObjectKey::Audio { job: fid, attempt: 1 };
    let mut writer = f.world.objects().writer(key);
    writer.write(&[b'x'; AUDIO.len()]).await.expect("written");
    writer.finish().await.expect("stored");
    let damaged = f.get(&format!("/download?fid={fid}")).send().await;
    let whole = match damaged {
        Ok(answer) => answer.bytes().await.is_ok(),
        Err(_) => false,
    };
    assert!(!whole, "the answer is broken off");
    let mut writer = f.world.objects().writer(key);
    writer.write(b"short").await.expect("written");
    writer.finish().await.expect("stored");
    assert_eq!(problem(f.download(fid).await).await, (502, "audio_damaged".to_owned()));
    f.world.objects().delete(key).await.expect("deleted");
    assert_eq!(problem(f.download(fid).await).await, (502, "audio_damaged".to_owned()));
}

#[tokio::test]
async fn with_a_store_away_the_client_is_told_to_come_again() {
    let f = fixture().await;
    let fid = f.done().await;
    let (database, through_database) = Proxy::to_url(f.world.database.url()).await;
    let (objects, through_objects) = Proxy::to_url(&f.world.bucket.endpoint).await;
    let launch = f.world.launch(env!("CARGO_BIN_EXE_download")).env("S3_ENDPOINT", &through_objects);
    let function = launch.env("DATABASE_URL", &through_database).start().await;
    let url = format!("{}/download?fid={fid}", function.base_url());
    objects.cut();
    let answer = send(f.client.get(&url).bearer_auth(&f.me.token)).await;
    assert_eq!(problem(answer).await, (503, "unavailable".to_owned()));
    database.cut();
    let answer = send(f.client.get(&url).bearer_auth(&f.me.token)).await;
    assert_eq!(problem(answer).await, (503, "unavailable".to_owned()));
    objects.heal();
    database.heal();
    assert_eq!(send(f.client.get(&url).bearer_auth(&f.me.token)).await.status(), 200);
}

#[tokio::test]
async fn audio_of_one_gibibyte_takes_little_memory() {
    const MIB: usize = 1 << 20;
    let f = fixture().await;
    let fid = f.queued().await.id;
    let claim = f.claim(fid).await;
    let mut writer = f.world.objects().writer(ObjectKey::Audio { job: fid, attempt: 1 });
    let mut sha256 = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for n in 0..1024_u32 {
        let piece = vec![n.to_le_bytes()[0]; MIB];
        sha256.update(&piece);
        writer.write(&piece).await.expect("written");
    }
    writer.finish().await.expect("stored");
    let sha256 = sha256.finish().as_ref().to_vec();
    let audio = store::Audio { attempt: 1, bytes: 1 << 30, sha256, seconds: 1.0, warning: None };
    f.world.store.finish(claim.lease, &audio).await.expect("an answer");
    let request = f.get(&format!("/download?fid={fid}")).timeout(PATIENCE * 6);
    let mut response = request.send().await.expect("an answer");
    let mut bytes = 0;
    while let Some(piece) = response.chunk().await.expect("all of it") {
        bytes += piece.len();
    }
    assert_eq!(bytes, 1 << 30);
    let peak = f.function.peak_rss_bytes();
    assert!(peak <= 64 << 20, "{} MiB", peak >> 20);
}
