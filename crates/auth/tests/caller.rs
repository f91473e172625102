//! Who calls: the extractors and their 401s.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use auth::{BasicCredentials, Caller, Signer, TokenSettings, Verifier, generate_private_key_pem};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header::AUTHORIZATION},
    routing::get,
};
use chrono::{TimeDelta, Utc};
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;

fn signer() -> Signer {
    let settings = TokenSettings { jwt_issuer: "i".into(), jwt_audience: "a".into() };
    let pem = generate_private_key_pem().unwrap();
    Signer::from_pem(&pem, settings, Duration::from_mins(1)).unwrap()
}

fn caller() -> Caller {
    Caller { user_id: Uuid::from_u128(7), username: "me@example.com".into(), admin: false }
}

/// Status, challenge and body of a GET with this `Authorization`.
async fn send(signer: &Signer, path: &str, authorization: Option<String>) -> (StatusCode, String, String) {
    let login = async |BasicCredentials { username, password }| format!("{username} {password}");
    let router = Router::new()
        .route("/", get(async |caller: Caller| caller.username))
        .route("/login", get(login))
        .with_state(Verifier::of(signer).unwrap());
    let mut request = Request::get(path);
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let challenge = response.headers().get("www-authenticate").map(|it| it.to_str().unwrap());
    let (status, challenge) = (response.status(), challenge.unwrap_or_default().to_owned());
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    (status, challenge, String::from_utf8(body.to_vec()).unwrap())
}

fn code(body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap();
    problem["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_good_token_tells_who_calls() {
    let signer = signer();
    let token = signer.sign(&caller(), Utc::now());
    for scheme in ["Bearer", "bearer"] {
        let (status, _, body) = send(&signer, "/", Some(format!("{scheme} {token}"))).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "me@example.com"));
    }
}

#[tokio::test]
async fn without_a_token_the_challenge_names_no_error() {
    let signer = signer();
    for authorization in [None, Some("Basic bWU6eA==".to_owned()), Some("Bearer".to_owned())] {
        let (status, challenge, body) = send(&signer, "/", authorization).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(challenge, r#"Bearer realm="video-converter""#);
        assert_eq!(code(&body), "unauthorized");
    }
}

#[tokio::test]
async fn with_a_bad_token_the_challenge_says_what_is_wrong() {
    let signer = signer();
    let expired = signer.sign(&caller(), Utc::now() - TimeDelta::hours(1));
    for (token, why) in
        [(expired.as_str(), "the token has expired, log in again"), ("nonsense", "the token is malformed")]
    {
        let (status, challenge, body) = send(&signer, "/", Some(format!("Bearer {token}"))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        let expected = format!(r#"Bearer realm="video-converter", error="invalid_token", error_description="{why}""#);
        assert_eq!((challenge, code(&body).as_str()), (expected, "invalid_token"));
        assert!(body.contains(why), "{body}");
    }
}

#[tokio::test]
async fn basic_credentials_may_hold_colons_and_any_script() {
    for (encoded, expected) in
        [("bWVAZXhhbXBsZS5jb206YTpiOmM=", "me@example.com a:b:c"), ("bcO8OnDDpHNz", "mü päss"), ("bWU6", "me ")]
    {
        let (status, _, body) = send(&signer(), "/login", Some(format!("Basic {encoded}"))).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, expected));
    }
}

#[tokio::test]
async fn missing_and_garbled_credentials_get_the_basic_challenge() {
    let none = [None, Some("Basic !!!"), Some("Basic bWU="), Some("Bearer x"), Some("Basic")];
    for authorization in none {
        let authorization = authorization.map(ToOwned::to_owned);
        let (status, challenge, body) = send(&signer(), "/login", authorization).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(challenge, r#"Basic realm="video-converter", charset="UTF-8""#);
        assert_eq!(code(&body), "unauthorized");
    }
}
