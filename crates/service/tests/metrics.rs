//! The names under which Prometheus finds what is measured.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode};
use service::{Problem, config, metrics, telemetry};
use tower::ServiceExt;

async fn requests() {
    let denied = || Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Log in first.");
    let router = Router::new().route("/jobs/{fid}", get(async move || denied()));
    let router = service::http::wrap(router, "download");
    for path in ["/livez", "/jobs/1", "/jobs/2", "/nowhere"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap();
    }
}

fn jobs() {
    metrics::job_entered("queued");
    metrics::jobs(&[("queued", 3), ("running", 0)]);
    metrics::conversion_waited(Duration::from_secs(2));
    metrics::conversion_done(Duration::from_mins(1), Duration::from_secs(2));
    metrics::conversion_failed("no_audio");
    metrics::bytes_read(10);
    metrics::bytes_written(20);
    metrics::publish_unconfirmed();
}

#[tokio::test]
async fn prometheus_finds_every_instrument_under_its_standard_name() {
    let flags = ["x", "--metrics-addr", "127.0.0.1:0"];
    let settings = config::try_parse_from("x", flags).unwrap();
    let telemetry = telemetry::init("download", &settings).unwrap();
    requests().await;
    jobs();
    let url = format!("http://{}/metrics", telemetry.metrics_addr().unwrap());
    let scraped = reqwest::get(url).await.unwrap().text().await.unwrap();
    for line in [
        r#"http_server_request_duration_seconds_bucket{function="download",http_request_method="GET",http_response_status_code="401",http_route="/jobs/{fid}",le="10"} 2"#,
        r#"http_server_request_duration_seconds_count{function="download",http_request_method="GET",http_response_status_code="404",http_route="unmatched"} 1"#,
        r#"http_server_active_requests{function="download"} 0"#,
        r#"unauthorized_requests_total{function="download",http_request_method="GET",http_route="/jobs/{fid}"} 2"#,
        r#"job_transitions_total{state="queued"} 1"#,
        r#"jobs{state="queued"} 3"#,
        r#"jobs{state="running"} 0"#,
        r#"conversion_speed_bucket{le="50"} 1"#,
        "conversion_duration_seconds_sum 2",
        "conversion_queue_wait_seconds_count 1",
        r#"conversion_failures_total{code="no_audio"} 1"#,
        r#"io_bytes_total{direction="read"} 10"#,
        r#"io_bytes_total{direction="written"} 20"#,
        "publish_unconfirmed_total 1",
    ] {
        assert!(scraped.lines().any(|scraped| scraped == line), "no {line} in\n{scraped}");
    }
    telemetry.shutdown().unwrap();
}
