//! A world with the function as a process of its own, and jobs in any state.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use objects::ObjectKey;
use reqwest::{Client, RequestBuilder, Response, redirect::Policy};
use serde_json::Value;
use sqlx::PgPool;
use store::{Audio, Begun, Claim, Finished, Job, JobError, NewJob, Received, State};
use testkit::{
    Person, World, eventually,
    process::{Function, Launch},
    world,
};
use uuid::Uuid;

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const AUDIO: &[u8] = b"ID3 0123456789 the audio";

pub struct Fixture {
    pub world: World,
    pub me: Person,
    pub function: Function,
    pub client: Client,
}

pub async fn fixture() -> Fixture {
    fixture_with(|launch, _| launch.env("DOWNLOAD_WAIT", "200ms")).await
}

/// With more or other settings.
pub async fn fixture_with(change: impl FnOnce(Launch, &World) -> Launch) -> Fixture {
    let world = world().await;
    let me = world.person("me").await;
    let function = change(world.launch(env!("CARGO_BIN_EXE_download")), &world).start().await;
    let client = Client::builder().redirect(Policy::none()).build().expect("a client");
    Fixture { world, me, function, client }
}

impl Fixture {
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.function.base_url())
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path)).bearer_auth(&self.me.token)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path)).bearer_auth(&self.me.token)
    }

    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(self.url(path)).bearer_auth(&self.me.token)
    }

    pub async fn download(&self, fid: Uuid) -> Response {
        send(self.get(&format!("/download?fid={fid}"))).await
    }

    pub async fn queued(&self) -> Job {
        self.queued_as("my talk.mp4").await
    }

    /// An upload that has begun, of which its owner does not know yet.
    pub async fn receiving(&self) -> Uuid {
        let new = NewJob { id: Uuid::new_v4(), user_id: self.me.id, idempotency_key: None, limit: 1000 };
        assert!(matches!(self.world.store.begin(&new).await, Ok(Begun::New)));
        new.id
    }

    pub async fn queued_as(&self, name: &str) -> Job {
        let id = self.receiving().await;
        let received = Received {
            name: name.into(),
            bytes: 1000,
            sha256: [7; 32],
            options: serde_json::json!({"bitrate": 128}),
            traceparent: None,
            retention: Duration::from_hours(1),
        };
        self.world.store.accept(id, &received).await.expect("an answer").expect("accepted")
    }

    pub async fn claim(&self, job: Uuid) -> Claim {
        let lease = Duration::from_mins(1);
        self.world.store.claim(job, Uuid::new_v4(), lease, 3).await.expect("an answer").expect("a claim")
    }

    /// Puts these bytes where the audio of a job's first attempt is.
    pub async fn store_audio(&self, job: Uuid, bytes: &[u8]) {
        let mut writer = self.world.objects().writer(ObjectKey::Audio { job, attempt: 1 });
        writer.write(bytes).await.expect("written");
        writer.finish().await.expect("stored");
    }

    /// Stores the audio and says so.
    pub async fn finish(&self, job: Uuid, bytes: &[u8]) {
        let claim = self.claim(job).await;
        Box::pin(self.store_audio(job, bytes)).await;
        let audio = Audio {
            attempt: claim.lease.attempt,
            bytes: i64::try_from(bytes.len()).expect("small"),
            sha256: digest(&SHA256, bytes).as_ref().to_vec(),
            seconds: 1.5,
            warning: None,
        };
        let finished = self.world.store.finish(claim.lease, &audio).await.expect("an answer");
        assert_eq!(finished, Finished::As(State::Done));
    }

    pub async fn done(&self) -> Uuid {
        self.done_with(AUDIO).await
    }

    pub async fn done_with(&self, bytes: &[u8]) -> Uuid {
        let id = self.queued().await.id;
        self.finish(id, bytes).await;
        id
    }

    pub async fn failed(&self, code: &str) -> Uuid {
        let id = self.queued().await.id;
        let claim = self.claim(id).await;
        let error = JobError { code: code.into(), detail: "What is wrong, in a sentence.".into() };
        self.world.store.fail(claim.lease, &error).await.expect("an answer");
        id
    }

    pub async fn cancelled(&self) -> Uuid {
        let id = self.queued().await.id;
        self.world.store.cancel(self.me.id, id).await.expect("an answer").expect("a job");
        id
    }

    pub async fn expire(&self, id: Uuid) {
        let update = sqlx::query("update jobs set expires_at = now() - interval '1 s' where id = $1");
        update.bind(id).execute(&self.sql().await).await.expect("updated");
    }

    pub async fn sql(&self) -> PgPool {
        PgPool::connect(self.world.database.url()).await.expect("a database")
    }

    /// Sends the request, makes sure that the function has looked at the job and waits, and only then does `then`.
    pub async fn while_waiting(&self, request: RequestBuilder, then: impl Future<Output = ()>) -> Response {
        let sql = self.sql().await;
        let sent: DateTime<Utc> = sqlx::query_scalar("select clock_timestamp()").fetch_one(&sql).await.expect("a time");
        let waiting = tokio::spawn(send(request));
        eventually(PATIENCE, async || looked_since(&sql, sent).await.then_some(())).await;
        assert!(!waiting.is_finished(), "it does not wait");
        then.await;
        waiting.await.expect("no panic")
    }
}

/// Nothing else in a test looks for one job in this way.
async fn looked_since(sql: &PgPool, moment: DateTime<Utc>) -> bool {
    let looked =
        "select exists (select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
        and query like '%from jobs where id = $1 and user_id = $2 and state%' and query_start > $1)";
    sqlx::query_scalar(looked).bind(moment).fetch_one(sql).await.expect("the statistics")
}

pub async fn send(request: RequestBuilder) -> Response {
    request.timeout(PATIENCE).send().await.expect("an answer")
}

pub fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

pub fn download(fid: Uuid) -> String {
    format!("/download?fid={fid}")
}

/// The problem's status and code, with everything that each problem must have checked.
pub async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    let request_id = header(&response, "x-request-id").to_owned();
    let body: Value = response.json().await.expect("JSON");
    assert_eq!((&body["status"], &body["request_id"]), (&status.into(), &request_id.into()));
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    (status, body["code"].as_str().expect("a code").to_owned())
}
