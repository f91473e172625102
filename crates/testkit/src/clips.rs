//! Videos made by the `ffmpeg` program, kept below `target/` for the next run.

use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Pcm;

const SAMPLE_RATE: u32 = 48_000;

/// An mp4 of `seconds` with a small H.264 picture and a sine of `hz`: AAC, 48 kHz, stereo.
///
/// # Panics
/// `ffmpeg` is not there or fails.
pub fn tone(seconds: u32, hz: u32) -> PathBuf {
    let sine = format!("sine=frequency={hz}:sample_rate={SAMPLE_RATE}");
    let audio = ["-f", "lavfi", "-i", &sine, "-ac", "2", "-c:a", "aac", "-b:a", "128k"];
    make(&format!("tone-{seconds}s-{hz}hz.mp4"), seconds, &audio)
}

/// An mp4 of `seconds` without an audio track.
///
/// # Panics
/// `ffmpeg` is not there or fails.
pub fn silent_video(seconds: u32) -> PathBuf {
    make(&format!("silent-{seconds}s.mp4"), seconds, &[])
}

/// Writes a playable mp4 of exactly `bytes` to `path`: a 2 s tone and a `free` box (ISO/IEC 14496-12, 8.1.2), which
/// players skip. The padding takes no room on the disk.
///
/// # Panics
/// `path` cannot be written, or `bytes` is less than the tone takes.
pub fn big(path: &Path, bytes: u64) {
    std::fs::copy(tone(2, 440), path).expect("the clip can be copied");
    let mut file = OpenOptions::new().write(true).open(path).expect("the copy can be opened");
    let end = file.seek(SeekFrom::End(0)).expect("a file has an end");
    let padding = bytes.checked_sub(end).filter(|padding| *padding >= 16).expect("room for a box");
    // Size 1 means: the real size follows the type, in 64 bits.
    let header = [&1u32.to_be_bytes()[..], b"free", &padding.to_be_bytes()].concat();
    file.write_all(&header).and_then(|()| file.set_len(bytes)).expect("the copy can be written");
}

/// Decodes an mp3 (or anything else that `ffmpeg` knows).
///
/// # Panics
/// `ffmpeg` cannot decode it.
pub fn decode(mp3: &[u8]) -> Pcm {
    // Not a pipe: an mp4 may need seeking.
    let mut input = tempfile::NamedTempFile::new().expect("a temporary file");
    input.write_all(mp3).expect("it can be written");
    let mut command = ffmpeg();
    command.arg("-i").arg(input.path());
    command.args(["-map", "0:a:0", "-c:a", "pcm_s16le", "-bitexact", "-f", "wav", "pipe:1"]);
    let output = command.output().expect("ffmpeg runs");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    Pcm::from_wav(&output.stdout)
}

/// Test programs run side by side, so a clip appears under its name only when it is complete.
fn make(name: &str, seconds: u32, audio: &[&str]) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/clips");
    let path = dir.join(name);
    if !path.exists() {
        std::fs::create_dir_all(&dir).expect("target/ can be written");
        let draft = tempfile::Builder::new().suffix(".mp4").tempfile_in(&dir).expect("a temporary file");
        encode(draft.path(), seconds, audio);
        draft.persist(&path).expect("a file can be renamed");
    }
    path
}

fn encode(path: &Path, seconds: u32, audio: &[&str]) {
    let mut command = ffmpeg();
    command.args(["-y", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10"]).args(audio);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]);
    command.args(["-t", &seconds.to_string()]).arg(path);
    let output = command.output().expect("ffmpeg runs");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error"]).stdin(Stdio::null());
    command
}
