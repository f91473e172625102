//! A world with the function as a process of its own, and a client.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::time::Duration;

use objects::ObjectKey;
use reqwest::{
    Client, Response,
    multipart::{Form, Part},
};
use serde_json::Value;
use sqlx::PgPool;
use testkit::{
    Person, World,
    process::{Function, Launch},
    world,
};
use uuid::Uuid;

pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Fixture {
    pub world: World,
    pub me: Person,
    pub function: Function,
    pub client: Client,
}

pub async fn fixture() -> Fixture {
    fixture_with(|launch, _| launch).await
}

/// With more or other settings.
pub async fn fixture_with(change: impl FnOnce(Launch, &World) -> Launch) -> Fixture {
    let world = world().await;
    let me = world.person("me").await;
    let function = change(world.launch(env!("CARGO_BIN_EXE_upload")), &world).start().await;
    Fixture { world, me, function, client: Client::new() }
}

impl Fixture {
    pub fn url(&self) -> String {
        format!("{}/upload", self.function.base_url())
    }

    pub fn post(&self, form: Form) -> reqwest::RequestBuilder {
        self.client.post(self.url()).bearer_auth(&self.me.token).multipart(form)
    }

    pub async fn upload(&self, form: Form) -> Response {
        self.post(form).send().await.expect("an answer")
    }

    pub async fn sql(&self) -> PgPool {
        PgPool::connect(self.world.database.url()).await.expect("a database")
    }

    /// State of every row there is, oldest first.
    pub async fn states(&self) -> Vec<String> {
        sqlx::query_scalar("select state from jobs order by created_at")
            .fetch_all(&self.sql().await)
            .await
            .expect("rows")
    }

    pub async fn source(&self, fid: Uuid) -> Result<Vec<u8>, objects::Error> {
        Ok(self.world.objects().get(ObjectKey::Source(fid), None).await?.into_bytes().await?.to_vec())
    }
}

/// What begins like an mp4 and is one as far as `upload` looks.
pub fn mp4(len: usize) -> Vec<u8> {
    let mut bytes = b"\0\0\0\x18ftypisom".to_vec();
    bytes.extend(
        (0_u32..).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3]).take(len.saturating_sub(bytes.len())),
    );
    bytes
}

pub fn file(name: &'static str, bytes: Vec<u8>) -> Part {
    Part::bytes(bytes).file_name(name)
}

pub fn form(bytes: Vec<u8>) -> Form {
    Form::new().part("file", file("video.mp4", bytes))
}

pub fn fid(body: &Value) -> Uuid {
    body["fid"].as_str().and_then(|fid| fid.parse().ok()).expect("a fid")
}

/// The problem's code, with everything that each problem must have checked.
pub async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(response.headers().contains_key("x-request-id"));
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["status"], status);
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    (status, body["code"].as_str().expect("a code").to_owned())
}

pub const CONTENT_TYPE: &str = "multipart/form-data; boundary=xyz";
/// The form up to the first bytes of its file, and its end.
pub const HEAD: &[u8] =
    b"--xyz\r\ncontent-disposition: form-data; name=\"file\"; filename=\"v.mp4\"\r\n\r\n\0\0\0\x18ftypisom\0\0\0\0";
pub const TAIL: &[u8] = b"\r\n--xyz--\r\n";

pub struct BodySender(tokio::sync::mpsc::Sender<Result<Vec<u8>, std::io::Error>>);

impl BodySender {
    pub async fn send(&self, bytes: &[u8]) {
        self.0.send(Ok(bytes.to_vec())).await.expect("the request is still there");
    }
}

/// A body that comes as the test sends it, and ends when the sender is dropped.
pub fn stalled_body() -> (BodySender, reqwest::Body) {
    let (sender, mut pieces) = tokio::sync::mpsc::channel(1);
    let stream = futures::stream::poll_fn(move |cx| pieces.poll_recv(cx));
    (BodySender(sender), reqwest::Body::wrap_stream(stream))
}
