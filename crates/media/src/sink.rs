//! Where the mp3 goes.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// How much of the mp3's start can still change until the conversion ends. A streaming store holds back at least this
/// much, for example as the first part of a multipart upload.
pub const HEAD_BYTES: u64 = 64 * 1024;

/// Takes the mp3's bytes.
pub trait AudioSink: Send {
    /// The next bytes, in order.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Replaces bytes that were appended before, all of them within the first [`HEAD_BYTES`]: at the end of a conversion
    /// the Info frame learns the number of frames and of samples to skip.
    fn rewrite_head(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// An mp3 in a local file.
#[derive(Debug)]
pub struct FileSink {
    file: File,
    len: u64,
}

impl FileSink {
    /// Creates the file, or empties it.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, len: 0 })
    }
}

impl AudioSink for FileSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn rewrite_head(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
}
