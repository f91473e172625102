//! Clips made by the ffmpeg program, and sources and sinks that misbehave on request.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use media::{AudioSink, Error, FileSource, HEAD_BYTES, Limits, Options, RangeSource, Report};
use tempfile::TempDir;

/// A folder of clips that disappears with the test.
pub(crate) struct Clips(TempDir);

impl Clips {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs ffmpeg with blank-separated `arguments`, in the folder, to make the file `name`.
    pub(crate) fn make(&self, name: &str, arguments: &str) -> PathBuf {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin", "-y"]).args(arguments.split_whitespace()).arg(name);
        let output = ffmpeg.current_dir(&self.0).output().expect("the ffmpeg program");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        self.path(name)
    }

    /// A sine of 440 Hz as 16-bit samples.
    pub(crate) fn sine(&self, rate: u32, seconds: f64) -> PathBuf {
        self.make(
            &format!("sine{rate}.wav"),
            &format!("-f lavfi -i sine=frequency=440:sample_rate={rate}:duration={seconds}"),
        )
    }

    /// A video with that sine as AAC; `audio` are more encoder and muxer options.
    pub(crate) fn video(&self, name: &str, rate: u32, seconds: f64, audio: &str) -> PathBuf {
        let sine = self.sine(rate, seconds);
        let picture = format!("-f lavfi -i testsrc2=size=160x120:rate=25:duration={seconds} -c:v mpeg4");
        self.make(name, &format!("-i {} {picture} -c:a aac -b:a 128k {audio}", sine.display()))
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a writable folder");
        path
    }

    /// The samples of the first channel.
    pub(crate) fn decode(&self, file: &Path) -> Vec<i16> {
        let raw = self.make("decoded.s16", &format!("-i {} -map 0:a:0 -af pan=mono|c0=c0 -f s16le", file.display()));
        let bytes = std::fs::read(raw).expect("decoded samples");
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }
}

/// An mp3 in memory that checks the contract.
#[derive(Default)]
pub(crate) struct MemorySink {
    pub(crate) bytes: Vec<u8>,
    pub(crate) rewrites: usize,
    /// Fails once this many bytes were taken.
    pub(crate) fail_after: Option<usize>,
}

impl AudioSink for MemorySink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.fail_after.is_some_and(|limit| self.bytes.len() + bytes.len() > limit) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn rewrite_head(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).expect("a small offset");
        let end = start + bytes.len();
        assert!(end as u64 <= HEAD_BYTES && end <= self.bytes.len());
        self.bytes[start..end].copy_from_slice(bytes);
        self.rewrites += 1;
        Ok(())
    }
}

/// A file whose reads are counted, cut short, and fail at the first byte at or after `fail_at`.
pub(crate) struct TestSource {
    file: FileSource,
    fail_at: u64,
    pub(crate) largest_read: Arc<AtomicU64>,
}

impl TestSource {
    pub(crate) fn open(path: &Path, fail_at: u64) -> Self {
        Self { file: FileSource::open(path).expect("a clip"), fail_at, largest_read: Arc::default() }
    }
}

impl RangeSource for TestSource {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.largest_read.fetch_max(buf.len() as u64, Ordering::Relaxed);
        if offset >= self.fail_at {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let short = buf.len().min(1000);
        self.file.read_at(offset, &mut buf[..short])
    }
}

/// Converts with defaults.
pub(crate) fn convert(path: &Path) -> Result<(Report, MemorySink), Error> {
    convert_with(path, &Options::default(), &Limits::default())
}

pub(crate) fn convert_with(path: &Path, options: &Options, limits: &Limits) -> Result<(Report, MemorySink), Error> {
    let mut sink = MemorySink::default();
    let source = FileSource::open(path).expect("a clip");
    let report = media::convert(Box::new(source), &mut sink, options, limits, &mut |_| ControlFlow::Continue(()))?;
    Ok((report, sink))
}

/// The input error's code; anything else is a failed test.
pub(crate) fn code(result: Result<(Report, MemorySink), Error>) -> &'static str {
    match result {
        Err(Error::Input(error)) => error.code(),
        Err(error) => panic!("not an input error: {error:?}"),
        Ok((report, _)) => panic!("converted: {report:?}"),
    }
}
