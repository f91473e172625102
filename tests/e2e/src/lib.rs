//! Black-box tests of a running system, wherever it runs.
//!
//! `BASE_URL`, `E2E_EMAIL` and `E2E_PASSWORD` name it. Without `BASE_URL` the suite starts `video-converter run` itself, on data of its
//! own, and ends it with the test process.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc::{SyncSender, sync_channel},
    time::Duration,
};

use reqwest::Client;
use tokio::sync::OnceCell;

const READY_WITHIN: Duration = Duration::from_mins(2);

/// The system under test.
#[derive(Clone, Debug)]
pub struct System {
    /// Without a slash at the end.
    pub base_url: String,
    /// The account to use.
    pub email: String,
    /// Its password.
    pub password: String,
}

/// The system that all tests of this process use.
///
/// # Panics
/// It is not ready in time.
pub async fn system() -> &'static System {
    static SYSTEM: OnceCell<System> = OnceCell::const_new();
    SYSTEM
        .get_or_init(|| async {
            let system = given().unwrap_or_else(start);
            testkit::eventually(READY_WITHIN, async || {
                Client::new().get(format!("{}/readyz", system.base_url)).send().await.ok()?.error_for_status().ok()
            })
            .await;
            system
        })
        .await
}

fn given() -> Option<System> {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("BASE_URL is set, so {name} must be too"));
    let base_url = std::env::var("BASE_URL").ok()?.trim_end_matches('/').to_owned();
    Some(System { base_url, email: variable("E2E_EMAIL"), password: variable("E2E_PASSWORD") })
}

/// Starts the all-in-one program that `cargo build` made beside this test.
fn start() -> System {
    let port = testkit::free_port();
    let (tell, told) = sync_channel(1);
    // The signal comes when the thread that forked is gone, so that thread lives as long as the process.
    std::thread::spawn(move || run(port, &tell));
    told.recv().expect("the program was started");
    System {
        base_url: format!("http://127.0.0.1:{port}"),
        email: "e2e@example.com".into(),
        password: "e2e-password".into(),
    }
}

fn run(port: u16, tell: &SyncSender<()>) {
    let data = testkit::scratch_dir();
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "INT"])
        .arg(program())
        .arg("run")
        .env("PORT", port.to_string())
        .env("DATA_DIR", data.path())
        .env("ADMIN_EMAIL", "e2e@example.com")
        .env("ADMIN_PASSWORD", "e2e-password")
        .env("LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("video-converter can be started");
    tell.send(()).expect("the test waits for this");
    let ended = child.wait().expect("a child can be waited for");
    panic!("video-converter ended: {ended}");
}

fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let program = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").join("video-converter");
    assert!(program.exists(), "{} is missing: run `cargo build -p video-converter` first", program.display());
    program
}
