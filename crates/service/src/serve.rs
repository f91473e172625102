//! Serving a router: over TCP (Knative, or anywhere), or as an AWS Lambda function.

use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use axum::Router;
use clap::Args;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::Semaphore,
};
use tokio_util::task::TaskTracker;

use crate::{Shutdown, config::duration, metrics};

/// The time for a request's head, and for the next request on an idle connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// After an accept that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How requests come in.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// Port to listen on; Knative sets it.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Address to listen on.
    #[arg(long, env = "HOST", default_value = "0.0.0.0")]
    pub host: IpAddr,

    /// How long work in hand may go on after SIGTERM.
    #[arg(long, env = "SHUTDOWN_GRACE", default_value = "25s", value_parser = duration)]
    pub shutdown_grace: Duration,

    /// Most connections at a time; further ones wait to be accepted.
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 1024)]
    pub max_connections: usize,
}

/// Serves `router` until `shutdown`: as a Lambda function if `AWS_LAMBDA_RUNTIME_API` says that this
/// is one, else over TCP.
///
/// # Errors
/// When the address cannot be listened on, or Lambda's runtime API fails.
pub async fn run(router: Router, settings: &Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        return lambda(router, shutdown).await;
    }
    let address = (settings.host, settings.port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {}:{}", settings.host, settings.port))?;
    on(listener, router, settings, shutdown).await
}

async fn lambda(router: Router, shutdown: Shutdown) -> anyhow::Result<()> {
    select! {
        ended = lambda_http::run(router) => ended.map_err(|error| anyhow!(error)),
        () = shutdown.requested() => Ok(()),
    }
}

/// Serves `router` on a listener until `shutdown`; requests in flight are finished, unless forced.
///
/// # Errors
/// When the listener has no address.
pub async fn on(listener: TcpListener, router: Router, settings: &Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "listening");
    metrics::listening();
    accept(listener, router, settings.max_connections, shutdown).await;
    Ok(())
}

/// Accepts at most `max_connections` at a time until `shutdown`, then waits for them.
pub(crate) async fn accept(listener: TcpListener, router: Router, max_connections: usize, shutdown: Shutdown) {
    let slots = Arc::new(Semaphore::new(max_connections));
    let connections = TaskTracker::new();
    while let Some(slot) = unless_requested(&shutdown, slots.clone().acquire_owned()).await {
        let Some(accepted) = unless_requested(&shutdown, listener.accept()).await else {
            break;
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve(stream, router.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn unless_requested<T>(shutdown: &Shutdown, work: impl Future<Output = T>) -> Option<T> {
    select! {
        biased;
        () = shutdown.requested() => None,
        done = work => Some(done),
    }
}

/// One connection, from its first request until it closes or we stop.
async fn serve(stream: TcpStream, router: Router, shutdown: Shutdown) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let finished = unless_requested(&shutdown, connection.as_mut()).await;
    let finished = if let Some(finished) = finished {
        finished
    } else {
        connection.as_mut().graceful_shutdown();
        select! {
            finished = connection => finished,
            () = shutdown.forced() => return tracing::warn!("a request was cut off"),
        }
    };
    // Mostly clients that went away: theirs to know.
    finished.unwrap_or_else(|error| tracing::debug!(%error, "a connection broke"));
}
