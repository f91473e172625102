//! The same program as an AWS Lambda function, behind cargo-lambda's emulator of function URLs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use auth::{Hasher, generate_private_key_pem};
use reqwest::{Client, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;
use store::Store;
use testkit::Database;
use tokio::net::TcpStream;

const PROGRAM: &str = env!("CARGO_BIN_EXE_login");
const EMAIL: &str = "me@example.com";
const PASSWORD: &str = "correct: horse";
const WITHIN: Duration = Duration::from_mins(1);

/// A child that does not outlive the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("a child can be killed");
    }
}

fn emulator_program() -> PathBuf {
    let target = Path::new(PROGRAM).ancestors().nth(2).unwrap();
    let program = target.join("tools/bin/cargo-lambda");
    assert!(
        program.exists(),
        "{} is missing: `make test` installs it, or: python3 -m venv target/tools && \
         target/tools/bin/pip install cargo-lambda==1.9.2",
        program.display()
    );
    program
}

/// Returns once it listens: the Lambda runtime does not try twice.
async fn emulator(port: u16) -> Ends {
    let mut command = Command::new(emulator_program());
    command.args(["lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1"]);
    command.args(["--invoke-port", &port.to_string()]);
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let emulator = Ends(command.spawn().unwrap());
    let connect = async || TcpStream::connect(("127.0.0.1", port)).await.ok();
    testkit::eventually(WITHIN, connect).await;
    emulator
}

fn function(port: u16, database: &Database) -> Ends {
    let mut command = Command::new(PROGRAM);
    command.env_clear();
    // The scheme and the function's name are both needed.
    command.env("AWS_LAMBDA_RUNTIME_API", format!("http://127.0.0.1:{port}/.rt/login"));
    for (name, value) in [
        ("AWS_LAMBDA_FUNCTION_NAME", "login"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "x"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "y"),
    ] {
        command.env(name, value);
    }
    let key = generate_private_key_pem().unwrap();
    command.env("JWT_PRIVATE_KEY", key.expose_secret());
    command.env("DATABASE_URL", database.url());
    Ends(command.stdin(Stdio::null()).spawn().unwrap())
}

async fn add_user(database: &Database) {
    let settings = ["x", "--database-url", database.url()];
    let settings = service::config::try_parse_from("x", settings).unwrap();
    let hash = Hasher::new().hash(PASSWORD.into()).await.unwrap();
    Store::connect_lazy(&settings).unwrap().add_user(EMAIL, &hash, false).await.unwrap();
}

#[tokio::test]
async fn the_same_program_answers_as_a_lambda_function() {
    let database = testkit::database().await;
    add_user(&database).await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _emulator = emulator(port).await;
    let _function = function(port, &database);
    let url = format!("http://127.0.0.1:{port}/lambda-url/login");
    let client = Client::builder().timeout(WITHIN).build().unwrap();

    let jwks = testkit::eventually(WITHIN, async || {
        let answer = client.get(format!("{url}/.well-known/jwks.json")).send().await.ok()?;
        answer.error_for_status().ok()
    });
    let jwks: Value = jwks.await.json().await.unwrap();
    assert_eq!(jwks["keys"][0]["crv"], "Ed25519");

    let login = client.post(format!("{url}/login"));
    let right = login.try_clone().unwrap().basic_auth(EMAIL, Some(PASSWORD)).send().await.unwrap();
    assert_eq!(right.status(), StatusCode::OK);
    assert!(right.headers().contains_key("x-request-id"));
    let token = right.text().await.unwrap();
    let claims = client.post(format!("{url}/validate")).bearer_auth(token).send().await.unwrap();
    assert_eq!(claims.json::<Value>().await.unwrap()["username"], EMAIL);

    let wrong = login.basic_auth(EMAIL, Some("wrong")).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.headers()["content-type"], "application/problem+json");
}
