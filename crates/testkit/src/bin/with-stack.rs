//! `with-stack COMMAND...` runs a command with one stack of throw-away servers, which all test programs that the
//! command starts share, and exits with the command's code.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use stack::{Durability, Stack};
use testkit::{SHARED, scratch_dir};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().context("usage: with-stack COMMAND [ARGUMENT...]")?;
    let dir = scratch_dir();
    let stack = Stack::start(dir.path(), Durability::Throwaway).await?;
    let addresses = dir.path().join("addresses.json");
    std::fs::write(&addresses, serde_json::to_vec(&*stack)?)?;

    let mut command = Command::new(&program);
    command.args(arguments).env(SHARED, &addresses);
    let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    let status = wait(child).await;

    stack.stop().await?;
    dir.close().context("cannot remove the test data")?;
    Ok(code(status?))
}

/// A Ctrl-C in the terminal reaches the command by itself; we only must not die of it before the servers are gone.
async fn wait(mut child: Child) -> Result<ExitStatus> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            _ = interrupted.recv() => {}
            _ = terminated.recv() => terminate(&child)?,
        }
    }
}

fn terminate(child: &Child) -> Result<()> {
    let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).context("the command has ended")?;
    kill_process(pid, Signal::TERM).context("cannot end the command")
}

/// As a shell reports it: 128 and the signal's number for a command that was killed.
fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
