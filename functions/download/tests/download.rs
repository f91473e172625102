//! Every answer of `GET /download` that needs no waiting.

mod common;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_STANDARD};
use common::{AUDIO, PATIENCE, download, fixture, fixture_with, header, problem, send};
use reqwest::Response;
use testkit::eventually;
use uuid::Uuid;

/// All that does not differ from one request to the next.
fn headers(response: &Response) -> reqwest::header::HeaderMap {
    let mut headers = response.headers().clone();
    headers.remove("date");
    headers.remove("x-request-id");
    headers
}

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
    assert_eq!(header(&response, "cache-control"), "private, no-cache");
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    let digest = digest(&SHA256, AUDIO);
    assert_eq!(header(&response, "repr-digest"), format!("sha-256=:{}:", BASE64_STANDARD.encode(digest)));
    assert_eq!(header(&response, "etag"), format!("\"{}\"", hex::encode(digest)));
    assert_eq!(response.bytes().await.expect("the body"), AUDIO);
}

#[tokio::test]
async fn a_name_beyond_ascii_arrives_as_it_was() {
    let f = fixture().await;
    let fid = f.queued_as("Grüße.mp4").await.id;
    f.finish(fid, AUDIO).await;
    let expected = "attachment; filename=\"Gr__e.mp3\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.mp3";
    assert_eq!(header(&f.download(fid).await, "content-disposition"), expected);
}

#[tokio::test]
async fn head_says_the_same_without_the_audio() {
    let f = fixture().await;
    let fid = f.done().await;
    let head = || f.client.head(f.url(&download(fid))).bearer_auth(&f.me.token);
    // RFC 9110, 14.2: a range is for GET alone.
    for head in [head(), head().header("range", "bytes=0-3")] {
        let (head, get) = (send(head).await, f.download(fid).await);
        assert_eq!((head.status(), headers(&head)), (get.status(), headers(&get)));
        assert_eq!(head.bytes().await.expect("no body").len(), 0);
    }
}

#[tokio::test]
async fn one_range_is_honoured() {
    let f = fixture().await;
    let path = download(f.done().await);
    let len = AUDIO.len();
    for (range, from, to) in
        [("bytes=0-3", 0, 4), ("bytes=4-", 4, len), ("bytes=-5", len - 5, len), ("bytes=3-999", 3, len)]
    {
        let response = send(f.get(&path).header("range", range)).await;
        assert_eq!(response.status(), 206, "{range}");
        assert_eq!(header(&response, "content-range"), format!("bytes {from}-{}/{len}", to - 1));
        assert_eq!(header(&response, "content-length"), (to - from).to_string());
        assert_eq!(response.bytes().await.expect("a part"), AUDIO[from..to]);
    }
}

#[tokio::test]
async fn several_ranges_an_unknown_unit_and_a_suffix_of_more_than_all_give_the_whole() {
    let f = fixture().await;
    let path = download(f.done().await);
    for range in ["bytes=0-1,5-6", "seconds=0-1", "bytes=-999"] {
        let response = send(f.get(&path).header("range", range)).await;
        assert_eq!(response.status(), 200, "{range}");
        assert_eq!(response.bytes().await.expect("all"), AUDIO);
    }
}

#[tokio::test]
async fn a_range_without_a_single_byte_is_refused_and_the_length_told() {
    let f = fixture().await;
    let path = download(f.done().await);
    for range in ["bytes=999-", "bytes=-0", &format!("bytes={}-", AUDIO.len())] {
        let beyond = send(f.get(&path).header("range", range)).await;
        assert_eq!(header(&beyond, "content-range"), format!("bytes */{}", AUDIO.len()), "{range}");
        assert_eq!(problem(beyond).await, (416, "range_not_satisfiable".to_owned()));
    }
}

#[tokio::test]
async fn a_range_of_what_has_changed_since_gives_the_whole() {
    let f = fixture().await;
    let path = download(f.done().await);
    let etag = header(&send(f.get(&path)).await, "etag").to_owned();
    let resume = |known: &str| send(f.get(&path).header("range", "bytes=4-").header("if-range", known));
    assert_eq!(resume(&etag).await.status(), 206);
    assert_eq!(resume("\"other\"").await.status(), 200);
    assert_eq!(resume("Tue, 24 Nov 2026 00:00:00 GMT").await.status(), 200);
}

#[tokio::test]
async fn a_client_that_has_it_is_not_sent_it_again() {
    let f = fixture().await;
    let path = download(f.done().await);
    let etag = header(&send(f.get(&path)).await, "etag").to_owned();
    for known in [etag.clone(), format!("\"other\", W/{etag}"), "*".to_owned()] {
        let same = send(f.get(&path).header("if-none-match", known)).await;
        assert_eq!((same.status().as_u16(), header(&same, "etag")), (304, etag.as_str()));
        assert_eq!(same.bytes().await.expect("no body").len(), 0);
    }
    assert_eq!(send(f.get(&path).header("if-none-match", "\"other\"")).await.status(), 200);
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
async fn a_failed_job_says_why_and_whose_fault_it_is() {
    let f = fixture().await;
    let theirs = f.failed("no_audio").await;
    assert_eq!(problem(f.download(theirs).await).await, (422, "no_audio".to_owned()));
    for code in ["attempts_exhausted", "internal"] {
        let ours = f.failed(code).await;
        assert_eq!(problem(f.download(ours).await).await, (500, code.to_owned()));
    }
}

#[tokio::test]
async fn a_cancelled_job_conflicts_and_an_expired_one_is_gone() {
    let f = fixture().await;
    assert_eq!(problem(f.download(f.cancelled().await).await).await, (409, "cancelled".to_owned()));
    let fid = f.done().await;
    f.expire(fid).await;
    assert_eq!(problem(f.download(fid).await).await, (410, "expired".to_owned()));
    let redirected = send(f.get(&format!("{}&redirect=1", download(fid)))).await;
    assert_eq!(problem(redirected).await, (410, "expired".to_owned()));
}

#[tokio::test]
async fn unknown_malformed_deleted_unaccepted_and_foreign_fids_get_the_identical_answer() {
    let f = fixture().await;
    let other = f.world.person("other").await;
    let (mine, deleted) = (f.done().await, f.done().await);
    assert_eq!(send(f.delete(&format!("/jobs/{deleted}"))).await.status(), 204);
    let receiving = f.receiving().await;
    let mut answers = Vec::new();
    for (token, fid) in [
        (&f.me.token, Uuid::new_v4().to_string()),
        (&f.me.token, "../../etc/passwd".to_owned()),
        (&f.me.token, deleted.to_string()),
        (&f.me.token, receiving.to_string()),
        (&other.token, mine.to_string()),
    ] {
        let request = f.client.get(f.url("/download")).query(&[("fid", fid)]).bearer_auth(token);
        // The request id is the client's own to choose; all else must be equal to the byte.
        let response = send(request.header("x-request-id", "the-same")).await;
        assert_eq!(response.status(), 404);
        answers.push((headers(&response), response.text().await.expect("a body")));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn a_missing_fid_is_asked_for_and_a_query_that_cannot_be_read_is_refused() {
    let f = fixture().await;
    for path in ["/download", "/download?fid=", "/download?fid=%20"] {
        assert_eq!(problem(send(f.get(path)).await).await, (400, "fid_required".to_owned()), "{path}");
    }
    assert_eq!(problem(send(f.get("/download?fid=a&fid=b")).await).await, (400, "malformed_query".to_owned()));
}

#[tokio::test]
async fn without_a_good_token_nothing_is_answered() {
    let f = fixture().await;
    let (fid, stranger) = (f.done().await, testkit::world().await.person("me").await);
    for path in [download(fid), "/jobs".to_owned(), format!("/jobs/{fid}"), format!("/jobs/{fid}/events")] {
        let none = send(f.client.get(f.url(&path))).await;
        assert_eq!(header(&none, "www-authenticate"), "Bearer realm=\"video-converter\"");
        assert_eq!(problem(none).await, (401, "unauthorized".to_owned()));
        for token in ["x.y.z", &stranger.token] {
            let bad = send(f.client.get(f.url(&path)).bearer_auth(token)).await;
            assert!(header(&bad, "www-authenticate").contains("error=\"invalid_token\""));
            assert_eq!(problem(bad).await, (401, "invalid_token".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_method_or_an_address_that_is_not_there_is_a_problem_too() {
    let f = fixture().await;
    let posted = send(f.post("/download")).await;
    assert_eq!(header(&posted, "allow"), "GET,HEAD");
    assert_eq!(problem(posted).await, (405, "method_not_allowed".to_owned()));
    assert_eq!(problem(send(f.get("/downloads")).await).await, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_redirect_leads_to_a_link_that_needs_no_token_and_ends() {
    let f = fixture_with(|launch, _| launch.env("DOWNLOAD_LINK_TTL", "3s")).await;
    let path = format!("{}&redirect=1", download(f.done().await));
    let response = send(f.get(&path)).await;
    assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (303, "no-store"));
    let link = header(&response, "location").to_owned();
    let linked = send(f.client.get(&link)).await;
    assert_eq!(header(&linked, "content-type"), "audio/mpeg");
    assert_eq!(header(&linked, "content-disposition"), "attachment; filename=\"my talk.mp3\"");
    assert_eq!(linked.bytes().await.expect("the body"), AUDIO);
    eventually(PATIENCE, async || (send(f.client.get(&link)).await.status() == 403).then_some(())).await;
}
