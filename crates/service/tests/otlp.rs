//! What a collector gets, and how a trace goes on from request to request.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Path,
    routing::{get, post},
};
use http::Request;
use service::{config, telemetry, trace};
use tokio::{net::TcpListener, sync::mpsc};
use tower::ServiceExt;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A collector that hands on what it is sent: the signal's name and the protobuf.
async fn collector() -> (String, mpsc::Receiver<(String, Bytes)>) {
    let (sender, receiver) = mpsc::channel(64);
    let take = async move |Path(signal): Path<String>, body: Bytes| {
        sender.send((signal, body)).await.expect("the test listens");
    };
    let router = Router::new().route("/v1/{signal}", post(take));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, receiver)
}

async fn traceparent_within_a_request(given: &str) -> String {
    let router = Router::new().route("/", get(async || trace::current_traceparent().expect("a trace")));
    let request = Request::get("/").header("traceparent", given).body(Body::empty()).unwrap();
    let response = service::http::wrap(router, "upload").oneshot(request).await.unwrap();
    let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

fn contains(body: &Bytes, text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_and_is_flushed_to_the_collector_on_shutdown() {
    let (endpoint, mut received) = collector().await;
    let flags = ["x", "--otel-exporter-otlp-endpoint", &endpoint];
    let settings = config::try_parse_from("x", flags).unwrap();
    let telemetry = telemetry::init("upload", &settings).unwrap();

    let within = traceparent_within_a_request(&format!("00-{TRACE_ID}-00f067aa0ba902b7-01")).await;
    assert!(within.starts_with(&format!("00-{TRACE_ID}-")), "{within}");
    assert!(!within.contains("00f067aa0ba902b7"), "the parent is the request's span: {within}");
    let other = traceparent_within_a_request("garbled").await;
    assert!(other.starts_with("00-") && !other.contains(TRACE_ID), "{other}");

    telemetry.shutdown().unwrap();
    let mut signals = Vec::new();
    while let Ok((signal, body)) = received.try_recv() {
        match signal.as_str() {
            "traces" => assert!(contains(&body, "GET /") && contains(&body, "upload")),
            _ => assert!(contains(&body, "http.server.request.duration")),
        }
        signals.push(signal);
    }
    signals.sort();
    assert_eq!(signals, ["metrics", "traces"]);
    assert_eq!(trace::current_traceparent(), None, "outside a span there is no trace");
}
