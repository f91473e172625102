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
    let ended = with_runtime(name, &common, |shutdown| body(own, shutdown));
    if let Err(error) = ended {
        // Telemetry may be what failed.
        eprintln!("{name} failed: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn with_runtime<F>(
    name: &'static str,
    settings: &Settings,
    body: impl FnOnce(Shutdown) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        let telemetry = telemetry::init(name, &settings.telemetry)?;
        let shutdown = Shutdown::listen(settings.serve.shutdown_grace)?;
        let ended = body(shutdown).await;
        ended.and(telemetry.shutdown())
    })
}
