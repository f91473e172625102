//! Downloads while things break: right bytes or an error, never wrong bytes.

mod common;

use aws_lc_rs::digest::{Context, SHA256};
use common::{AUDIO, Fixture, PATIENCE, download, fixture, fixture_with, problem, send};
use objects::ObjectKey;
use reqwest::{RequestBuilder, Response};
use store::{Audio, Finished, State};
use testkit::{eventually, process::Function, proxy::Proxy};
use uuid::Uuid;

const MIB: usize = 1 << 20;

/// More than the sockets between two processes hold, and different everywhere.
fn long_audio() -> Vec<u8> {
    (0..4_u32 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// What came before the answer was broken off.
async fn broken_off(request: RequestBuilder) -> Vec<u8> {
    let mut received = Vec::new();
    let failed = match request.timeout(PATIENCE).send().await {
        Ok(response) => read(response, &mut received).await.expect_err("broken off"),
        // A short answer may break before its head has left.
        Err(error) => error,
    };
    assert!(!failed.is_timeout() && !failed.is_connect(), "{failed:?}");
    received
}

async fn read(mut response: Response, received: &mut Vec<u8>) -> reqwest::Result<()> {
    assert_eq!(response.status(), 200);
    while let Some(piece) = response.chunk().await? {
        received.extend(piece);
    }
    Ok(())
}

#[tokio::test]
async fn damaged_audio_is_never_given_as_whole() {
    let f = fixture().await;
    let long = long_audio();
    for audio in [AUDIO, &long] {
        let fid = f.done_with(audio).await;
        let mut damaged = audio.to_vec();
        damaged[0] ^= 1;
        f.store_audio(fid, &damaged).await;
        let received = broken_off(f.get(&download(fid))).await;
        assert!(received.len() < audio.len(), "all {} bytes came", audio.len());
    }
    assert_eq!(f.download(f.done().await).await.status(), 200, "the function goes on");
}

#[tokio::test]
async fn audio_that_the_store_lost_or_cut_short_is_a_problem() {
    let f = fixture().await;
    let fid = f.done().await;
    f.store_audio(fid, b"short").await;
    assert_eq!(problem(f.download(fid).await).await, (502, "audio_damaged".to_owned()));
    f.world.objects().delete(ObjectKey::Audio { job: fid, attempt: 1 }).await.expect("deleted");
    assert_eq!(problem(f.download(fid).await).await, (502, "audio_damaged".to_owned()));
}

/// A second function, with a line to each store that can be cut.
struct Lines {
    function: Function,
    database: Proxy,
    objects: Proxy,
}

async fn lines(f: &Fixture) -> Lines {
    let (database, through_database) = Proxy::to_url(f.world.database.url()).await;
    let (objects, through_objects) = Proxy::to_url(&f.world.bucket.endpoint).await;
    let launch = f.world.launch(env!("CARGO_BIN_EXE_download")).env("S3_ENDPOINT", &through_objects);
    let function = launch.env("DATABASE_URL", &through_database).start().await;
    Lines { function, database, objects }
}

impl Lines {
    fn get(&self, f: &Fixture, path: &str) -> RequestBuilder {
        f.client.get(format!("{}{path}", self.function.base_url())).bearer_auth(&f.me.token)
    }
}

#[tokio::test]
async fn with_a_store_away_the_client_is_told_to_come_again_and_then_served() {
    let f = fixture().await;
    let path = download(f.done().await);
    let lines = lines(&f).await;
    assert_eq!(send(lines.get(&f, &path)).await.status(), 200);
    for (store, touches) in [(&lines.objects, vec![path.as_str()]), (&lines.database, vec![&path, "/jobs"])] {
        store.cut();
        for path in touches {
            let answer = send(lines.get(&f, path)).await;
            assert!(answer.headers().contains_key("retry-after"));
            assert_eq!(problem(answer).await, (503, "unavailable".to_owned()));
        }
        store.heal();
        eventually(PATIENCE, async || (send(lines.get(&f, &path)).await.status() == 200).then_some(())).await;
    }
}

#[tokio::test]
async fn a_database_that_takes_the_connection_and_stays_silent_is_not_waited_for_long() {
    let f = fixture().await;
    let path = download(f.done().await);
    let lines = lines(&f).await;
    lines.database.blackhole();
    assert_eq!(problem(send(lines.get(&f, &path)).await).await, (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn when_the_object_store_breaks_off_so_does_the_answer() {
    let f = fixture().await;
    let audio = long_audio();
    let path = download(f.done_with(&audio).await);
    let lines = lines(&f).await;
    lines.objects.cut_after(5 * MIB as u64);
    let received = broken_off(lines.get(&f, &path)).await;
    assert!(audio.starts_with(&received), "what came was right");
    lines.objects.heal();
    let whole = eventually(PATIENCE, async || send(lines.get(&f, &path)).await.bytes().await.ok()).await;
    assert!(whole == audio);
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_body_takes_nothing_with_it() {
    // The only connection there is must be free again for the next client.
    let f = fixture_with(|launch, _| launch.env("MAX_CONNECTIONS", "1")).await;
    let audio = long_audio();
    let fid = f.done_with(&audio).await;
    for _ in 0..3 {
        let mut left = f.download(fid).await;
        assert!(left.chunk().await.expect("a piece").expect("not empty").len() < audio.len());
        drop(left);
    }
    assert!(f.download(fid).await.bytes().await.expect("the body") == audio);
}

/// A job whose audio is a gibibyte.
async fn done_with_a_gibibyte(f: &Fixture) -> Uuid {
    let job = f.queued().await.id;
    let lease = f.claim(job).await.lease;
    let mut writer = f.world.objects().writer(ObjectKey::Audio { job, attempt: 1 });
    let mut sha256 = Context::new(&SHA256);
    for n in 0..1024_u32 {
        let piece = vec![n.to_le_bytes()[0]; MIB];
        sha256.update(&piece);
        writer.write(&piece).await.expect("written");
    }
    writer.finish().await.expect("stored");
    let sha256 = sha256.finish().as_ref().to_vec();
    let audio = Audio { attempt: 1, bytes: 1 << 30, sha256, seconds: 1.0, warning: None };
    assert_eq!(f.world.store.finish(lease, &audio).await.expect("an answer"), Finished::As(State::Done));
    job
}

#[tokio::test]
async fn audio_of_one_gibibyte_takes_little_memory() {
    let f = fixture().await;
    let fid = done_with_a_gibibyte(&f).await;
    let mut response = f.get(&download(fid)).timeout(PATIENCE * 6).send().await.expect("an answer");
    let mut bytes = 0;
    while let Some(piece) = response.chunk().await.expect("all of it") {
        bytes += piece.len();
    }
    assert_eq!(bytes, 1 << 30);
    let peak = f.function.peak_rss_bytes();
    assert!(peak <= 64 << 20, "{} MiB", peak >> 20);
}
