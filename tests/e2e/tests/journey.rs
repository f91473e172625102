//! What a user does, from the outside.

use std::{path::Path, process::Output};

use e2e::{System, system};
use serde_json::Value;
use testkit::{clips, scratch_dir};
use tokio::process::Command;

async fn curl(arguments: &[&str]) -> Output {
    let output = Command::new("curl").arg("-sS").args(arguments).output().await.expect("curl runs");
    assert!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

async fn text(arguments: &[&str]) -> String {
    String::from_utf8(curl(arguments).await.stdout).expect("text")
}

async fn log_in(system: &System) -> String {
    let account = format!("{}:{}", system.email, system.password);
    let token = text(&["-f", "-X", "POST", &format!("{}/login", system.base_url), "-u", &account]).await;
    format!("Authorization: Bearer {token}")
}

async fn upload(system: &System, token: &str, video: &Path) -> Value {
    let file = format!("file=@{}", video.display());
    let url = format!("{}/upload", system.base_url);
    serde_json::from_str(&text(&["-X", "POST", "-F", &file, "-H", token, &url]).await).expect("JSON")
}

async fn job(system: &System, token: &str, fid: &str, wait: u8) -> Value {
    let url = format!("{}/jobs/{fid}", system.base_url);
    serde_json::from_str(&text(&["-H", token, "-H", &format!("Prefer: wait={wait}"), &url]).await).expect("JSON")
}

#[tokio::test]
async fn three_curls_turn_a_video_into_its_audio() {
    let system = system().await;
    let token = log_in(system).await;
    let answer = upload(system, &token, &clips::tone(5, 440)).await;
    assert_eq!(answer["message"], "success!");
    let dir = scratch_dir();
    let mp3 = dir.path().join("video.mp3");
    let url = format!("{}/download?fid={}", system.base_url, answer["fid"].as_str().expect("a fid"));
    curl(&["-f", "--output", &mp3.to_string_lossy(), "-H", &token, &url]).await;
    let pcm = clips::decode(&std::fs::read(mp3).expect("the mp3"));
    assert_eq!((pcm.frames(), pcm.rate), (5 * 48_000, 48_000));
    assert!((pcm.tone_hz().expect("a tone") - 440.0).abs() < 2.0);
}

#[tokio::test]
async fn a_video_without_sound_fails_with_a_reason_and_can_be_deleted() {
    let system = system().await;
    let token = log_in(system).await;
    let answer = upload(system, &token, &clips::silent_video(1)).await;
    let fid = answer["fid"].as_str().expect("a fid");
    let failed = job(system, &token, fid, 30).await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&"failed".into(), &"no_audio".into()));
    let url = format!("{}/jobs/{fid}", system.base_url);
    assert_eq!(text(&["-X", "DELETE", "-w", "%{http_code}", "-H", &token, &url]).await, "204");
    assert_eq!(job(system, &token, fid, 0).await["code"], "job_not_found");
}

#[tokio::test]
async fn what_is_no_video_is_refused_at_the_door() {
    let system = system().await;
    let token = log_in(system).await;
    let dir = scratch_dir();
    let script = dir.path().join("script.mp4");
    std::fs::write(&script, "#!/bin/sh\necho not a video\n").expect("written");
    assert_eq!(upload(system, &token, &script).await["code"], "not_mp4");
    assert_eq!(upload(system, "Authorization: Bearer nonsense", &script).await["code"], "invalid_token");
}

#[tokio::test]
async fn a_long_job_is_watched_and_cancelled() {
    let system = system().await;
    let token = log_in(system).await;
    let answer = upload(system, &token, &clips::tone(900, 440)).await;
    let fid = answer["fid"].as_str().expect("a fid");
    let url = format!("{}/jobs/{fid}/cancel", system.base_url);
    let cancelled: Value = serde_json::from_str(&text(&["-X", "POST", "-H", &token, &url]).await).expect("JSON");
    assert_eq!(cancelled["status"], "cancelled");
    let url = format!("{}/download?fid={fid}", system.base_url);
    assert_eq!(serde_json::from_str::<Value>(&text(&["-H", &token, &url]).await).expect("JSON")["code"], "cancelled");
}
