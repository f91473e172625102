//! Where the video's bytes come from, and the view of them that `FFmpeg` reads through.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes of the video by position: a file, an S3 object, an HTTP server.
///
/// Calls block, mostly ask for 32 KiB, and mostly go forward. A source to which each call costs a round trip should read
/// ahead; one that can hang must time out itself, because a conversion is only cancelled between two reads.
pub trait RangeSource: Send {
    /// The size in bytes; it does not change.
    fn len(&self) -> u64;

    /// True if there is not a single byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills the front of `buf` with the bytes at `offset` and says how many; fewer than asked for is fine, 0 only at or
    /// after [`len`](Self::len).
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// A video in a local file.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    len: u64,
}

impl FileSource {
    /// Opens the file for reading.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

impl RangeSource for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
}

/// A source that `FFmpeg`'s callbacks and we ourselves can both reach, and that remembers why it failed: `FFmpeg` reports
/// a failed read as an error number at best and as the end of the file at worst.
#[derive(Clone)]
pub(crate) struct SharedSource(Arc<Mutex<State>>);

struct State {
    source: Box<dyn RangeSource>,
    bytes_read: u64,
    failure: Option<io::Error>,
}

impl SharedSource {
    pub(crate) fn new(source: Box<dyn RangeSource>) -> Self {
        Self(Arc::new(Mutex::new(State { source, bytes_read: 0, failure: None })))
    }

    /// A cursor for `FFmpeg`, at the start.
    pub(crate) fn reader(&self) -> SourceReader {
        SourceReader { source: self.clone(), position: 0 }
    }

    pub(crate) fn len(&self) -> u64 {
        self.lock().source.len()
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.lock().bytes_read
    }

    /// The first failed read since the last call, if there was one.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        self.lock().failure.take()
    }

    /// Like [`RangeSource::read_at`], but an early end is an error.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.lock();
        let count = match state.source.read_at(offset, buf)? {
            0 if offset < state.source.len() => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => count,
        };
        state.bytes_read += count as u64;
        Ok(count)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cursor over a [`SharedSource`].
pub(crate) struct SourceReader {
    source: SharedSource,
    position: u64,
}

impl Read for SourceReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.source.read_at(self.position, buf) {
            Ok(count) => {
                self.position += count as u64;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.source.lock().failure.get_or_insert(error);
                Err(io::Error::other("the source failed"))
            }
        }
    }
}

impl Seek for SourceReader {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let position = match target {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.source.len().checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
