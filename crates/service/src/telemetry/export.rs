//! Where spans and measurements go.

use std::thread;

use anyhow::{Context, anyhow};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider, trace::SdkTracerProvider};
use prometheus::Registry;

use super::Settings;

/// The providers: without a collector they still give ids to spans and numbers to `registry`.
pub(super) fn providers(
    service_name: &'static str,
    settings: &Settings,
    registry: &Registry,
) -> anyhow::Result<(SdkTracerProvider, SdkMeterProvider)> {
    let resource = Resource::builder().with_service_name(service_name).build();
    let scraped =
        opentelemetry_prometheus::exporter().scope_info_enabled(false).with_registry(registry.clone()).build()?;
    let mut tracer = SdkTracerProvider::builder().with_resource(resource.clone());
    let mut meter = SdkMeterProvider::builder().with_resource(resource).with_reader(scraped);
    if let Some(endpoint) = &settings.otel_exporter_otlp_endpoint {
        let (spans, measurements) = exporters(endpoint)?;
        tracer = tracer.with_batch_exporter(spans);
        meter = meter.with_periodic_exporter(measurements);
    }
    Ok((tracer.build(), meter.build()))
}

/// OTLP over HTTP with protobuf. Built on a thread of its own: the client starts a runtime, which
/// panics inside another one.
fn exporters(endpoint: &str) -> anyhow::Result<(SpanExporter, MetricExporter)> {
    let base = endpoint.trim_end_matches('/').to_owned();
    let build = move || {
        let spans = SpanExporter::builder().with_http().with_endpoint(format!("{base}/v1/traces"));
        let measurements = MetricExporter::builder().with_http().with_endpoint(format!("{base}/v1/metrics"));
        anyhow::Ok((spans.build()?, measurements.build()?))
    };
    let exporters = thread::spawn(build).join().map_err(|_| anyhow!("the exporters panicked"))?;
    exporters.with_context(|| format!("cannot push to OTEL_EXPORTER_OTLP_ENDPOINT {endpoint}"))
}
