//! What the worker makes of jobs and messages.

mod common;

use common::{PATIENCE, fixture};
use store::State;
use testkit::{clips, eventually, scratch_dir};
use uuid::Uuid;

#[tokio::test]
async fn a_queued_video_becomes_an_mp3_of_its_length_and_sound() {
    let f = fixture().await;
    let id = f.queued(&clips::tone(3, 440)).await;
    let mut worker = f.start().await;
    let job = f.is_done_once(id).await;
    let pcm = clips::decode(&f.audio(&job).await);
    assert_eq!((pcm.frames(), pcm.rate), (3 * 48_000, 48_000), "its length is exact to the sample");
    let hz = pcm.tone_hz().expect("a tone");
    assert!((hz - 440.0).abs() < 2.0, "{hz} Hz");
    assert!((job.audio.expect("audio").seconds - 3.0).abs() < 1e-6);
    assert_eq!(f.events(id).await, ["receiving", "queued", "running", "done"]);
    worker.terminate();
    assert!(worker.wait(PATIENCE).await.success());
    assert_eq!(f.depth(queue::CONVERT).await, 0, "the message was acknowledged");
}

#[tokio::test]
async fn options_are_obeyed() {
    let f = fixture().await;
    let clip = clips::tone(3, 440);
    let small = f.accepted(&clip, serde_json::json!({"bitrate": 64})).await;
    f.publish(small).await;
    let _worker = f.start().await;
    let bytes = f.is_done_once(small).await.audio.expect("audio").bytes;
    assert!((23_000..28_000).contains(&bytes), "3 s of 64 kbit/s are 24,000 bytes and a frame or two: {bytes}");
}

#[tokio::test]
async fn a_file_that_cannot_be_converted_ends_its_job_with_a_named_reason() {
    let f = fixture().await;
    let dir = scratch_dir();
    let text = dir.path().join("text.mp4");
    std::fs::write(&text, "#EXTM3U\nfile:///etc/passwd\n").expect("written");
    let cut = dir.path().join("cut.mp4");
    let whole = std::fs::read(clips::tone(5, 440)).expect("a clip");
    std::fs::write(&cut, &whole[..whole.len() / 2]).expect("written");
    let silent = f.queued(&clips::silent_video(2)).await;
    let text = f.queued(&text).await;
    let cut = f.queued(&cut).await;
    let _worker = f.start().await;
    for (id, codes) in [(silent, &["no_audio"][..]), (text, &["not_mp4"]), (cut, &["truncated", "corrupt"])] {
        let error = f.becomes(id, State::Failed).await.error.expect("a reason");
        assert!(codes.contains(&error.code.as_str()), "{error:?}");
        assert!(error.detail.len() > 20, "{error:?}");
        assert_eq!(f.job(id).await.attempt, 1, "a bad file is not tried again");
    }
}

#[tokio::test]
async fn a_job_without_a_message_is_swept() {
    let f = fixture().await;
    let id = f.unannounced(&clips::tone(1, 440)).await;
    let _worker = f.start().await;
    f.is_done_once(id).await;
}

#[tokio::test]
async fn duplicates_and_messages_about_nothing_are_acknowledged_and_change_nothing() {
    let f = fixture().await;
    let id = f.queued(&clips::tone(1, 440)).await;
    f.publish(id).await;
    f.publish(Uuid::new_v4()).await;
    f.publish(id).await;
    let mut worker = f.start().await;
    let job = f.is_done_once(id).await;
    eventually(PATIENCE, async || (f.depth(queue::CONVERT).await == 0).then_some(())).await;
    worker.terminate();
    assert!(worker.wait(PATIENCE).await.success());
    assert_eq!(f.depth(queue::CONVERT).await, 0, "nothing was left unacknowledged");
    assert_eq!((job.attempt, f.job(id).await.attempt), (1, 1));
}

#[tokio::test]
async fn a_message_that_is_none_of_ours_is_buried_and_the_work_goes_on() {
    let f = fixture().await;
    // Declares the queue.
    f.publish(Uuid::new_v4()).await;
    testkit::publish_raw(&f.world.amqp_url, queue::CONVERT, b"not json").await;
    let _worker = f.start().await;
    let id = f.queued(&clips::tone(1, 440)).await;
    f.is_done_once(id).await;
    eventually(PATIENCE, async || (f.depth(queue::DEAD).await == 1).then_some(())).await;
}
