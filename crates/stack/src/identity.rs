//! Processes by their true name.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

const POLL: Duration = Duration::from_millis(20);

/// Names one process: a pid alone may have been given to another one since.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Identity {
    pid: u32,
    /// In clock ticks since boot: field 22 of proc(5) `stat`.
    started: u64,
}

impl Identity {
    pub(crate) fn pid(self) -> u32 {
        self.pid
    }

    /// `None` if there is no such process, or only its zombie.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, field 2, is in brackets and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let state = *fields.first()?;
        let started = fields.get(19)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Self { pid, started })
    }

    pub(crate) fn read(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// A process that is gone already has nothing to be told.
    pub(crate) fn send(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("not a process id")?;
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error).context("cannot open a process"),
        };
        // Checked after the handle is open: from here on the pid cannot be reused under our hands.
        if self.is_alive() {
            pidfd_send_signal(&handle, signal).context("cannot signal a process")?;
        }
        Ok(())
    }

    pub(crate) async fn gone_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.pid, self.started)
    }
}

#[cfg(test)]
impl Identity {
    /// Another process that had the same pid before.
    pub(crate) fn earlier(self) -> Self {
        Self { started: self.started - 1, ..self }
    }
}
