//! Users and jobs in PostgreSQL: the state machine, leases and the event log.
//!
//! The row is the job, the queue's message is only a wake-up, and every change of state is one compare-and-set here. Only the database's
//! clock decides about leases.

mod change;
mod clean;
mod error;
mod job;
mod notify;
mod read;
mod receive;
mod state;
mod user;
mod work;

use std::{future::Future, time::Duration};

use anyhow::Context;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions, types::PgInterval},
};

pub use change::{Cancelled, Retried};
pub use clean::{Abandoned, Erasable};
pub use error::Error;
pub use job::{Audio, Job, JobError, Source};
pub use notify::Changes;
pub use read::{Page, PageKey};
pub use receive::{Begun, NewJob, Received};
pub use state::State;
pub use user::User;
pub use work::{Claim, Finished, Lease, Progress};

/// The schema, in order; see `migrations/README.md`.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// A call that takes longer than this counts as "the database does not answer".
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Where the users and jobs are.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// PostgreSQL, as `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,

    /// Most connections to PostgreSQL that one process opens.
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value_t = 10)]
    pub database_max_connections: u32,
}

/// What one user may have.
#[derive(Args, Clone, Copy, Debug)]
#[group(skip)]
pub struct Quota {
    /// Most jobs of one user that are not finished.
    #[arg(long, env = "MAX_JOBS_PER_USER", default_value_t = 100)]
    pub max_jobs_per_user: u32,

    /// How long a job's video and audio are kept.
    #[arg(long, env = "RETENTION", default_value = "7d", value_parser = service::config::duration)]
    pub retention: Duration,
}

/// The store; clones share one bounded pool of connections.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// A store that connects on first use, so that a function listens at once.
    ///
    /// # Errors
    /// When the URL is not one of PostgreSQL's.
    pub fn connect_lazy(settings: &Settings) -> anyhow::Result<Self> {
        let options: PgConnectOptions =
            settings.database_url.expose_secret().parse().context("DATABASE_URL is not a postgres:// URL")?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.database_max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.options([("statement_timeout", "8s"), ("lock_timeout", "4s")]));
        Ok(Self { pool })
    }

    /// Closes every connection; what still runs gets an error.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Bounds a call in time: a database that accepts and then stays silent must not hold a request for ever.
    async fn bounded<T>(&self, call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Error> {
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(answer) => answer.map_err(Error::from),
            Err(_) => Err(Error::TimedOut),
        }
    }
}

/// Brings the schema of `database_url` to the newest version; safe to run by several processes at once.
///
/// # Errors
/// When the database cannot be reached or a migration fails; nothing of a failed migration remains.
pub async fn migrate(database_url: &str) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(10))
        .connect(database_url)
        .await
        .context("cannot reach PostgreSQL to migrate")?;
    let migrated = MIGRATIONS.run(&pool).await.context("cannot migrate the database");
    pool.close().await;
    migrated
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}
