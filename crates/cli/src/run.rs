//! `video-converter run`: the four functions in one process, on a private PostgreSQL, RabbitMQ and S3.

use std::{
    convert::Infallible,
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use anyhow::Context;
use auth::{Hasher, Signer, TokenSettings, Verifier};
use axum::extract::FromRef;
use clap::Args;
use convert::{Worker, WorkerSettings};
use objects::Objects;
use queue::Publisher;
use secrecy::{ExposeSecret, SecretString};
use service::{shutdown::Shutdown, telemetry};
use stack::{Durability, Stack};
use store::{Changes, Quota, Store};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{accounts, clean::Janitor};

const CLEAN_EVERY: Duration = Duration::from_mins(1);
const COUNT_EVERY: Duration = Duration::from_secs(5);
const LOOK_AFTER_SERVERS: Duration = Duration::from_secs(1);

/// What `run` reads from its environment; the stores' addresses it makes itself.
#[derive(Args)]
pub(crate) struct Settings {
    /// Where everything is kept; a second start goes on from there.
    #[arg(long, env = "DATA_DIR", default_value = "./data")]
    data_dir: PathBuf,

    /// The account to log in with; made at the first start if unset.
    #[arg(long, env = "ADMIN_EMAIL")]
    admin_email: Option<String>,

    /// Its password; generated and printed once if unset.
    #[arg(long, env = "ADMIN_PASSWORD", hide_env_values = true)]
    admin_password: Option<SecretString>,

    /// Conversions at the same time; as many as there are processors if unset.
    #[arg(long, env = "WORKERS")]
    workers: Option<usize>,

    /// How long a token is good for.
    #[arg(long, env = "TOKEN_TTL", default_value = "1h", value_parser = service::config::duration)]
    token_ttl: Duration,

    #[command(flatten)]
    service: service::Settings,
    #[command(flatten)]
    tokens: TokenSettings,
    #[command(flatten)]
    quota: Quota,
    #[command(flatten)]
    upload: upload::Limits,
    #[command(flatten)]
    download: download::Limits,
    #[command(flatten)]
    worker: WorkerSettings,
}

/// What the routes of all functions need.
#[derive(Clone, FromRef)]
struct State {
    store: Store,
    changes: Changes,
    objects: Objects,
    publisher: Publisher,
    hasher: Hasher,
    signer: Signer,
    verifier: Verifier,
    quota: Quota,
    upload: upload::Limits,
    download: download::Limits,
    shutdown: Shutdown,
}

pub(crate) async fn run(mut settings: Settings) -> anyhow::Result<()> {
    // On one machine somebody may well look at the metrics: a free port, unless one is given.
    settings.service.telemetry.metrics_addr.get_or_insert_with(|| (Ipv4Addr::LOCALHOST, 0).into());
    let telemetry = telemetry::init("video-converter", &settings.service.telemetry)?;
    let shutdown = Shutdown::listen(settings.service.serve.shutdown_grace)?;
    // Bound first: a port that is taken should be said before anything is started.
    let listener = bind(&settings).await?;
    println!("starting PostgreSQL, RabbitMQ and S3 in {} ...", settings.data_dir.display());
    let stack = Stack::start(&settings.data_dir, Durability::Kept).await?;
    let served = serve(&settings, &stack, listener, shutdown, telemetry.metrics_addr()).await;
    println!("stopping ...");
    let stopped = stack.stop().await;
    served.and(stopped).and(telemetry.shutdown())
}

async fn bind(settings: &Settings) -> anyhow::Result<TcpListener> {
    let address = (settings.service.serve.host, settings.service.serve.port);
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on port {}; choose another with PORT", address.1))
}

async fn serve(
    settings: &Settings,
    stack: &Stack,
    listener: TcpListener,
    shutdown: Shutdown,
    metrics: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let store_settings = store::Settings { database_url: stack.database_url().into(), database_max_connections: 20 };
    let queue_settings = queue::Settings { amqp_url: stack.amqp_url().into(), amqp_declare: true };
    store::migrate(stack.database_url()).await?;
    write_private(&settings.data_dir.join("database-url"), stack.database_url())?;
    let store = Store::connect_lazy(&store_settings)?;
    // Nobody else works on this data: what a killed run left in hand can be taken up at once.
    store.end_leases().await?;
    let objects = Objects::new(&object_settings(stack));
    objects.ensure_bucket().await?;
    let state = state(settings, &store, &objects, &queue_settings, &shutdown)?;
    let email = settings.admin_email.as_deref();
    let password = settings.admin_password.as_ref().map(ExposeSecret::expose_secret);
    let account = accounts::ensure_admin(&store, &state.hasher, email, password).await?;

    let mut background = JoinSet::new();
    let workers = settings.workers.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
    for _ in 0..workers {
        let worker = Worker::new(store.clone(), objects.clone(), &queue_settings, &settings.worker, shutdown.clone());
        background.spawn(async move { worker.run().await });
    }
    background.spawn(clean_up(Janitor { store: store.clone(), objects }, shutdown.clone()));
    background.spawn(count_jobs(store.clone(), shutdown.clone()));

    let routes = login::router().merge(upload::router()).merge(download::router()).with_state(state);
    let router = service::http::wrap(routes, "video-converter");
    announce(settings, &account, metrics);
    let served = tokio::select! {
        served = service::serve::on(listener, router, &settings.service.serve, shutdown.clone()) => served,
        never = revive(stack) => match never {},
    };
    // Whatever ended the serving, nothing may go on without it; a second request would cut off what is in hand.
    if !shutdown.is_requested() {
        shutdown.request();
    }
    background.join_all().await;
    store.close().await;
    served
}

fn state(
    settings: &Settings,
    store: &Store,
    objects: &Objects,
    queue: &queue::Settings,
    shutdown: &Shutdown,
) -> anyhow::Result<State> {
    let signer = Signer::from_pem(&signing_key(&settings.data_dir)?, settings.tokens.clone(), settings.token_ttl)?;
    Ok(State {
        store: store.clone(),
        changes: Changes::listen(store.clone()),
        objects: objects.clone(),
        publisher: Publisher::new(queue),
        hasher: Hasher::new(),
        verifier: Verifier::of(&signer)?,
        signer,
        quota: settings.quota,
        upload: settings.upload.clone(),
        download: settings.download.clone(),
        shutdown: shutdown.clone(),
    })
}

fn object_settings(stack: &Stack) -> objects::Settings {
    objects::Settings {
        s3_endpoint: stack.s3_endpoint().to_owned(),
        s3_public_endpoint: None,
        s3_region: "us-east-1".to_owned(),
        s3_bucket: "video-converter".to_owned(),
        s3_access_key_id: stack.s3_access_key().to_owned(),
        s3_secret_access_key: stack.s3_secret_key().into(),
    }
}

/// Made at the first start: tokens stay valid over restarts.
fn signing_key(data_dir: &Path) -> anyhow::Result<SecretString> {
    let path = data_dir.join("jwt-private-key.pem");
    if !path.exists() {
        write_private(&path, auth::generate_private_key_pem()?.expose_secret())?;
    }
    let pem = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(pem.into())
}

/// Readable by the owner alone, and never half there.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let half = path.with_extension("new");
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&half, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A server that dies is started again; until then jobs wait, or are swept.
async fn revive(stack: &Stack) -> Infallible {
    loop {
        tokio::time::sleep(LOOK_AFTER_SERVERS).await;
        match stack.revive().await {
            Ok(false) => {}
            Ok(true) => tracing::warn!("a server had died and was started again"),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "a server died and cannot be started again; trying on");
            }
        }
    }
}

async fn clean_up(janitor: Janitor, shutdown: Shutdown) {
    while wait(CLEAN_EVERY, &shutdown).await {
        match janitor.clean().await {
            Ok(cleaned) => tracing::debug!(?cleaned, "cleaned"),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot clean up now"),
        }
    }
}

async fn count_jobs(store: Store, shutdown: Shutdown) {
    while wait(COUNT_EVERY, &shutdown).await {
        match store.count_by_state().await {
            Ok(counts) => service::metrics::jobs(&counts.map(|(state, count)| (state.as_str(), count))),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "cannot count the jobs now"),
        }
    }
}

/// `false`: it is time to stop.
async fn wait(time: Duration, shutdown: &Shutdown) -> bool {
    tokio::time::timeout(time, shutdown.requested()).await.is_err()
}

fn announce(settings: &Settings, account: &accounts::Account, metrics: Option<SocketAddr>) {
    let url = format!("http://localhost:{}", settings.service.serve.port);
    let email = &account.email;
    let password = account.password.as_deref().filter(|_| account.generated);
    let shown = password.unwrap_or("PASSWORD");
    println!("\nvideo-converter is ready at {url}\n");
    println!("  account   {email}");
    if let Some(password) = password {
        println!("  password  {password}   (shown only this once)");
    }
    println!("  data      {}", settings.data_dir.display());
    if let Some(address) = metrics {
        println!("  metrics   http://{address}/metrics");
    }
    println!("\nLog in, upload a video, download its audio:\n");
    println!("  TOKEN=$(curl -sS -X POST {url}/login -u '{email}:{shown}')");
    println!("  curl -X POST -F 'file=@./video.mp4' -H \"Authorization: Bearer $TOKEN\" {url}/upload");
    println!("  curl --output video.mp3 -H \"Authorization: Bearer $TOKEN\" \"{url}/download?fid=$FID\"\n");
    println!("FID is the `fid` that the upload answers. Ctrl-C stops everything.");
}
