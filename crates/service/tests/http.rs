//! What surrounds every router.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::{
    Router,
    body::{Body, to_bytes},
    response::Response,
    routing::{get, post},
};
use http::{Method, Request, StatusCode};
use serde_json::Value;
use service::{Problem, http::request_id, http::wrap};
use tower::ServiceExt;

fn router() -> Router {
    let router = Router::new()
        .route("/id", get(async || request_id().unwrap_or_default()))
        .route("/gone", get(async || Problem::new(StatusCode::GONE, "gone", "It is gone.")))
        .route("/broken", get(broken))
        .route("/login", post(async || "in"));
    wrap(router, "test")
}

async fn broken() -> &'static str {
    panic!("a secret")
}

async fn send(method: Method, path: &str, id: Option<&str>) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(id) = id {
        request = request.header("x-request-id", id);
    }
    router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response) -> String {
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn problem(response: Response) -> Value {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    serde_json::from_str(&text(response).await).unwrap()
}

#[tokio::test]
async fn probes_answer_ok() {
    for path in ["/livez", "/readyz"] {
        let response = send(Method::GET, path, None).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(text(response).await, "ok");
    }
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_echoed() {
    let response = send(Method::GET, "/id", Some("from-the-gateway")).await;
    assert_eq!(response.headers()["x-request-id"], "from-the-gateway");
    assert_eq!(text(response).await, "from-the-gateway");
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_problems_repeat_it() {
    let response = send(Method::GET, "/gone", Some("not sane")).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(uuid::Uuid::parse_str(&id).is_ok(), "{id}");
    assert_eq!(problem(response).await["request_id"], id.as_str());
}

#[tokio::test]
async fn an_unknown_address_is_a_problem() {
    let response = send(Method::GET, "/nowhere", None).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(problem(response).await["code"], "not_found");
}

#[tokio::test]
async fn a_wrong_method_is_a_problem_that_lists_the_right_ones() {
    let response = send(Method::GET, "/login", None).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "POST");
    assert_eq!(problem(response).await["code"], "method_not_allowed");
}

#[tokio::test]
async fn a_panic_is_an_internal_problem_that_tells_nothing() {
    let response = send(Method::GET, "/broken", None).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let problem = problem(response).await;
    assert_eq!(problem["code"], "internal");
    assert!(!problem.to_string().contains("secret"), "{problem}");
}

#[tokio::test]
async fn outside_a_request_there_is_no_id() {
    assert_eq!(request_id(), None);
}
