//! Real signals and real aborts, in a process of its own: this test binary, started again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use service::{Shutdown, crash};

const ROLE: &str = "TEST_ROLE";

/// Not a test: what the started process does.
#[test]
fn role() {
    match std::env::var(ROLE).as_deref() {
        Ok("listen") => listen(),
        Ok("crash") => {
            crash::point("elsewhere");
            println!("before");
            crash::point("here");
            println!("after");
        }
        _ => {}
    }
}

#[tokio::main(flavor = "current_thread")]
async fn listen() {
    let shutdown = Shutdown::listen(Duration::from_hours(1)).unwrap();
    println!("\nlistening");
    shutdown.requested().await;
    println!("soft");
    shutdown.forced().await;
    println!("hard");
}

fn start(role: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role", "--nocapture"])
        .env(ROLE, role)
        .env("CRASH_AT", "here")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

fn wait_for(line: &str, stdout: &mut impl BufRead) {
    let found = stdout.lines().map(Result::unwrap).any(|read| read == line);
    assert!(found, "the process never said {line:?}");
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
}

fn stop_with(first: &str, second: &str) -> ExitStatus {
    let (mut child, mut stdout) = start("listen");
    wait_for("listening", &mut stdout);
    send(first, &child);
    wait_for("soft", &mut stdout);
    send(second, &child);
    wait_for("hard", &mut stdout);
    child.wait().unwrap()
}

#[test]
fn the_first_signal_is_soft_and_the_second_is_hard() {
    assert!(stop_with("-TERM", "-TERM").success());
    assert!(stop_with("-INT", "-TERM").success());
}

#[test]
fn a_crash_point_ends_the_process_exactly_there() {
    let (mut child, mut stdout) = start("crash");
    let mut said = String::new();
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(6), "SIGABRT");
    assert!(said.contains("before") && !said.contains("after"), "{said}");
}
