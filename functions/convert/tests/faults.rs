//! The worker while things break: every accepted job is done, once.

mod common;

use std::os::unix::process::ExitStatusExt;

use common::{PATIENCE, fixture};
use objects::ObjectKey;
use store::{Cancelled, State};
use testkit::{clips, eventually, proxy::Proxy};

/// Long enough to be hit in the middle.
const LONG: u32 = 400;

#[tokio::test]
async fn killed_between_any_two_steps_the_job_is_done_once_by_the_next_worker() {
    let f = fixture().await;
    for (point, done_already) in [
        ("convert.claimed", false),
        ("convert.converted", false),
        ("convert.stored", false),
        ("convert.done", true),
        ("convert.acking", true),
    ] {
        let id = f.queued(&clips::tone(1, 440)).await;
        let mut dying = f.worker().env("CRASH_AT", point).spawn();
        let status = dying.wait(PATIENCE).await;
        assert_eq!(status.signal(), Some(6), "it died at {point}: {}", dying.log());
        assert_eq!(f.job(id).await.state == State::Done, done_already, "{point}");
        let mut next = f.start().await;
        let job = f.is_done_once(id).await;
        assert_eq!(job.attempt, if done_already { 1 } else { 2 }, "{point}");
        eventually(PATIENCE, async || (f.depth(queue::CONVERT).await == 0).then_some(())).await;
        next.terminate();
        assert!(next.wait(PATIENCE).await.success());
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_a_conversion_the_job_is_done_once_by_the_next_worker() {
    let f = fixture().await;
    let id = f.queued(&clips::tone(LONG, 440)).await;
    let mut dying = f.start().await;
    f.is_under_way(id).await;
    dying.kill();
    let _next = f.start().await;
    assert_eq!(f.is_done_once(id).await.attempt, 2);
}

#[tokio::test]
async fn a_frozen_worker_that_wakes_up_late_changes_nothing_and_takes_its_audio_back() {
    let f = fixture().await;
    let id = f.queued(&clips::tone(LONG, 440)).await;
    let zombie = f.start().await;
    f.is_under_way(id).await;
    zombie.freeze();
    let _heir = f.start().await;
    let done = f.is_done_once(id).await;
    assert_eq!(done.attempt, 2);
    zombie.thaw();
    let other = f.queued(&clips::tone(1, 440)).await;
    f.is_done_once(other).await;
    eventually(PATIENCE, async || zombie.log().contains("fenced").then_some(())).await;
    let first = f.world.objects().size(ObjectKey::Audio { job: id, attempt: 1 }).await;
    assert!(matches!(first, Err(objects::Error::Missing(_))), "{first:?}");
    assert_eq!(f.job(id).await.audio, done.audio);
}

#[tokio::test]
async fn without_a_broker_jobs_are_done_by_the_sweep() {
    let f = fixture().await;
    let (proxy, through) = Proxy::to_url(&f.world.amqp_url).await;
    proxy.cut();
    let _worker = f.worker().env("AMQP_URL", &through).start().await;
    let id = f.unannounced(&clips::tone(1, 440)).await;
    f.is_done_once(id).await;
}

#[tokio::test]
async fn a_broker_that_goes_away_in_the_middle_costs_nothing() {
    let f = fixture().await;
    let (proxy, through) = Proxy::to_url(&f.world.amqp_url).await;
    let _worker = f.worker().env("AMQP_URL", &through).start().await;
    let id = f.queued(&clips::tone(LONG, 440)).await;
    f.is_under_way(id).await;
    proxy.cut();
    assert_eq!(f.is_done_once(id).await.attempt, 1);
    proxy.heal();
    let next = f.queued(&clips::tone(1, 440)).await;
    f.is_done_once(next).await;
    eventually(PATIENCE, async || (f.depth(queue::CONVERT).await == 0).then_some(())).await;
}

#[tokio::test]
async fn an_object_store_that_is_away_uses_up_the_attempts_and_is_not_blamed_on_the_file() {
    let f = fixture().await;
    let (proxy, through) = Proxy::to_url(&f.world.bucket.endpoint).await;
    proxy.cut();
    let id = f.queued(&clips::tone(1, 440)).await;
    let _worker = f.worker().env("S3_ENDPOINT", &through).env("MAX_ATTEMPTS", "1").start().await;
    assert_eq!(f.becomes(id, State::Failed).await.error.expect("a reason").code, "attempts_exhausted");
}

#[tokio::test]
async fn an_object_store_that_comes_back_is_tried_again() {
    let f = fixture().await;
    let (proxy, through) = Proxy::to_url(&f.world.bucket.endpoint).await;
    proxy.cut();
    let id = f.queued(&clips::tone(1, 440)).await;
    let _worker = f.worker().env("S3_ENDPOINT", &through).start().await;
    eventually(PATIENCE, async || {
        let job = f.job(id).await;
        (job.state == State::Queued && job.attempt == 1).then_some(())
    })
    .await;
    proxy.heal();
    f.world.store.wake_now(id).await.expect("an answer");
    assert_eq!(f.is_done_once(id).await.attempt, 2);
}

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_finishes_what_it_has() {
    let f = fixture().await;
    let id = f.queued(&clips::tone(LONG, 440)).await;
    let mut worker = f.worker().env("SHUTDOWN_GRACE", "60s").start().await;
    f.is_under_way(id).await;
    worker.terminate();
    assert!(worker.wait(PATIENCE).await.success());
    assert_eq!(f.job(id).await.state, State::Done);
    assert_eq!(f.depth(queue::CONVERT).await, 0);
}

#[tokio::test]
async fn a_worker_that_must_stop_at_once_hands_its_job_back() {
    let f = fixture().await;
    let id = f.queued(&clips::tone(LONG, 440)).await;
    let mut worker = f.worker().env("SHUTDOWN_GRACE", "0s").start().await;
    f.is_under_way(id).await;
    worker.terminate();
    assert!(worker.wait(PATIENCE).await.success());
    assert_eq!(f.job(id).await.state, State::Queued);
    let handbacks: i32 = sqlx::query_scalar("select handbacks from jobs where id = $1")
        .bind(id)
        .fetch_one(&f.sql().await)
        .await
        .expect("a row");
    assert_eq!(handbacks, 1, "it is not held against the job");
    assert_eq!(f.depth(queue::CONVERT).await, 1, "its message is for the next worker");
    let _next = f.start().await;
    f.is_done_once(id).await;
}

#[tokio::test]
async fn a_cancelled_job_is_dropped_and_the_next_one_taken() {
    let f = fixture().await;
    let id = f.queued(&clips::tone(LONG, 440)).await;
    let _worker = f.start().await;
    f.is_under_way(id).await;
    let cancelled = f.world.store.cancel(f.me.id, id).await.expect("an answer").expect("a job");
    assert!(matches!(cancelled, Cancelled::Now(_)));
    let next = f.queued(&clips::tone(1, 440)).await;
    f.is_done_once(next).await;
    assert_eq!(f.job(id).await.state, State::Cancelled);
    let audio = f.world.objects().size(ObjectKey::Audio { job: id, attempt: 1 }).await;
    assert!(matches!(audio, Err(objects::Error::Missing(_))), "{audio:?}");
}
