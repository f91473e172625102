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
