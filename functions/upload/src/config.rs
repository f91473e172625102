use std::time::Duration;

use clap::Args;
use service::config::{bytes, duration};

/// What an upload may cost.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Limits {
    /// Largest video.
    #[arg(long, env = "MAX_UPLOAD_BYTES", default_value = "4GiB", value_parser = bytes)]
    pub max_upload_bytes: u64,

    /// An upload that sends nothing for so long is broken off.
    #[arg(long, env = "UPLOAD_IDLE_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub upload_idle_timeout: Duration,

    /// The longest that one upload may take.
    #[arg(long, env = "UPLOAD_TIMEOUT", default_value = "1h", value_parser = duration)]
    pub upload_timeout: Duration,
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
