//! Reserving and accepting jobs: quota and idempotency.

mod common;

use common::{WEEK, fixture, received};
use store::{Begun, NewJob, State};

#[tokio::test]
async fn a_job_is_nobodys_before_it_is_accepted() {
    let f = fixture().await;
    let new = f.new_job();
    assert!(matches!(f.store.begin(&new).await, Ok(Begun::New)));
    assert!(f.store.find(f.user, new.id).await.expect("an answer").is_none());
    assert!(f.store.list(f.user, None, None, 10).await.expect("a page").jobs.is_empty());
}

#[tokio::test]
async fn accepting_twice_gives_the_same_job() {
    let f = fixture().await;
    let new = f.new_job();
    f.store.begin(&new).await.expect("begun");
    let first = f.store.accept(new.id, &received()).await.expect("an answer").expect("accepted");
    let second = f.store.accept(new.id, &received()).await.expect("an answer").expect("accepted");
    assert_eq!((first.queued_at, first.state), (second.queued_at, State::Queued));
    assert_eq!(f.events(new.id).await, ["receiving", "queued"]);
}

#[tokio::test]
async fn a_refused_upload_cannot_be_accepted_any_more() {
    let f = fixture().await;
    let new = f.new_job();
    f.store.begin(&new).await.expect("begun");
    assert!(f.store.refuse(new.id).await.expect("an answer"));
    assert!(f.store.accept(new.id, &received()).await.expect("an answer").is_none());
    f.store.forget(new.id).await.expect("forgotten");
    assert_eq!(f.store.abandoned(WEEK, 10).await.expect("a list").len(), 0);
}

#[tokio::test]
async fn an_accepted_upload_cannot_be_refused_any_more() {
    let f = fixture().await;
    let id = f.queued().await.id;
    assert!(!f.store.refuse(id).await.expect("an answer"));
    f.store.forget(id).await.expect("an answer");
    assert_eq!(f.find(id).await.state, State::Queued);
}

#[tokio::test]
async fn uploads_that_begin_at_once_cannot_pass_the_quota_together() {
    let f = fixture().await;
    let begins = (0..10).map(|_| {
        let (store, new) = (f.store.clone(), NewJob { limit: 3, ..f.new_job() });
        tokio::spawn(async move { store.begin(&new).await })
    });
    let (mut new, mut refused) = (0, 0);
    for begun in begins.collect::<Vec<_>>() {
        match begun.await.expect("no panic").expect("an answer") {
            Begun::New => new += 1,
            Begun::TooMany => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new, refused), (3, 7));
}

#[tokio::test]
async fn an_upload_that_died_does_not_count_against_the_quota() {
    let f = fixture().await;
    let new = NewJob { limit: 1, ..f.new_job() };
    f.store.begin(&new).await.expect("begun");
    f.lease_ends(new.id).await;
    assert!(matches!(f.store.begin(&NewJob { limit: 1, ..f.new_job() }).await, Ok(Begun::New)));
}

#[tokio::test]
async fn a_key_is_in_flight_until_its_upload_is_accepted_and_known_after() {
    let f = fixture().await;
    let with_key = || NewJob { idempotency_key: Some("k1".into()), ..f.new_job() };
    let first = with_key();
    assert!(matches!(f.store.begin(&first).await, Ok(Begun::New)));
    assert!(matches!(f.store.begin(&with_key()).await, Ok(Begun::InFlight)));
    f.store.accept(first.id, &received()).await.expect("an answer").expect("accepted");
    match f.store.begin(&with_key()).await.expect("an answer") {
        Begun::Known(job) => assert_eq!(job.id, first.id),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_key_of_an_upload_that_died_can_be_used_again() {
    let f = fixture().await;
    let with_key = || NewJob { idempotency_key: Some("k1".into()), ..f.new_job() };
    let dead = with_key();
    f.store.begin(&dead).await.expect("begun");
    f.lease_ends(dead.id).await;
    assert!(matches!(f.store.begin(&with_key()).await, Ok(Begun::New)));
}

#[tokio::test]
async fn keys_of_different_users_do_not_meet() {
    let f = fixture().await;
    let other = f.store.add_user("you@example.com", "hash", false).await.expect("a user");
    let mine = NewJob { idempotency_key: Some("k1".into()), ..f.new_job() };
    let theirs = NewJob { user_id: other, idempotency_key: Some("k1".into()), ..f.new_job() };
    assert!(matches!(f.store.begin(&mine).await, Ok(Begun::New)));
    assert!(matches!(f.store.begin(&theirs).await, Ok(Begun::New)));
}

#[tokio::test]
async fn a_disabled_user_can_begin_nothing() {
    let f = fixture().await;
    f.store.set_disabled(f.user, true).await.expect("disabled");
    assert!(matches!(f.store.begin(&f.new_job()).await, Ok(Begun::NoSuchUser)));
    f.store.set_disabled(f.user, false).await.expect("enabled");
    assert!(matches!(f.store.begin(&f.new_job()).await, Ok(Begun::New)));
}
