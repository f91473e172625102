//! A store on a database of its own, with a user and jobs.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::time::Duration;

use sqlx::PgPool;
use store::{Audio, Begun, Claim, Job, NewJob, Received, Store};
use uuid::Uuid;

pub const LEASE: Duration = Duration::from_mins(1);
pub const OVER: Duration = Duration::ZERO;
pub const WEEK: Duration = Duration::from_hours(168);
pub const MAX_ATTEMPTS: u32 = 3;

pub struct Fixture {
    pub store: Store,
    pub sql: PgPool,
    pub user: Uuid,
    _database: testkit::Database,
}

pub async fn fixture() -> Fixture {
    let database = testkit::database().await;
    let settings = store::Settings { database_url: database.url().into(), database_max_connections: 20 };
    let store = Store::connect_lazy(&settings).expect("a URL");
    let sql = PgPool::connect(database.url()).await.expect("a database");
    let user = store.add_user("me@example.com", "hash", false).await.expect("a user");
    Fixture { store, sql, user, _database: database }
}

impl Fixture {
    pub fn new_job(&self) -> NewJob {
        NewJob { id: Uuid::new_v4(), user_id: self.user, idempotency_key: None, limit: 100 }
    }

    /// A job whose video is stored.
    pub async fn queued(&self) -> Job {
        let new = self.new_job();
        assert!(matches!(self.store.begin(&new).await, Ok(Begun::New)));
        self.store.accept(new.id, &received()).await.expect("an answer").expect("accepted")
    }

    pub async fn claim(&self, job: Uuid) -> Option<Claim> {
        self.store.claim(job, Uuid::new_v4(), LEASE, MAX_ATTEMPTS).await.expect("an answer")
    }

    /// A job that a worker has.
    pub async fn running(&self) -> Claim {
        let job = self.queued().await;
        self.claim(job.id).await.expect("a claim")
    }

    pub async fn sweep(&self) -> Option<Claim> {
        self.store.sweep(Uuid::new_v4(), LEASE, MAX_ATTEMPTS).await.expect("an answer")
    }

    pub async fn find(&self, id: Uuid) -> Job {
        self.store.find(self.user, id).await.expect("an answer").expect("a job")
    }

    pub async fn events(&self, id: Uuid) -> Vec<String> {
        let events = sqlx::query_scalar("select state from job_events where job_id = $1 order by id");
        events.bind(id).fetch_all(&self.sql).await.expect("events")
    }

    /// The worker is not heard of any more.
    pub async fn lease_ends(&self, id: Uuid) {
        let update = sqlx::query("update jobs set lease_until = now() - interval '1 s' where id = $1");
        update.bind(id).execute(&self.sql).await.expect("updated");
    }

    pub async fn wait_is_over(&self, id: Uuid) {
        sqlx::query("update jobs set wake_at = now() where id = $1")
            .bind(id)
            .execute(&self.sql)
            .await
            .expect("updated");
    }
}

pub fn received() -> Received {
    Received {
        name: "video.mp4".into(),
        bytes: 1000,
        sha256: [7; 32],
        options: serde_json::json!({"bitrate": 128}),
        traceparent: None,
        retention: WEEK,
    }
}

pub fn audio(claim: &Claim) -> Audio {
    Audio { attempt: claim.lease.attempt, bytes: 100, sha256: vec![8; 32], seconds: 1.5, warning: None }
}
