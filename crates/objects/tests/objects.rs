//! Objects over a real S3 server, each test in a bucket of its own.

use futures::StreamExt;
use objects::{Error, ObjectKey, Objects, Settings};
use testkit::{Bucket, bucket, proxy::Proxy};
use uuid::Uuid;

const MIB: usize = 1 << 20;

fn settings(bucket: &Bucket) -> Settings {
    Settings {
        s3_endpoint: bucket.endpoint.clone(),
        s3_public_endpoint: None,
        s3_region: "us-east-1".into(),
        s3_bucket: bucket.name.clone(),
        s3_access_key_id: bucket.access_key.clone(),
        s3_secret_access_key: bucket.secret_key.clone().into(),
    }
}

async fn objects() -> Objects {
    Objects::new(&settings(&bucket().await))
}

fn source() -> ObjectKey {
    ObjectKey::Source(Uuid::new_v4())
}

/// Bytes that differ everywhere.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(len)
    .collect()
}

async fn stored(objects: &Objects, key: ObjectKey) -> Vec<u8> {
    objects.get(key, None).await.expect("an object").into_bytes().await.expect("its bytes").to_vec()
}

async fn write(objects: &Objects, key: ObjectKey, bytes: &[u8], piece: usize) {
    let mut writer = objects.writer(key);
    for piece in bytes.chunks(piece) {
        writer.write(piece).await.expect("written");
    }
    writer.finish().await.expect("finished");
}

#[tokio::test]
async fn what_is_written_in_pieces_is_read_whole() {
    let objects = objects().await;
    for len in [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 12 * MIB] {
        let (key, bytes) = (source(), noise(len));
        write(&objects, key, &bytes, 777_777).await;
        assert_eq!(objects.size(key).await.expect("a size"), len as u64);
        assert!(stored(&objects, key).await == bytes, "{len} bytes came back changed");
    }
}

#[tokio::test]
async fn the_head_can_be_rewritten_until_the_end_whatever_the_length() {
    let objects = objects().await;
    for len in [10, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 17 * MIB] {
        let (key, mut bytes) = (ObjectKey::Audio { job: Uuid::new_v4(), attempt: 1 }, noise(len));
        let mut writer = objects.writer_with_head(key);
        for piece in bytes.chunks(100_000) {
            writer.write(piece).await.expect("written");
        }
        writer.rewrite_head(3, b"HEAD");
        writer.finish().await.expect("finished");
        bytes[3..7].copy_from_slice(b"HEAD");
        assert!(stored(&objects, key).await == bytes, "{len} bytes came back changed");
    }
}

#[tokio::test]
async fn nothing_is_visible_before_the_end_or_after_giving_up() {
    let objects = objects().await;
    let key = source();
    let mut writer = objects.writer(key);
    writer.write(&noise(6 * MIB)).await.expect("written");
    assert!(writer.open_upload().is_some());
    assert!(matches!(objects.size(key).await, Err(Error::Missing(_))));
    let upload = writer.open_upload().expect("open").to_owned();
    writer.abort().await.expect("aborted");
    assert!(matches!(objects.size(key).await, Err(Error::Missing(_))));
    objects.abort_upload(key, &upload).await.expect("aborting what is gone is fine");
}

#[tokio::test]
async fn an_upload_left_by_somebody_who_died_can_be_aborted_by_its_id() {
    let objects = objects().await;
    let key = source();
    let mut writer = objects.writer(key);
    writer.write(&noise(6 * MIB)).await.expect("written");
    let upload = writer.open_upload().expect("open").to_owned();
    objects.abort_upload(key, &upload).await.expect("aborted");
    assert!(writer.finish().await.is_err(), "its parts are gone");
}

#[tokio::test]
async fn a_range_is_just_those_bytes() {
    let objects = objects().await;
    let (key, bytes) = (source(), noise(100_000));
    write(&objects, key, &bytes, 50_000).await;
    let part = objects.get(key, Some(1000..1010)).await.expect("a part");
    assert_eq!(part.length, 10);
    assert_eq!(part.into_bytes().await.expect("bytes"), &bytes[1000..1010]);
}

#[tokio::test]
async fn the_digest_is_of_what_the_server_has() {
    let objects = objects().await;
    let key = source();
    write(&objects, key, b"abc", 3).await;
    let (bytes, sha256) = objects.digest(key).await.expect("a digest");
    // FIPS 180-2, appendix B.1.
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(bytes, 3);
    assert_eq!(hex::encode(sha256), expected);
}

#[tokio::test]
async fn deleting_makes_an_object_missing_and_may_be_repeated() {
    let objects = objects().await;
    let key = source();
    write(&objects, key, b"abc", 3).await;
    objects.delete(key).await.expect("deleted");
    objects.delete(key).await.expect("deleted already");
    assert!(matches!(objects.get(key, None).await, Err(Error::Missing(missing)) if missing == key));
}

#[tokio::test]
async fn a_link_works_for_anybody_and_names_the_file() {
    let objects = objects().await;
    let key = ObjectKey::Audio { job: Uuid::new_v4(), attempt: 1 };
    write(&objects, key, b"audio", 5).await;
    let minute = std::time::Duration::from_mins(1);
    let link = objects.link(key, minute, "attachment; filename=\"talk.mp3\"").await.expect("a link");
    let answer = reqwest::get(&link).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"talk.mp3\"");
    assert_eq!(answer.bytes().await.expect("bytes"), "audio");
    let forged = link.replace("/1.mp3", "/2.mp3");
    assert_eq!(reqwest::get(&forged).await.expect("an answer").status(), 403);
}

#[tokio::test]
async fn the_bucket_is_made_once() {
    let mut settings = settings(&bucket().await);
    settings.s3_bucket = format!("made-{}", Uuid::new_v4().simple());
    let objects = Objects::new(&settings);
    objects.ensure_bucket().await.expect("made");
    objects.ensure_bucket().await.expect("there already");
    write(&objects, source(), b"abc", 3).await;
}

#[tokio::test]
async fn a_wrong_key_is_a_refusal_and_a_server_that_is_away_passing_trouble() {
    let bucket = bucket().await;
    let mut wrong = settings(&bucket);
    wrong.s3_secret_access_key = "wrong".into();
    let refused = Objects::new(&wrong).digest(source()).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    let mut away = settings(&bucket);
    away.s3_endpoint = "http://127.0.0.1:1".into();
    let unavailable = Objects::new(&away).digest(source()).await;
    assert!(matches!(unavailable, Err(Error::Unavailable(_))), "{unavailable:?}");
}

#[tokio::test]
async fn a_server_that_breaks_off_fails_the_read_and_never_shortens_it() {
    let bucket = bucket().await;
    let (proxy, through) = Proxy::to_url(&bucket.endpoint).await;
    let mut settings = settings(&bucket);
    let (key, bytes) = (source(), noise(8 * MIB));
    write(&Objects::new(&settings), key, &bytes, MIB).await;
    settings.s3_endpoint = through;
    let objects = Objects::new(&settings);
    proxy.cut_after(3 * MIB as u64);
    let mut pieces = std::pin::pin!(objects.get(key, None).await.expect("a beginning").into_stream());
    let (mut read, mut failed) = (0, false);
    while let Some(piece) = pieces.next().await {
        if let Ok(piece) = piece {
            read += piece.len();
        } else {
            failed = true;
            break;
        }
    }
    assert!(failed && read < bytes.len(), "{read} bytes, failed: {failed}");
}
