//! The body of every function's `main`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::{Shutdown, config, metrics, serve, telemetry};

/// What every function reads from its environment.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// Logs, traces and metrics.
    #[command(flatten)]
    pub telemetry: telemetry::Settings,
    /// Requests.
    #[command(flatten)]
    pub serve: serve::Settings,
}

/// Reads the settings, which flatten [`Settings`], starts telemetry, and runs `body` until it ends.
///
/// An error is logged once, with its causes; telemetry is flushed in any case.
///
/// ```no_run
/// # #[derive(clap::Args)]
/// # struct Settings {
/// #     #[command(flatten)]
/// #     service: service::Settings,
/// # }
/// fn main() -> std::process::ExitCode {
///     service::run("login", |settings: Settings, shutdown| async move {
///         let router = service::http::wrap(axum::Router::new(), "login");
///         service::serve::run(router, &settings.service.serve, shutdown).await
///     })
/// }
/// ```
pub fn run<S, F>(name: &'static str, body: impl FnOnce(S, Shutdown) -> F) -> ExitCode
where
    S: Args,
    F: Future<Output = anyhow::Result<()>>,
{
    metrics::process_started();
    let (own, common) = match config::read::<S, Settings>(name) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    with_runtime(name, &common, |shutdown| body(own, shutdown)).unwrap_or_else(|error| {
        // There is no log yet.
        eprintln!("{name} cannot start: {error:#}");
        ExitCode::FAILURE
    })
}

fn with_runtime<F>(
    name: &'static str,
    settings: &Settings,
    body: impl FnOnce(Shutdown) -> F,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        let shutdown = Shutdown::listen(settings.serve.shutdown_grace)?;
        let telemetry = telemetry::init(name, &settings.telemetry)?;
        let ended = body(shutdown).await;
        if let Err(error) = &ended {
            tracing::error!(error = format!("{error:#}"), "{name} failed");
        }
        // A collector that is away is no failure of ours.
        if let Err(error) = telemetry.shutdown() {
            tracing::warn!(error = format!("{error:#}"), "telemetry is lost");
        }
        Ok(if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}
