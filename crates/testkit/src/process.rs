//! Our own programs as child processes.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

const READY_WITHIN: Duration = Duration::from_secs(30);
const PROBE_WITHIN: Duration = Duration::from_secs(1);
const LOG_LINES: usize = 500;

/// A running program of ours; it is killed when the value is dropped, and what it wrote to stderr is shown if the test
/// fails.
#[derive(Debug)]
pub struct Function {
    child: Child,
    port: u16,
    log: Log,
}

/// How a [`Function`] is to be started.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    port: u16,
}

/// The last lines of stderr.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Launch {
    /// Sets an environment variable; those given here and `PORT` are all that the program sees.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.command.env(name, value.as_ref());
        self
    }

    /// Adds a command-line argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<str>) -> Self {
        self.command.arg(argument.as_ref());
        self
    }

    /// Starts the program without waiting for anything.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn spawn(mut self) -> Function {
        let mut child = self.command.spawn().expect("the program can be started");
        let log = Log::default();
        log.follow(child.stderr.take().expect("stderr is piped"));
        Function { child, port: self.port, log }
    }

    /// Starts the program and returns when `/readyz` answers 200.
    ///
    /// # Panics
    /// It ends, or is not ready after 30 s.
    pub async fn start(self) -> Function {
        let mut function = self.spawn();
        let url = format!("{}/readyz", function.base_url());
        let client = reqwest::Client::builder().timeout(PROBE_WITHIN).build().expect("a plain client");
        eventually(READY_WITHIN, async || {
            assert_eq!(function.ended(), None, "the program ended before it was ready");
            client.get(&url).send().await.ok()?.error_for_status().ok()
        })
        .await;
        function
    }
}

impl Function {
    /// `program` is `env!("CARGO_BIN_EXE_name")`. It gets a free `PORT` of 127.0.0.1.
    ///
    /// # Panics
    /// There is no free port.
    pub fn launch(program: &str) -> Launch {
        let port = stack::free_port().expect("a port is free");
        let mut command = Command::new(program);
        command.env_clear().env("PORT", port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Launch { command, port }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stderr, at most the last 500 lines.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// SIGKILL; returns when it is dead.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn kill(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("a child can be killed");
    }

    /// SIGTERM, and no waiting.
    ///
    /// # Panics
    /// The process has ended already.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: as a machine that hangs.
    ///
    /// # Panics
    /// The process has ended already.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: goes on after [`Function::freeze`].
    ///
    /// # Panics
    /// The process has ended already.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the process is still there");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It has not ended `within` that time.
    pub async fn wait(&mut self, within: Duration) -> ExitStatus {
        eventually(within, async || self.ended()).await
    }

    /// The most memory it has had at once: `VmHWM` of proc(5).
    ///
    /// # Panics
    /// The process has ended.
    pub fn peak_rss_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a live process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a live process has memory");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kibibytes * 1024
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- stderr of the program ---\n{}", self.log());
        }
    }
}

impl Log {
    /// On a thread: a test that blocks its runtime must not block the program on a full pipe.
    fn follow(&self, stderr: ChildStderr) {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                log.push(String::from_utf8_lossy(&line).into_owned());
            }
        });
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}
