//! `video-converter run` as a whole: started, killed, started again.

use std::{path::Path, time::Duration};

use reqwest::{
    Client, Response,
    multipart::{Form, Part},
};
use serde_json::Value;
use testkit::{clips, eventually, process::Function, scratch_dir};

const PATIENCE: Duration = Duration::from_mins(2);

async fn start(data: &Path) -> Function {
    launch(data).start().await
}

fn launch(data: &Path) -> testkit::process::Launch {
    Function::launch(env!("CARGO_BIN_EXE_video-converter"))
        .arg("run")
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("DATA_DIR", data.to_string_lossy())
        .env("ADMIN_EMAIL", "me@example.com")
        .env("ADMIN_PASSWORD", "my-own-password")
}

async fn log_in(system: &Function) -> String {
    let login = Client::new().post(format!("{}/login", system.base_url()));
    let answer = login.basic_auth("me@example.com", Some("my-own-password")).send().await.expect("an answer");
    answer.error_for_status().expect("logged in").text().await.expect("a token")
}

async fn upload(system: &Function, token: &str, video: &Path) -> String {
    let part = Part::bytes(std::fs::read(video).expect("a clip")).file_name("video.mp4");
    let request = Client::new().post(format!("{}/upload", system.base_url())).bearer_auth(token);
    let answer: Value =
        request.multipart(Form::new().part("file", part)).send().await.expect("an answer").json().await.expect("JSON");
    answer["fid"].as_str().expect("a fid").to_owned()
}

async fn get(system: &Function, token: &str, path: &str) -> Response {
    Client::new().get(format!("{}{path}", system.base_url())).bearer_auth(token).send().await.expect("an answer")
}

#[tokio::test]
async fn killed_in_the_middle_of_a_conversion_a_new_start_finishes_the_job_once() {
    let data = scratch_dir();
    let mut first = start(data.path()).await;
    let token = log_in(&first).await;
    let fid = upload(&first, &token, &clips::tone(400, 440)).await;
    let path = format!("/jobs/{fid}");
    eventually(PATIENCE, async || {
        let job: Value = get(&first, &token, &path).await.json().await.expect("JSON");
        assert_ne!(job["status"], "done", "the clip is too short for this test");
        job["progress"].as_f64().filter(|progress| *progress > 0.0)
    })
    .await;
    first.kill();

    let mut second = start(data.path()).await;
    let job: Value = eventually(PATIENCE, async || {
        let job: Value = get(&second, &token, &path).await.json().await.expect("JSON");
        (job["status"] == "done").then_some(job)
    })
    .await;
    assert_eq!(job["attempts"], 2);
    let mp3 = get(&second, &token, &format!("/download?fid={fid}")).await.bytes().await.expect("the mp3");
    assert_eq!(clips::decode(&mp3).frames(), 400 * 48_000);

    let mut intruder = launch(data.path()).spawn();
    assert!(!intruder.wait(PATIENCE).await.success());
    assert!(intruder.log().contains("already running"), "{}", intruder.log());

    second.terminate();
    assert!(second.wait(PATIENCE).await.success(), "{}", second.log());
}

#[tokio::test]
async fn a_broker_that_is_killed_during_uploads_costs_no_job_and_comes_back() {
    let data = scratch_dir();
    let system = start(data.path()).await;
    let token = log_in(&system).await;
    let clip = clips::tone(1, 440);
    let mut accepted = Vec::new();
    for n in 0..12 {
        if n == 4 {
            kill_broker(data.path());
        }
        accepted.push(upload(&system, &token, &clip).await);
    }
    eventually(PATIENCE, async || system.log().contains("was started again").then_some(())).await;
    accepted.push(upload(&system, &token, &clip).await);
    for fid in &accepted {
        let done = eventually(PATIENCE, async || {
            let job: Value = get(&system, &token, &format!("/jobs/{fid}")).await.json().await.expect("JSON");
            (job["status"] == "done").then_some(job)
        });
        assert_eq!(done.await["attempts"], 1);
    }
}

/// SIGKILL for the Erlang VM whose home is in this folder.
fn kill_broker(data: &Path) {
    let home = data.join("rabbitmq").display().to_string();
    let is_broker = |pid: &String| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.contains("beam") && command.contains(&home)
    };
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let mut pids = processes.map(|process| process.file_name().to_string_lossy().into_owned());
    let pid = pids.find(is_broker).expect("there is a broker to kill");
    let killed = std::process::Command::new("bash").args(["-c", &format!("kill -KILL {pid}")]).status();
    assert!(killed.expect("bash runs").success());
}
