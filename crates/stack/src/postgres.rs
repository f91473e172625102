use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::Durability;
use crate::cluster::{Cluster, DATABASE, NAME, USER};
use crate::identity::Identity;
use crate::process::{self, Process};

const PATIENCE: Duration = Duration::from_mins(1);
const STOPS_WITHIN: Duration = Duration::from_secs(15);

/// A private PostgreSQL server below `DIR/postgres`.
#[derive(Debug)]
pub(crate) struct Postgres {
    cluster: Cluster,
    port: u16,
    process: Option<Process>,
}

impl Postgres {
    pub(crate) async fn start(dir: &Path, password: &str, durability: Durability) -> Result<Self> {
        let cluster = Cluster::new(dir, durability)?;
        let mut server = Self { cluster, port: crate::ports::free()?, process: None };
        server.end_leftover().await?;
        if !server.cluster.data().exists() {
            server.cluster.create(password).await.context("cannot make the database")?;
        }
        if let Err(error) = server.launch().await {
            ensure!(crate::ports::was_taken(&error), error);
            server.port = crate::ports::free()?;
            server.launch().await?;
        }
        Ok(server)
    }

    pub(crate) fn url(&self, password: &str) -> String {
        format!("postgres://{USER}:{password}@127.0.0.1:{}/{DATABASE}", self.port)
    }

    /// Starts the server on the data that is there, and returns when it takes connections.
    pub(crate) async fn launch(&mut self) -> Result<()> {
        let mut command = self.cluster.command("postgres", "QUIT");
        command.arg("-D").arg(self.cluster.data()).args(self.settings().iter().flat_map(|setting| ["-c", setting]));
        let mut process = Process::spawn(NAME, self.cluster.dir(), &mut command)?;
        let (pid, file) = (process.pid(), self.pid_file());
        process.until(PATIENCE, |_| is_ready(&file, pid)).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts the server again if it died; one that was killed on purpose stays dead.
    pub(crate) async fn revive(&mut self) -> Result<bool> {
        let ended = match &mut self.process {
            Some(process) => process.has_ended()?,
            None => false,
        };
        if ended {
            self.launch().await?;
        }
        Ok(ended)
    }

    /// SIGKILL for the server and for each of its sessions, as the kernel's out-of-memory killer would.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        let sessions = children(process.pid());
        process.kill().await?;
        for session in &sessions {
            session.send(Signal::KILL)?;
        }
        // They share memory with the server, which cannot start again before they are gone.
        for session in &sessions {
            ensure!(session.gone_within(STOPS_WITHIN).await, "a database session does not die");
        }
        Ok(())
    }

    /// SIGINT is PostgreSQL's "fast" shutdown: sessions are ended, everything is written.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop(Signal::INT, STOPS_WITHIN).await,
            None => Ok(()),
        }
    }

    async fn end_leftover(&self) -> Result<()> {
        process::end_leftover(NAME, self.cluster.dir(), Signal::QUIT, STOPS_WITHIN).await?;
        // The last server is gone for sure. If its pid lives, it is somebody else's now, and would keep PostgreSQL
        // from starting; a dead pid it sorts out by itself.
        match recorded_pid(&self.pid_file()).and_then(Identity::of) {
            Some(_) => std::fs::remove_file(self.pid_file()).context("cannot remove a stale postmaster.pid"),
            None => Ok(()),
        }
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".into(),
            // A socket's path is limited to 107 bytes, which a data directory may exceed.
            "unix_socket_directories=".into(),
            "max_connections=200".into(),
        ];
        if self.cluster.durability() == Durability::Throwaway {
            // Commits must still be written, though not synced: tests kill the server and count what is left.
            settings.extend(["fsync=off", "full_page_writes=off"].map(String::from));
        }
        settings
    }

    fn pid_file(&self) -> PathBuf {
        self.cluster.data().join("postmaster.pid")
    }
}

/// `pg_ctl` waits in the same way: line 1 of the file is the server's pid, line 8 its state.
fn is_ready(pid_file: &Path, pid: u32) -> bool {
    let text = std::fs::read_to_string(pid_file).unwrap_or_default();
    let line = |n| text.lines().nth(n).map(str::trim);
    line(0) == Some(&pid.to_string()) && line(7) == Some("ready")
}

fn recorded_pid(pid_file: &Path) -> Option<u32> {
    std::fs::read_to_string(pid_file).ok()?.lines().next()?.trim().parse().ok()
}

fn children(pid: u32) -> Vec<Identity> {
    let pids = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    pids.split_whitespace().filter_map(|pid| Identity::of(pid.parse().ok()?)).collect()
}
