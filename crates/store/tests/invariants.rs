//! What the database itself forbids, whatever the code tries.

mod common;

use common::{audio, fixture};
use sqlx::PgPool;
use store::{Error, State};
use uuid::Uuid;

async fn refused_by(sql: &PgPool, statement: &'static str, id: Uuid) -> String {
    let refused = sqlx::query(statement).bind(id).execute(sql).await.expect_err("refused");
    refused.as_database_error().and_then(|error| error.constraint()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn no_statement_brings_a_finished_job_back() {
    let f = fixture().await;
    let claim = f.running().await;
    f.store.finish(claim.lease, &audio(&claim)).await.expect("done");
    let again = "update jobs set state = 'queued', audio_attempt = null where id = $1";
    assert_eq!(refused_by(&f.sql, again, claim.lease.job).await, "job_events_terminal_is_final");
    let other_end = "update jobs set state = 'cancelled', audio_attempt = null where id = $1";
    assert_eq!(refused_by(&f.sql, other_end, claim.lease.job).await, "job_events_terminal_is_final");
    assert_eq!(f.find(claim.lease.job).await.state, State::Done);
}

#[tokio::test]
async fn the_event_log_cannot_be_rewritten() {
    let f = fixture().await;
    let id = f.queued().await.id;
    let update = "update job_events set state = 'done' where job_id = $1";
    assert_eq!(refused_by(&f.sql, update, id).await, "job_events_append_only");
    assert_eq!(refused_by(&f.sql, "delete from job_events where job_id = $1", id).await, "job_events_append_only");
}

#[tokio::test]
async fn a_job_cannot_be_done_without_audio_failed_without_reason_or_running_without_lease() {
    let f = fixture().await;
    let id = f.queued().await.id;
    for (statement, constraint) in [
        ("update jobs set state = 'done' where id = $1", "jobs_done_has_audio"),
        ("update jobs set state = 'failed' where id = $1", "jobs_failed_has_reason"),
        ("update jobs set state = 'running' where id = $1", "jobs_running_has_lease"),
        ("update jobs set state = 'lost' where id = $1", "jobs_state_known"),
    ] {
        assert_eq!(refused_by(&f.sql, statement, id).await, constraint);
    }
}

#[tokio::test]
async fn an_address_belongs_to_one_user_however_it_is_written() {
    let f = fixture().await;
    let taken = f.store.add_user("ME@Example.com", "hash", false).await;
    assert!(matches!(taken, Err(Error::EmailTaken)), "{taken:?}");
    let found = f.store.user_by_email("Me@example.COM").await.expect("an answer").expect("a user");
    assert_eq!(found.id, f.user);
}

#[tokio::test]
async fn what_is_no_address_is_refused() {
    let f = fixture().await;
    let refused = f.store.add_user("nobody", "hash", false).await;
    assert!(matches!(refused, Err(Error::EmailImplausible)), "{refused:?}");
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = testkit::database().await;
    store::migrate(database.url()).await.expect("migrated again");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_a_passing_trouble() {
    let settings = store::Settings { database_url: "postgres://x:y@127.0.0.1:1/z".into(), database_max_connections: 1 };
    let store = store::Store::connect_lazy(&settings).expect("a URL");
    let error = store.users().await.expect_err("nothing listens there");
    assert!(error.is_transient(), "{error:?}");
}
