//! A world with jobs in it, and the worker as a process of its own.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::{path::Path, time::Duration};

use objects::ObjectKey;
use queue::{ConvertJob, Publisher};
use sqlx::PgPool;
use store::{Begun, Job, NewJob, Received, State};
use testkit::{
    Person, World, eventually,
    process::{Function, Launch},
    world,
};
use uuid::Uuid;

pub const PATIENCE: Duration = Duration::from_secs(40);

pub struct Fixture {
    pub world: World,
    pub me: Person,
}

pub async fn fixture() -> Fixture {
    let world = world().await;
    let me = world.person("me").await;
    Fixture { world, me }
}

impl Fixture {
    /// A worker that is quick to notice things.
    pub fn worker(&self) -> Launch {
        self.world.launch(env!("CARGO_BIN_EXE_convert")).env("LEASE", "3s").env("SWEEP_INTERVAL", "200ms")
    }

    pub async fn start(&self) -> Function {
        self.worker().start().await
    }

    /// Accepts a video as `upload` does, but tells nobody.
    pub async fn accepted(&self, video: &Path, options: serde_json::Value) -> Uuid {
        let bytes = std::fs::read(video).expect("a clip");
        let id = Uuid::new_v4();
        let new = NewJob { id, user_id: self.me.id, idempotency_key: None, limit: 100 };
        assert!(matches!(self.world.store.begin(&new).await, Ok(Begun::New)));
        let mut writer = self.world.objects().writer(ObjectKey::Source(id));
        writer.write(&bytes).await.expect("written");
        writer.finish().await.expect("stored");
        let received = Received {
            name: "clip.mp4".into(),
            bytes: bytes.len() as u64,
            sha256: [0; 32],
            options,
            traceparent: None,
            retention: Duration::from_hours(1),
        };
        self.world.store.accept(id, &received).await.expect("an answer").expect("accepted");
        id
    }

    /// A job that a message announces.
    pub async fn queued(&self, video: &Path) -> Uuid {
        let id = self.accepted(video, serde_json::json!({})).await;
        self.publish(id).await;
        id
    }

    /// A job that no message announces: the sweep may take it at once.
    pub async fn unannounced(&self, video: &Path) -> Uuid {
        let id = self.accepted(video, serde_json::json!({})).await;
        self.world.store.wake_now(id).await.expect("an answer");
        id
    }

    pub async fn publish(&self, job_id: Uuid) {
        let message = ConvertJob { job_id, traceparent: None };
        Publisher::new(&self.world.queue_settings()).publish(&message).await.expect("confirmed");
    }

    pub async fn job(&self, id: Uuid) -> Job {
        self.world.store.find(self.me.id, id).await.expect("an answer").expect("a job")
    }

    pub async fn becomes(&self, id: Uuid, state: State) -> Job {
        eventually(PATIENCE, async || Some(self.job(id).await).filter(|job| job.state == state)).await
    }

    /// The conversion is under way: seconds of audio are done.
    pub async fn is_under_way(&self, id: Uuid) {
        eventually(PATIENCE, async || {
            let job = self.job(id).await;
            assert!(!job.state.is_final(), "the clip is too short for this test");
            job.progress_seconds.filter(|seconds| *seconds > 0.0)
        })
        .await;
    }

    pub async fn sql(&self) -> PgPool {
        PgPool::connect(self.world.database.url()).await.expect("a database")
    }

    pub async fn events(&self, id: Uuid) -> Vec<String> {
        let events = sqlx::query_scalar("select state from job_events where job_id = $1 order by id");
        events.bind(id).fetch_all(&self.sql().await).await.expect("events")
    }

    pub async fn audio(&self, job: &Job) -> Vec<u8> {
        let attempt = job.audio.as_ref().expect("audio").attempt;
        let key = ObjectKey::Audio { job: job.id, attempt };
        let stored = self.world.objects().get(key, None).await.expect("an object");
        stored.into_bytes().await.expect("its bytes").to_vec()
    }

    /// The job became done once, and the row tells the truth about the audio.
    pub async fn is_done_once(&self, id: Uuid) -> Job {
        let job = self.becomes(id, State::Done).await;
        let done = self.events(id).await.iter().filter(|state| *state == "done").count();
        assert_eq!(done, 1);
        let audio = job.audio.clone().expect("audio");
        let key = ObjectKey::Audio { job: id, attempt: audio.attempt };
        let (bytes, sha256) = self.world.objects().digest(key).await.expect("the object");
        assert_eq!((i64::try_from(bytes).ok(), sha256.to_vec()), (Some(audio.bytes), audio.sha256));
        job
    }

    pub async fn depth(&self, queue: &str) -> u32 {
        testkit::queue_depth(&self.world.amqp_url, queue).await
    }
}
