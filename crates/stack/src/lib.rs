//! PostgreSQL, RabbitMQ and S3 of one machine, private to one process.
//!
//! `video-converter run` and the tests need the same three servers that production has, without an account, a
//! container or a system service. [`Stack::start`] brings them up below one directory, on free loopback ports and with
//! random passwords; a directory that was used before goes on where it stopped.
//!
//! Linux only: it uses setpriv(1) and proc(5). The servers never outlive the process that started them, not even when it is killed: see [`keeper`] and [`process`].

mod addresses;
mod cluster;
mod identity;
mod keeper;
mod lock;
mod owner;
mod ports;
mod postgres;
mod process;
mod rabbitmq;
mod s3;
mod secrets;

use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::Mutex;

pub use addresses::Addresses;
pub use lock::is_running;
pub use ports::free as free_port;

use postgres::Postgres;
use rabbitmq::Rabbitmq;
use s3::S3;
use secrets::Secrets;

/// How much the data is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Survives a power cut; [`Stack::stop`] shuts down in order.
    Kept,
    /// For tests: nothing is synced to disk, and stopping means killing.
    Throwaway,
}

/// Three running servers. Where they listen is in the [`Addresses`] it dereferences to.
///
/// Dropping it kills the servers; [`Stack::stop`] ends them in order.
#[derive(Debug)]
pub struct Stack {
    addresses: Addresses,
    durability: Durability,
    postgres: Arc<Mutex<Postgres>>,
    rabbitmq: Arc<Mutex<Rabbitmq>>,
    // Fields drop in this order: the servers are killed before the directory is free.
    _s3: S3,
    _lock: File,
}

impl Stack {
    /// Starts all three below `dir`, which is made if need be, and returns when they answer (about 5 s).
    ///
    /// # Errors
    /// Another process runs in `dir`; a program is not installed (the message has the `apt-get` line); a server does
    /// not come up (the message has the last lines of its log).
    pub async fn start(dir: &Path, durability: Durability) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        keeper::run(async move { Self::assemble(&dir, durability).await }).await
    }

    async fn assemble(dir: &Path, durability: Durability) -> Result<Self> {
        let lock = lock::acquire(dir)?;
        let secrets = Secrets::of(dir)?;
        let (postgres, rabbitmq) = tokio::try_join!(
            Postgres::start(dir, &secrets.database, durability),
            Rabbitmq::start(dir, &secrets.broker),
        )?;
        let s3 = S3::start(dir, &secrets).await?;
        Ok(Self {
            addresses: Addresses::new(&postgres, &rabbitmq, &s3, secrets),
            durability,
            postgres: Arc::new(Mutex::new(postgres)),
            rabbitmq: Arc::new(Mutex::new(rabbitmq)),
            _s3: s3,
            _lock: lock,
        })
    }

    /// Kills the broker as a power cut would: the whole Erlang VM, at once.
    pub async fn kill_broker(&self) -> Result<()> {
        let rabbitmq = self.rabbitmq.clone();
        keeper::run(async move { rabbitmq.lock().await.kill().await }).await
    }

    /// Starts the broker again on the same ports and data.
    pub async fn start_broker(&self) -> Result<()> {
        let rabbitmq = self.rabbitmq.clone();
        keeper::run(async move { rabbitmq.lock().await.launch().await }).await
    }

    /// Kills the database server and all its sessions at once.
    pub async fn kill_database(&self) -> Result<()> {
        let postgres = self.postgres.clone();
        keeper::run(async move { postgres.lock().await.kill().await }).await
    }

    /// Starts the database server again on the same port and data.
    pub async fn start_database(&self) -> Result<()> {
        let postgres = self.postgres.clone();
        keeper::run(async move { postgres.lock().await.launch().await }).await
    }

    /// Starts again, on the same ports and data, whichever server has died by itself; `true` if one had.
    pub async fn revive(&self) -> Result<bool> {
        let (postgres, rabbitmq) = (self.postgres.clone(), self.rabbitmq.clone());
        keeper::run(async move { Ok(postgres.lock().await.revive().await? | rabbitmq.lock().await.revive().await?) })
            .await
    }

    /// Ends the servers in order, each within a bound after which it is killed.
    pub async fn stop(self) -> Result<()> {
        let (postgres, rabbitmq) = (self.postgres.clone(), self.rabbitmq.clone());
        let durability = self.durability;
        keeper::run(async move {
            let (mut postgres, mut rabbitmq) = (postgres.lock().await, rabbitmq.lock().await);
            match durability {
                Durability::Kept => tokio::try_join!(postgres.stop(), rabbitmq.stop()),
                Durability::Throwaway => tokio::try_join!(postgres.kill(), rabbitmq.kill()),
            }
        })
        .await
        .map(|_| ())
    }
}

impl Deref for Stack {
    type Target = Addresses;

    fn deref(&self) -> &Addresses {
        &self.addresses
    }
}
