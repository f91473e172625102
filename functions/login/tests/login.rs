//! The function as its users see it: the real program, over HTTP, on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use auth::{Hasher, TokenSettings, Verifier, generate_private_key_pem};
use chrono::Utc;
use reqwest::{Client, RequestBuilder, Response, StatusCode, header::ACCEPT};
use secrecy::ExposeSecret;
use serde_json::Value;
use store::Store;
use testkit::{
    Database,
    process::{Function, Launch},
};
use uuid::Uuid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_login");
const EMAIL: &str = "me@example.com";
const PASSWORD: &str = "correct: horse";
const WITHIN: Duration = Duration::from_secs(30);
/// "stale" with m=8192, t=3.
const STALE_HASH: &str =
    "$argon2id$v=19$m=8192,t=3,p=1$Ewnh6UfzxgzWqtWUM/aLlg$klThVenndTSKR9qrjLe+XPldXxn3u3jD0tYstQe10pk";

struct Login {
    program: Function,
    store: Store,
    user_id: Uuid,
    client: Client,
    _database: Database,
}

fn launch(database_url: &str) -> Launch {
    let key = generate_private_key_pem().unwrap();
    Function::launch(PROGRAM).env("DATABASE_URL", database_url).env("JWT_PRIVATE_KEY", key.expose_secret())
}

fn client() -> Client {
    Client::builder().timeout(WITHIN).build().unwrap()
}

fn store(database: &Database) -> Store {
    let settings = ["x", "--database-url", database.url()];
    Store::connect_lazy(&service::config::try_parse_from("x", settings).unwrap()).unwrap()
}

async fn start() -> Login {
    let database = testkit::database().await;
    let store = store(&database);
    let hash = Hasher::new().hash(PASSWORD.into()).await.unwrap();
    let user_id = store.add_user(EMAIL, &hash, true).await.unwrap();
    let program = launch(database.url()).start().await;
    Login { program, store, user_id, client: client(), _database: database }
}

impl Login {
    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.program.base_url() + path)
    }

    async fn log_in(&self, name: &str, password: &str) -> Response {
        self.post("/login").basic_auth(name, Some(password)).send().await.unwrap()
    }

    /// Status and body of a refused login, without what differs from request to request.
    async fn refusal(&self, name: &str, password: &str) -> (StatusCode, String, Value) {
        let response = self.log_in(name, password).await;
        let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        let (status, mut body) = (response.status(), response.json::<Value>().await.unwrap());
        assert!(body.as_object_mut().unwrap().remove("request_id").is_some());
        (status, challenge, body)
    }

    /// The quickest of several: the one that the machine's other work disturbed least.
    async fn shortest_login(&self, name: &str) -> Duration {
        let mut shortest = Duration::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            self.log_in(name, "wrong").await;
            shortest = shortest.min(began.elapsed());
        }
        shortest
    }
}

#[tokio::test]
async fn a_password_gets_a_bare_token_that_the_public_keys_verify() {
    let login = start().await;
    let response = login.log_in(EMAIL, PASSWORD).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let token = response.text().await.unwrap();

    let url = login.program.base_url() + "/.well-known/jwks.json";
    let jwks = login.client.get(url).send().await.unwrap();
    assert_eq!(jwks.headers()["cache-control"], "public, max-age=300");
    assert_eq!(jwks.headers()["content-type"], "application/jwk-set+json");
    let settings = TokenSettings { jwt_issuer: "video-converter".into(), jwt_audience: "video-converter".into() };
    let verifier = Verifier::from_jwks(&jwks.text().await.unwrap(), &settings).unwrap();
    let claims = verifier.verify(&token, Utc::now()).unwrap();
    assert_eq!((claims.sub, claims.username.as_str(), claims.admin), (login.user_id, EMAIL, true));
}

#[tokio::test]
async fn a_client_that_asks_for_json_gets_what_oauth_calls_a_token_response() {
    let login = start().await;
    let request = login.post("/login").basic_auth(EMAIL, Some(PASSWORD));
    let response = request.header(ACCEPT, "text/html, application/json;q=0.9").send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&"Bearer".into(), &3600.into()));
    assert!(body["access_token"].as_str().unwrap().split('.').count() == 3);
}

#[tokio::test]
async fn validate_answers_what_the_token_says() {
    let login = start().await;
    let token = login.log_in(EMAIL, PASSWORD).await.text().await.unwrap();
    let response = login.post("/validate").bearer_auth(token).send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let claims: Value = response.json().await.unwrap();
    assert_eq!(claims["username"], EMAIL);
    assert_eq!(claims["sub"], login.user_id.to_string());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
}

#[tokio::test]
async fn validate_refuses_what_is_no_token_of_ours() {
    let login = start().await;
    let missing = login.post("/validate").send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(missing.headers()["www-authenticate"], r#"Bearer realm="video-converter""#);
    let wrong = login.post("/validate").bearer_auth("a.b.c").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.json::<Value>().await.unwrap()["code"], "invalid_token");
}

#[tokio::test]
async fn a_wrong_password_an_unknown_user_and_a_disabled_one_get_the_same_answer() {
    let login = start().await;
    let wrong = login.refusal(EMAIL, "wrong").await;
    assert_eq!(wrong.0, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.1, r#"Basic realm="video-converter", charset="UTF-8""#);
    assert_eq!(login.refusal("nobody@example.com", "wrong").await, wrong);
    assert_eq!(login.refusal("no\0body", "wrong").await, wrong);
    assert_eq!(login.refusal(EMAIL, &"x".repeat(4096)).await, wrong);
    login.store.set_disabled(login.user_id, true).await.unwrap();
    assert_eq!(login.refusal(EMAIL, PASSWORD).await, wrong);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_take_the_same_time() {
    let login = start().await;
    let known = login.shortest_login(EMAIL).await;
    let unknown = login.shortest_login("nobody@example.com").await;
    // One hash is twenty times the rest of a login.
    let longer = known.max(unknown);
    assert!(longer < 3 * known.min(unknown), "known {known:?}, unknown {unknown:?}");
}

#[tokio::test]
async fn without_credentials_the_client_is_asked_for_them() {
    let login = start().await;
    let response = login.post("/login").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = r#"Basic realm="video-converter", charset="UTF-8""#;
    assert_eq!(response.headers()["www-authenticate"], challenge);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_hash_of_old_parameters_is_renewed_at_the_next_login() {
    let login = start().await;
    login.store.set_password_hash(login.user_id, STALE_HASH).await.unwrap();
    assert_eq!(login.log_in(EMAIL, "stale").await.status(), StatusCode::OK);
    let user = login.store.user_by_email(EMAIL).await.unwrap().unwrap();
    assert!(user.password_hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert_eq!(login.log_in(EMAIL, "stale").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn more_logins_than_the_machine_can_hash_are_told_to_come_back() {
    let login = start().await;
    let logins = (0..300).map(|_| login.log_in(EMAIL, PASSWORD));
    let answers = futures::future::join_all(logins).await;
    let (right, busy): (Vec<_>, Vec<_>) = answers.into_iter().partition(|response| response.status() == StatusCode::OK);
    assert!(right.len() >= 64, "{} got in", right.len());
    assert!(!busy.is_empty());
    for response in busy {
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "1");
        let body: Value = response.json().await.unwrap();
        assert_eq!((&body["code"], &body["retryable"]), (&"busy".into(), &true.into()));
    }
}

#[tokio::test]
async fn without_a_database_it_starts_and_says_so_at_login() {
    let closed = testkit::proxy::Proxy::to("127.0.0.1:1".parse().unwrap()).await;
    closed.cut();
    let url = format!("postgres://vc:x@{}/x", closed.addr());
    let program = launch(&url).start().await;
    let request = client().post(program.base_url() + "/login");
    let response = request.basic_auth(EMAIL, Some(PASSWORD)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "unavailable");
}

#[tokio::test]
async fn it_names_every_missing_variable_and_exits_with_2() {
    let mut program = Function::launch(PROGRAM).spawn();
    let status = program.wait(WITHIN).await;
    assert_eq!(status.code(), Some(2));
    let log = testkit::eventually(WITHIN, async || Some(program.log()).filter(|log| log.contains("DATABASE_URL")));
    assert!(log.await.contains("JWT_PRIVATE_KEY: Ed25519 private key"));
}

#[tokio::test]
async fn sigterm_ends_it_cleanly() {
    let mut login = start().await;
    login.program.terminate();
    let status = login.program.wait(WITHIN).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_collector_that_is_away_does_not_spoil_a_clean_end() {
    let database = testkit::database().await;
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let mut program = launch(database.url()).env(collector.0, collector.1).start().await;
    program.terminate();
    assert_eq!(program.wait(WITHIN).await.code(), Some(0));
    let told = async || Some(program.log()).filter(|log| log.contains("telemetry is lost"));
    testkit::eventually(WITHIN, told).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_failure_that_is_named() {
    let first = start().await;
    let port = first.program.base_url().rsplit(':').next().unwrap().to_owned();
    let mut second = launch("postgres://x@127.0.0.1:1/x").env("PORT", &port).spawn();
    assert_eq!(second.wait(WITHIN).await.code(), Some(1));
    let named = testkit::eventually(WITHIN, async || Some(second.log()).filter(|log| log.contains("cannot listen on")));
    assert!(named.await.contains("Address already in use"));
}
