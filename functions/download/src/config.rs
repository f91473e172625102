use std::time::Duration;

use clap::Args;
use service::config::duration;

/// How answers are given.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Limits {
    /// How long /download waits for a job that is not finished, unless the client says otherwise by `Prefer: wait`.
    #[arg(long, env = "DOWNLOAD_WAIT", default_value = "25s", value_parser = duration)]
    pub download_wait: Duration,

    /// The longest that a client may ask to wait.
    #[arg(long, env = "DOWNLOAD_MAX_WAIT", default_value = "60s", value_parser = duration)]
    pub download_max_wait: Duration,

    /// How long a link of `?redirect=1` is good for.
    #[arg(long, env = "DOWNLOAD_LINK_TTL", default_value = "60s", value_parser = duration)]
    pub download_link_ttl: Duration,
}

/// Everything that the function reads from its environment.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// Requests, logs and metrics.
    #[command(flatten)]
    pub service: service::Settings,
    /// Whose tokens are good.
    #[command(flatten)]
    pub auth: auth::VerifierSettings,
    /// Users and jobs.
    #[command(flatten)]
    pub store: store::Settings,
    /// Videos and audio.
    #[command(flatten)]
    pub objects: objects::Settings,
    /// Wake-ups.
    #[command(flatten)]
    pub queue: queue::Settings,
    /// What one user may have.
    #[command(flatten)]
    pub quota: store::Quota,
    /// Bounds.
    #[command(flatten)]
    pub limits: Limits,
}
