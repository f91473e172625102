//! What an owner sees and may change.

mod common;

use std::time::Duration;

use common::{LEASE, WEEK, audio, fixture};
use store::{Cancelled, Changes, Finished, Progress, Retried, State};
use uuid::Uuid;

#[tokio::test]
async fn the_job_of_somebody_else_is_not_there() {
    let f = fixture().await;
    let other = f.store.add_user("you@example.com", "hash", true).await.expect("a user");
    let id = f.queued().await.id;
    assert!(f.store.find(other, id).await.expect("an answer").is_none());
    assert!(f.store.cancel(other, id).await.expect("an answer").is_none());
    assert!(f.store.retry(other, id, Uuid::new_v4(), WEEK, 10).await.expect("an answer").is_none());
    assert!(!f.store.delete(other, id).await.expect("an answer"));
    assert!(f.store.list(other, None, None, 10).await.expect("a page").jobs.is_empty());
    assert_eq!(f.find(id).await.state, State::Queued);
}

#[tokio::test]
async fn pages_hold_every_job_once_while_new_ones_come() {
    let f = fixture().await;
    let mut all = Vec::new();
    for _ in 0..7 {
        all.push(f.queued().await.id);
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = f.store.list(f.user, Some(State::Queued), after, 3).await.expect("a page");
        assert!(page.jobs.len() <= 3);
        seen.extend(page.jobs.iter().map(|job| job.id));
        f.queued().await;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    all.reverse();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn cancelling_fences_the_worker() {
    let f = fixture().await;
    let claim = f.running().await;
    let cancelled = f.store.cancel(f.user, claim.lease.job).await.expect("an answer").expect("a job");
    assert!(matches!(cancelled, Cancelled::Now(job) if job.state == State::Cancelled));
    assert!(!f.store.heartbeat(claim.lease, LEASE, &Progress::default()).await.expect("an answer"));
    assert_eq!(f.store.finish(claim.lease, &audio(&claim)).await.expect("an answer"), Finished::Fenced);
    let again = f.store.cancel(f.user, claim.lease.job).await.expect("an answer").expect("a job");
    assert!(matches!(again, Cancelled::TooLate(_)));
}

#[tokio::test]
async fn a_retry_is_one_new_job_over_the_same_video_however_often_it_is_asked() {
    let f = fixture().await;
    let old = f.queued().await;
    f.store.cancel(f.user, old.id).await.expect("an answer").expect("cancelled");
    let mut ids = Vec::new();
    for _ in 0..2 {
        match f.store.retry(f.user, old.id, Uuid::new_v4(), WEEK, 10).await.expect("an answer").expect("a job") {
            Retried::As(job) => {
                assert_eq!((job.source.id, job.state, job.retry_of), (old.source.id, State::Queued, Some(old.id)));
                ids.push(job.id);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(f.find(old.id).await.state, State::Cancelled, "what has ended stays ended");
}

#[tokio::test]
async fn a_job_that_is_not_over_or_succeeded_cannot_be_retried() {
    let f = fixture().await;
    let claim = f.running().await;
    let retry = || f.store.retry(f.user, claim.lease.job, Uuid::new_v4(), WEEK, 10);
    assert!(matches!(retry().await, Ok(Some(Retried::NotNow(_)))));
    f.store.finish(claim.lease, &audio(&claim)).await.expect("done");
    assert!(matches!(retry().await, Ok(Some(Retried::NotNow(_)))));
}

#[tokio::test]
async fn a_retry_respects_quota_and_retention() {
    let f = fixture().await;
    let old = f.queued().await;
    f.store.cancel(f.user, old.id).await.expect("an answer").expect("cancelled");
    f.queued().await;
    let full = f.store.retry(f.user, old.id, Uuid::new_v4(), WEEK, 1).await.expect("an answer");
    assert!(matches!(full, Some(Retried::TooMany)), "{full:?}");
    sqlx::query("update jobs set expires_at = now() where id = $1")
        .bind(old.id)
        .execute(&f.sql)
        .await
        .expect("updated");
    let gone = f.store.retry(f.user, old.id, Uuid::new_v4(), WEEK, 10).await.expect("an answer");
    assert!(matches!(gone, Some(Retried::Expired)), "{gone:?}");
}

#[tokio::test]
async fn a_deleted_job_is_gone_and_its_video_is_erased_with_the_last_job_over_it() {
    let f = fixture().await;
    let old = f.queued().await;
    f.store.cancel(f.user, old.id).await.expect("an answer").expect("cancelled");
    let Ok(Some(Retried::As(new))) = f.store.retry(f.user, old.id, Uuid::new_v4(), WEEK, 10).await else {
        panic!("not retried")
    };

    assert!(f.store.delete(f.user, old.id).await.expect("an answer"));
    assert!(f.store.find(f.user, old.id).await.expect("an answer").is_none());
    assert!(!f.store.delete(f.user, old.id).await.expect("an answer"), "only once");
    let erasable = f.store.to_erase(10).await.expect("a list");
    assert_eq!(erasable.iter().map(|job| (job.id, job.source_too)).collect::<Vec<_>>(), [(old.id, false)]);
    f.store.erased(old.id).await.expect("noted");

    assert!(f.store.delete(f.user, new.id).await.expect("an answer"), "a queued job is cancelled by its deletion");
    let erasable = f.store.to_erase(10).await.expect("a list");
    assert_eq!(erasable.iter().map(|job| (job.id, job.source_too)).collect::<Vec<_>>(), [(new.id, true)]);
}

#[tokio::test]
async fn whoever_waits_is_told_of_the_change() {
    let f = fixture().await;
    let changes = Changes::listen(f.store.clone());
    let id = f.queued().await.id;
    let (user, waiting) = (f.user, changes.clone());
    let wait =
        tokio::spawn(async move { waiting.wait(user, id, Duration::from_mins(1), |job| job.state.is_final()).await });
    f.store.cancel(f.user, id).await.expect("an answer").expect("cancelled");
    let job = wait.await.expect("no panic").expect("an answer").expect("a job");
    assert_eq!(job.state, State::Cancelled);
}

#[tokio::test]
async fn whoever_waits_in_vain_gets_the_job_as_it_is() {
    let f = fixture().await;
    let changes = Changes::listen(f.store.clone());
    let id = f.queued().await.id;
    let job = changes.wait(f.user, id, Duration::from_millis(50), |job| job.state.is_final()).await.expect("an answer");
    assert_eq!(job.expect("a job").state, State::Queued);
    let nobody = changes.wait(f.user, Uuid::new_v4(), Duration::from_mins(1), |_| false).await.expect("an answer");
    assert!(nobody.is_none(), "what is not there is not waited for");
}
