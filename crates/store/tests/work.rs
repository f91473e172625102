//! Claims, leases and the one compare-and-set at the end.

mod common;

use std::time::Duration;

use common::{LEASE, MAX_ATTEMPTS, audio, fixture};
use store::{Finished, JobError, Progress, State};
use uuid::Uuid;

#[tokio::test]
async fn a_job_goes_its_way_and_leaves_its_events() {
    let f = fixture().await;
    let claim = f.running().await;
    let finished = f.store.finish(claim.lease, &audio(&claim)).await.expect("an answer");
    assert_eq!(finished, Finished::As(State::Done));
    assert_eq!(f.events(claim.lease.job).await, ["receiving", "queued", "running", "done"]);
    let job = f.find(claim.lease.job).await;
    assert_eq!((job.state, job.attempt), (State::Done, 1));
    assert!((job.audio.expect("audio").seconds - 1.5).abs() < 1e-9 && job.finished_at.is_some());
}

#[tokio::test]
async fn of_many_workers_that_claim_at_once_one_gets_the_job() {
    let f = fixture().await;
    let job = f.queued().await;
    let claims = (0..16).map(|_| {
        let store = f.store.clone();
        tokio::spawn(async move { store.claim(job.id, Uuid::new_v4(), LEASE, MAX_ATTEMPTS).await })
    });
    let mut got = 0;
    for claim in claims.collect::<Vec<_>>() {
        got += usize::from(claim.await.expect("no panic").expect("an answer").is_some());
    }
    assert_eq!(got, 1);
    assert_eq!(f.find(job.id).await.attempt, 1);
}

#[tokio::test]
async fn of_many_workers_that_sweep_at_once_each_gets_another_job() {
    let f = fixture().await;
    for _ in 0..8 {
        let job = f.queued().await;
        f.wait_is_over(job.id).await;
    }
    let sweeps = (0..8).map(|_| {
        let store = f.store.clone();
        tokio::spawn(async move { store.sweep(Uuid::new_v4(), LEASE, MAX_ATTEMPTS).await })
    });
    let mut jobs = Vec::new();
    for sweep in sweeps.collect::<Vec<_>>() {
        jobs.push(sweep.await.expect("no panic").expect("an answer").expect("a job").lease.job);
    }
    jobs.sort();
    jobs.dedup();
    assert_eq!(jobs.len(), 8);
}

#[tokio::test]
async fn a_duplicate_message_finds_nothing_to_claim() {
    let f = fixture().await;
    let claim = f.running().await;
    assert!(f.claim(claim.lease.job).await.is_none(), "its worker is alive");
    f.store.finish(claim.lease, &audio(&claim)).await.expect("done");
    assert!(f.claim(claim.lease.job).await.is_none(), "it has ended");
    assert!(f.claim(Uuid::new_v4()).await.is_none(), "there is no such job");
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_can_write_nothing_any_more() {
    let f = fixture().await;
    let zombie = f.running().await;
    f.lease_ends(zombie.lease.job).await;
    let heir = f.claim(zombie.lease.job).await.expect("claimed again");
    assert_eq!(heir.lease.attempt, 2);

    assert!(!f.store.heartbeat(zombie.lease, LEASE, &Progress::default()).await.expect("an answer"));
    let reason = JobError { code: "no_audio".into(), detail: String::new() };
    assert_eq!(f.store.fail(zombie.lease, &reason).await.expect("an answer"), Finished::Fenced);
    assert_eq!(f.store.finish(zombie.lease, &audio(&zombie)).await.expect("an answer"), Finished::Fenced);
    assert_eq!(f.store.hand_back(zombie.lease).await.expect("an answer"), Finished::Fenced);

    assert_eq!(f.store.finish(heir.lease, &audio(&heir)).await.expect("an answer"), Finished::As(State::Done));
    assert_eq!(f.find(heir.lease.job).await.audio.expect("audio").attempt, 2);
}

#[tokio::test]
async fn a_result_whose_answer_was_lost_counts_when_it_is_sent_again() {
    let f = fixture().await;
    let claim = f.running().await;
    for _ in 0..2 {
        assert_eq!(f.store.finish(claim.lease, &audio(&claim)).await.expect("an answer"), Finished::As(State::Done));
    }
    let done = f.events(claim.lease.job).await.iter().filter(|state| *state == "done").count();
    assert_eq!(done, 1);
}

#[tokio::test]
async fn the_sweep_leaves_a_job_to_its_message_for_a_while() {
    let f = fixture().await;
    let job = f.queued().await;
    assert!(f.sweep().await.is_none());
    f.wait_is_over(job.id).await;
    assert_eq!(f.sweep().await.expect("swept").lease.job, job.id);
}

#[tokio::test]
async fn the_sweep_takes_over_from_a_dead_worker_and_says_what_it_left_open() {
    let f = fixture().await;
    let dead = f.running().await;
    let progress = Progress { seconds: 1.0, total_seconds: Some(2.0), open_upload: Some("upload-1".into()) };
    assert!(f.store.heartbeat(dead.lease, LEASE, &progress).await.expect("an answer"));
    assert!(f.sweep().await.is_none(), "its worker is alive");
    f.lease_ends(dead.lease.job).await;
    let heir = f.sweep().await.expect("swept");
    assert_eq!(heir.left_open, Some((1, "upload-1".to_owned())));
}

#[tokio::test]
async fn a_job_that_kills_its_workers_ends_when_its_attempts_are_used_up() {
    let f = fixture().await;
    let id = f.queued().await.id;
    for attempt in 1..=3 {
        assert_eq!(f.claim(id).await.expect("a claim").lease.attempt, attempt);
        f.lease_ends(id).await;
    }
    assert!(f.claim(id).await.is_none(), "no fourth attempt");
    assert!(f.sweep().await.is_none());
    let job = f.find(id).await;
    assert_eq!((job.state, job.error.expect("a reason").code.as_str()), (State::Failed, "attempts_exhausted"));
}

#[tokio::test]
async fn being_asked_to_stop_does_not_use_up_an_attempt() {
    let f = fixture().await;
    let id = f.queued().await.id;
    for attempt in 1..=5 {
        let claim = f.claim(id).await.expect("a claim");
        assert_eq!(claim.lease.attempt, attempt, "each attempt has an object of its own");
        assert_eq!(f.store.hand_back(claim.lease).await.expect("an answer"), Finished::As(State::Queued));
    }
    assert!(f.sweep().await.is_some(), "a job that was handed back can be swept at once");
}

#[tokio::test]
async fn a_failure_of_ours_is_tried_again_later_until_the_attempts_are_used_up() {
    let f = fixture().await;
    let id = f.queued().await.id;
    let hour = Duration::from_hours(1);
    for state in [State::Queued, State::Queued, State::Failed] {
        let claim = f.claim(id).await.expect("a claim");
        let finished = f.store.retry_later(claim.lease, hour, MAX_ATTEMPTS).await.expect("an answer");
        assert_eq!(finished, Finished::As(state));
        assert!(f.sweep().await.is_none(), "not before its time");
    }
    assert_eq!(f.find(id).await.error.expect("a reason").code, "attempts_exhausted");
}

#[tokio::test]
async fn a_heartbeat_shows_how_far_the_job_is() {
    let f = fixture().await;
    let claim = f.running().await;
    let progress = Progress { seconds: 3.0, total_seconds: Some(12.0), open_upload: None };
    assert!(f.store.heartbeat(claim.lease, LEASE, &progress).await.expect("an answer"));
    let job = f.find(claim.lease.job).await;
    assert_eq!((job.progress_seconds, job.total_seconds), (Some(3.0), Some(12.0)));
}

#[tokio::test]
async fn keda_sees_exactly_what_the_sweep_would_take() {
    let f = fixture().await;
    let count = || async {
        sqlx::query_scalar::<_, i64>("select count(*) from sweepable_jobs").fetch_one(&f.sql).await.expect("a count")
    };
    let (waiting, running) = (f.queued().await, f.running().await);
    assert_eq!(count().await, 0);
    f.wait_is_over(waiting.id).await;
    f.lease_ends(running.lease.job).await;
    assert_eq!(count().await, 2);
    assert!(f.sweep().await.is_some() && f.sweep().await.is_some() && f.sweep().await.is_none());
    assert_eq!(count().await, 0);
}
