//! The engine's two ends on S3. The engine blocks in a thread of its own; these wait there for the runtime's requests.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use media::{AudioSink, RangeSource};
use objects::{ObjectKey, Objects, Writer};
use tokio::{runtime::Handle, sync::watch};

/// The first request of a run: enough for the boxes in front of the media.
const FIRST: u64 = 64 << 10;
/// The largest request. A run of sequential reads doubles up to it; a jump begins small again.
const LARGEST: u64 = 4 << 20;

/// Runs a request to S3 on the engine's thread, and lets the supervisor tell a store that is slow from an engine that hangs.
#[derive(Clone)]
pub(crate) struct Requests {
    runtime: Handle,
    waiting: Arc<AtomicBool>,
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self { runtime: Handle::current(), waiting: Arc::default() }
    }

    /// Whether the engine waits for S3 right now.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    fn run<T>(&self, request: impl Future<Output = Result<T, objects::Error>>) -> io::Result<T> {
        self.waiting.store(true, Ordering::Relaxed);
        let answer = self.runtime.block_on(request);
        self.waiting.store(false, Ordering::Relaxed);
        answer.map_err(io::Error::other)
    }
}

/// The video by ranges, with one window of read-ahead.
pub(crate) struct S3Source {
    objects: Objects,
    key: ObjectKey,
    requests: Requests,
    len: u64,
    window: Bytes,
    window_at: u64,
    next_size: u64,
}

impl S3Source {
    /// `len` is the size that the row knows.
    pub(crate) fn new(requests: Requests, objects: Objects, key: ObjectKey, len: u64) -> Self {
        Self { objects, key, requests, len, window: Bytes::new(), window_at: 0, next_size: FIRST }
    }

    fn fetch(&mut self, offset: u64) -> io::Result<()> {
        let sequential = offset == self.window_at + self.window.len() as u64;
        self.next_size = if sequential { (self.next_size * 2).min(LARGEST) } else { FIRST };
        let range = offset..(offset + self.next_size).min(self.len);
        let (objects, key) = (&self.objects, self.key);
        self.window = self.requests.run(async { objects.get(key, Some(range)).await?.into_bytes().await })?;
        self.window_at = offset;
        if self.window.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the object store has fewer bytes than were stored",
            ));
        }
        Ok(())
    }
}

impl RangeSource for S3Source {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if offset >= self.len {
            return Ok(0);
        }
        if offset < self.window_at || offset >= self.window_at + self.window.len() as u64 {
            self.fetch(offset)?;
        }
        let from = usize::try_from(offset - self.window_at).map_err(io::Error::other)?;
        let n = buf.len().min(self.window.len() - from);
        buf[..n].copy_from_slice(&self.window[from..from + n]);
        Ok(n)
    }
}

/// The audio, part by part, the first part last.
pub(crate) struct S3Sink {
    writer: Writer,
    requests: Requests,
    open_upload: watch::Sender<Option<String>>,
}

impl S3Sink {
    /// The S3 upload's id is told as soon as there is one, so that whoever comes after a crash can free its parts.
    pub(crate) fn new(requests: Requests, writer: Writer, open_upload: watch::Sender<Option<String>>) -> Self {
        Self { writer, requests, open_upload }
    }

    pub(crate) fn into_writer(self) -> Writer {
        self.writer
    }
}

impl AudioSink for S3Sink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.requests.run(self.writer.write(bytes))?;
        self.open_upload.send_if_modified(|known| {
            let opened = known.is_none() && self.writer.open_upload().is_some();
            if opened {
                *known = self.writer.open_upload().map(str::to_owned);
            }
            opened
        });
        Ok(())
    }

    fn rewrite_head(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.writer.rewrite_head(offset, bytes);
        Ok(())
    }
}
