//! Logs to stderr; traces and metrics by OTLP push, metrics also for Prometheus to scrape.

mod export;
mod json;

use std::{
    io::IsTerminal,
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};
use axum::{Router, routing::get};
use clap::{Args, ValueEnum};
use opentelemetry::{global, metrics::MeterProvider, trace::TracerProvider};
use opentelemetry_sdk::{metrics::SdkMeterProvider, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use prometheus::{Registry, TextEncoder};
use tracing_subscriber::{
    EnvFilter, Layer, filter::LevelFilter, fmt, fmt::format::JsonFields, layer::SubscriberExt, registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::{Problem, Shutdown, metrics, serve};

const SCOPE: &str = "video-converter";
/// A collector that does not answer must not keep a process from ending.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_SCRAPERS: usize = 16;

/// What is logged and measured, and where it goes.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// What is logged: a level, or directives by crate such as `info,store=debug`.
    #[arg(long, env = "LOG", default_value = "info", value_parser = filter)]
    pub log: String,

    /// How logs are written to stderr; `auto` is text on a terminal and JSON elsewhere.
    #[arg(long, env = "LOG_FORMAT", default_value = "auto")]
    pub log_format: LogFormat,

    /// OpenTelemetry collector that traces and metrics are pushed to, as `http://collector:4318`; nothing is pushed if unset.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otel_exporter_otlp_endpoint: Option<String>,

    /// Address on which `/metrics` is served for Prometheus, as `0.0.0.0:9090`; not served if unset.
    #[arg(long, env = "METRICS_ADDR")]
    pub metrics_addr: Option<SocketAddr>,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

fn filter(directives: &str) -> Result<String, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(directives).map(|_| directives.to_owned())
}

/// What must be flushed before the process ends.
#[derive(Debug)]
#[must_use = "call shutdown, or the last spans and metrics are lost"]
pub struct Telemetry {
    tracer: SdkTracerProvider,
    meter: SdkMeterProvider,
    metrics_addr: Option<SocketAddr>,
    metrics_server: Shutdown,
}

/// Installs logs, traces and metrics for the whole process, once. Needs a running tokio runtime.
///
/// # Errors
/// When an address is taken, an endpoint is not a URL, or telemetry is installed already.
pub fn init(service_name: &'static str, settings: &Settings) -> anyhow::Result<Telemetry> {
    let registry = Registry::new();
    let (tracer, meter) = export::providers(service_name, settings, &registry)?;
    global::set_text_map_propagator(TraceContextPropagator::new());
    tracing_subscriber::registry()
        .with(logs(settings))
        // Spans are kept whatever is logged: ids must travel on.
        .with(tracing_opentelemetry::layer().with_tracer(tracer.tracer(SCOPE)).with_filter(LevelFilter::INFO))
        .try_init()
        .context("telemetry is installed already")?;
    metrics::install(&meter.meter(SCOPE));
    let metrics_server = Shutdown::manual(Duration::ZERO);
    let metrics_addr = match settings.metrics_addr {
        Some(address) => Some(serve_metrics(address, registry, metrics_server.clone())?),
        None => None,
    };
    Ok(Telemetry { tracer, meter, metrics_addr, metrics_server })
}

fn logs<S>(settings: &Settings) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let layer = fmt::layer().with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    let layer = match settings.log_format {
        LogFormat::Text => layer.with_ansi(terminal).boxed(),
        LogFormat::Auto if terminal => layer.boxed(),
        _ => layer.fmt_fields(JsonFields::new()).event_format(json::Flat).boxed(),
    };
    layer.with_filter(EnvFilter::new(&settings.log)).boxed()
}

fn serve_metrics(address: SocketAddr, registry: Registry, shutdown: Shutdown) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address).with_context(|| format!("METRICS_ADDR {address}"))?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let scrape =
        move || async move { TextEncoder::new().encode_to_string(&registry.gather()).map_err(Problem::internal) };
    let router = Router::new().route("/metrics", get(scrape));
    tokio::spawn(serve::accept(listener, router, MAX_SCRAPERS, shutdown));
    tracing::info!(%address, "metrics are served");
    Ok(address)
}

impl Telemetry {
    /// Where `/metrics` is served, if it is.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// Sends what is left, in at most 5 seconds.
    ///
    /// # Errors
    /// When the collector did not take it.
    pub fn shutdown(self) -> anyhow::Result<()> {
        self.metrics_server.request();
        let (done, finished) = mpsc::sync_channel(1);
        // The exporters' client blocks, which an async thread must not do.
        thread::spawn(move || {
            let flushed = self.tracer.shutdown().and(self.meter.shutdown());
            done.send(flushed)
        });
        let flushed = finished.recv_timeout(FLUSH_TIMEOUT);
        ensure!(flushed.is_ok(), "the collector did not take the last spans and metrics in time");
        flushed?.context("the last spans and metrics are lost")
    }
}
