use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;

use crate::Durability;
use crate::owner::Owner;
use crate::process::{self, Identity, Process};

const PROGRAMS: &str = "/usr/lib/postgresql";
const INSTALL: &str = "PostgreSQL is not installed; run: sudo apt-get install -y --no-install-recommends postgresql";
const USER: &str = "vc";
const DATABASE: &str = "video_converter";
const NAME: &str = "postgres";
const PATIENCE: Duration = Duration::from_mins(1);
const STOPS_WITHIN: Duration = Duration::from_secs(15);

/// A private PostgreSQL server below `DIR/postgres`.
#[derive(Debug)]
pub(crate) struct Postgres {
    dir: PathBuf,
    bin: PathBuf,
    owner: Owner,
    durability: Durability,
    port: u16,
    process: Option<Process>,
}

impl Postgres {
    pub(crate) async fn start(dir: &Path, password: &str, durability: Durability) -> Result<Self> {
        let dir = dir.join(NAME);
        let owner = Owner::new(NAME)?;
        owner.make_dir(&dir)?;
        let bin = programs(Path::new(PROGRAMS), &dir.join("data"))?;
        let mut server = Self { dir, bin, owner, durability, port: crate::ports::free()?, process: None };
        server.end_leftover().await?;
        if !server.data().exists() {
            server.create(password).await.context("cannot make the database")?;
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
        let mut command = self.owner.command(&self.bin.join("postgres"), &self.dir, "QUIT");
        command.arg("-D").arg(self.data()).args(self.settings().iter().flat_map(|setting| ["-c", setting]));
        let mut process = Process::spawn(NAME, &self.dir, &mut command)?;
        let (pid, file) = (process.pid(), self.pid_file());
        process.until(PATIENCE, |_| is_ready(&file, pid)).await?;
        self.process = Some(process);
        Ok(())
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
        process::end_leftover(NAME, &self.dir, Signal::QUIT, STOPS_WITHIN).await?;
        // The last server is gone for sure. If its pid lives, it is somebody else's now, and would keep PostgreSQL
        // from starting; a dead pid it sorts out by itself.
        match recorded_pid(&self.pid_file()).and_then(Identity::of) {
            Some(_) => std::fs::remove_file(self.pid_file()).context("cannot remove a stale postmaster.pid"),
            None => Ok(()),
        }
    }

    /// Makes the cluster next to its place and moves it there when it is complete.
    async fn create(&self, password: &str) -> Result<()> {
        let (draft, pwfile) = (self.dir.join("draft"), self.dir.join("password"));
        if draft.exists() {
            std::fs::remove_dir_all(&draft)?;
        }
        self.owner.write(&pwfile, password)?;
        self.initdb(&draft, &pwfile).await?;
        std::fs::remove_file(&pwfile)?;
        self.single_user(&draft, &format!("CREATE DATABASE {DATABASE}\n")).await?;
        std::fs::rename(&draft, self.data()).context("cannot move the new database to its place")
    }

    async fn initdb(&self, data: &Path, pwfile: &Path) -> Result<()> {
        let mut command = self.owner.command(&self.bin.join("initdb"), &self.dir, "KILL");
        command.arg("-D").arg(data).arg("--pwfile").arg(pwfile);
        command.args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"]);
        if self.durability == Durability::Throwaway {
            command.arg("--no-sync");
        }
        let output = tokio::time::timeout(PATIENCE, command.output()).await.context("initdb takes too long")??;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Runs one statement without a server.
    async fn single_user(&self, data: &Path, statement: &str) -> Result<()> {
        let mut command = self.owner.command(&self.bin.join("postgres"), &self.dir, "KILL");
        command.arg("--single").arg("-D").arg(data).arg("postgres");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("a piped stdin is there")?;
        stdin.write_all(statement.as_bytes()).await?;
        drop(stdin);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.context("it takes too long")??;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && !errors.contains("ERROR"), "{statement}: {errors}");
        Ok(())
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".into(),
            // A socket's path is limited to 107 bytes, which a data directory may exceed.
            "unix_socket_directories=".into(),
            "max_connections=200".into(),
        ];
        if self.durability == Durability::Throwaway {
            // Commits must still be written, though not synced: tests kill the server and count what is left.
            settings.extend(["fsync=off", "full_page_writes=off"].map(String::from));
        }
        settings
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn pid_file(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }
}

/// The programs of the version that made `data`, or of the newest version there is.
fn programs(root: &Path, data: &Path) -> Result<PathBuf> {
    if let Ok(version) = std::fs::read_to_string(data.join("PG_VERSION")) {
        let bin = root.join(version.trim()).join("bin");
        ensure!(
            bin.join(NAME).exists(),
            "{} was made by PostgreSQL {}, which is not installed",
            data.display(),
            version.trim()
        );
        return Ok(bin);
    }
    let versions = std::fs::read_dir(root).context(INSTALL)?.filter_map(|entry| number(&entry.ok()?.file_name()));
    let mut bins: Vec<(u32, PathBuf)> =
        versions.map(|version| (version, root.join(version.to_string()).join("bin"))).collect();
    bins.retain(|(_, bin)| bin.join(NAME).exists() && bin.join("initdb").exists());
    bins.into_iter().max().map(|(_, bin)| bin).context(INSTALL)
}

fn number(name: &OsStr) -> Option<u32> {
    name.to_str()?.parse().ok()
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
