//! One child process, and what an earlier run may have left of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::identity::Identity;

const POLL: Duration = Duration::from_millis(20);
const LOG_LINES: usize = 15;
/// A killed process is gone as soon as the kernel has taken its memory apart.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// A child whose output goes to `NAME.log` and whose identity is kept in `NAME.pid`.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    identity: Identity,
    log: PathBuf,
}

impl Process {
    pub(crate) fn spawn(name: &'static str, dir: &Path, command: &mut Command) -> Result<Self> {
        let log = dir.join(name).with_extension("log");
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {name} by setpriv"))?;
        let identity = child.id().and_then(Identity::of);
        let identity = identity.with_context(|| format!("{name} ended at once:\n{}", tail(&log)))?;
        std::fs::write(pid_file(name, dir), identity.to_string())?;
        Ok(Self { name, child, identity, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.identity.pid()
    }

    /// Whether it died without being asked to.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Returns when `ready`, given what the process has written, says so. An early exit or too long a wait is an error
    /// with the end of the log.
    pub(crate) async fn until(&mut self, patience: Duration, ready: impl Fn(&Path) -> bool + Send) -> Result<()> {
        let (name, deadline) = (self.name, Instant::now() + patience);
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} ended at its start ({status}):\n{}", tail(&self.log));
            }
            if ready(&self.log) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{name} is not ready after {patience:?}:\n{}", tail(&self.log));
            tokio::time::sleep(POLL).await;
        }
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        tokio::time::timeout(KILLED_WITHIN, self.child.kill())
            .await
            .with_context(|| format!("{} does not die", self.name))?
            .with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks by `signal`; kills when `patience` is over.
    pub(crate) async fn stop(&mut self, signal: Signal, patience: Duration) -> Result<()> {
        self.identity.send(signal)?;
        if let Ok(status) = tokio::time::timeout(patience, self.child.wait()).await {
            status.with_context(|| format!("cannot wait for {}", self.name))?;
            return Ok(());
        }
        tracing::warn!(server = self.name, ?patience, "did not stop in time and is killed");
        self.kill().await
    }
}

fn tail(log: &Path) -> String {
    let log = std::fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// Ends what an earlier run left of `name`. The parent-death signal has normally done it, or is about to.
pub(crate) async fn end_leftover(name: &'static str, dir: &Path, signal: Signal, patience: Duration) -> Result<()> {
    let Some(leftover) = Identity::read(&pid_file(name, dir)).filter(Identity::is_alive) else {
        return Ok(());
    };
    tracing::info!(server = name, pid = leftover.pid(), "ending what an earlier run left");
    leftover.send(signal)?;
    if !leftover.gone_within(patience).await {
        leftover.send(Signal::KILL)?;
        ensure!(leftover.gone_within(KILLED_WITHIN).await, "{name} of an earlier run (pid {}) stays", leftover.pid());
    }
    Ok(())
}

fn pid_file(name: &str, dir: &Path) -> PathBuf {
    dir.join(name).with_extension("pid")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that an earlier run may have left, as far as its pid file in `dir` tells.
    fn sleeper(dir: &Path, describe: impl Fn(Identity) -> Identity) -> std::process::Child {
        let child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep runs");
        let identity = describe(Identity::of(child.id()).expect("it is alive"));
        std::fs::write(pid_file("sleeper", dir), identity.to_string()).expect("a pid file");
        child
    }

    #[tokio::test]
    async fn a_leftover_is_ended_also_if_it_does_not_listen() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = sleeper(dir.path(), |identity| identity);
        end_leftover("sleeper", dir.path(), Signal::WINCH, Duration::ZERO).await.expect("it ends");
        assert!(!child.wait().expect("a child").success());
    }

    #[tokio::test]
    async fn a_process_that_was_given_an_old_pid_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = sleeper(dir.path(), Identity::earlier);
        end_leftover("sleeper", dir.path(), Signal::KILL, Duration::ZERO).await.expect("nothing to do");
        assert_eq!(child.try_wait().expect("a child"), None);
        child.kill().and_then(|()| child.wait()).expect("a child");
    }
}
