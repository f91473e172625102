use std::time::Duration;

use clap::Args;
use service::config::{bytes, duration};

/// How a worker works, and what one conversion may cost.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct WorkerSettings {
    /// How often a job is tried before it fails as `attempts_exhausted`.
    #[arg(long, env = "MAX_ATTEMPTS", default_value_t = 3)]
    pub max_attempts: u32,

    /// How long a job stays with a worker that is not heard of; renewed every third of it.
    #[arg(long, env = "LEASE", default_value = "60s", value_parser = duration)]
    pub lease: Duration,

    /// How often the worker looks for jobs whose message was lost or whose worker died.
    #[arg(long, env = "SWEEP_INTERVAL", default_value = "15s", value_parser = duration)]
    pub sweep_interval: Duration,

    /// A conversion without progress for so long is ended.
    #[arg(long, env = "STALL_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub stall_timeout: Duration,

    /// Longest audio.
    #[arg(long, env = "MAX_DURATION", default_value = "12h", value_parser = duration)]
    pub max_duration: Duration,

    /// Largest mp3.
    #[arg(long, env = "MAX_OUTPUT_BYTES", default_value = "1GiB", value_parser = bytes)]
    pub max_output_bytes: u64,
}

/// Everything that the function reads from its environment.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// Requests, logs and metrics.
    #[command(flatten)]
    pub service: service::Settings,
    /// Users and jobs.
    #[command(flatten)]
    pub store: store::Settings,
    /// Videos and audio.
    #[command(flatten)]
    pub objects: objects::Settings,
    /// Wake-ups.
    #[command(flatten)]
    pub queue: queue::Settings,
    /// The work.
    #[command(flatten)]
    pub worker: WorkerSettings,
}
