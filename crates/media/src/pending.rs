//! What the muxer has written and the sink has not yet taken.
//!
//! The muxer writes and seeks inside an `FFmpeg` callback, where an error would lose its cause; so it writes here, and the
//! pipeline hands the bytes on between two packets. It holds at most one muxer buffer.

use std::{
    io::{self, Seek, SeekFrom, Write},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{AudioSink, HEAD_BYTES};

#[derive(Default)]
struct State {
    position: u64,
    end: u64,
    appended: Vec<u8>,
    rewritten: Vec<(u64, Vec<u8>)>,
}

/// A seekable writer for the muxer; clones share their content.
#[derive(Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<State>>);

impl Pending {
    /// The size of the mp3 so far.
    pub(crate) fn end(&self) -> u64 {
        self.lock().end
    }

    /// Hands everything on, the appended bytes first so that what is rewritten exists.
    pub(crate) fn drain(&self, sink: &mut dyn AudioSink) -> io::Result<()> {
        let mut state = self.lock();
        if !state.appended.is_empty() {
            sink.append(&state.appended)?;
            state.appended.clear();
        }
        mem::take(&mut state.rewritten).into_iter().try_for_each(|(offset, bytes)| sink.rewrite_head(offset, &bytes))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Pending {
    /// A write that starts inside the existing bytes stops at their end; the caller comes again with the rest.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let state = &mut *self.lock();
        let inside = state.end.saturating_sub(state.position);
        let bytes = match usize::try_from(inside) {
            Ok(inside) if inside > 0 => &bytes[..inside.min(bytes.len())],
            _ => bytes,
        };
        let next = state.position + bytes.len() as u64;
        if inside == 0 {
            state.appended.extend_from_slice(bytes);
        } else if next <= HEAD_BYTES {
            state.rewritten.push((state.position, bytes.to_vec()));
        } else {
            return Err(io::Error::other("the muxer rewrote bytes outside the head"));
        }
        state.position = next;
        state.end = state.end.max(next);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Pending {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let mut state = self.lock();
        let position = match target {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => state.position.checked_add_signed(offset),
            SeekFrom::End(offset) => state.end.checked_add_signed(offset),
        };
        // A hole could not be streamed, so there is none.
        state.position = position.filter(|position| *position <= state.end).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(state.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Calls(Vec<(u64, Vec<u8>)>);

    impl AudioSink for Calls {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.push((u64::MAX, bytes.to_vec()));
            Ok(())
        }

        fn rewrite_head(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.0.push((offset, bytes.to_vec()));
            Ok(())
        }
    }

    #[test]
    fn a_write_across_the_end_is_a_rewrite_and_an_append() {
        let mut pending = Pending::default();
        pending.write_all(b"abcdef").expect("within the rules");
        pending.seek(SeekFrom::Start(4)).expect("within the rules");
        pending.write_all(b"EFGH").expect("within the rules");

        let mut sink = Calls::default();
        pending.drain(&mut sink).expect("within the rules");
        assert_eq!(sink.0, [(u64::MAX, b"abcdefGH".to_vec()), (4, b"EF".to_vec())]);
    }

    #[test]
    fn bytes_after_the_head_cannot_be_rewritten() {
        let mut pending = Pending::default();
        pending.write_all(&vec![0; 70_000]).expect("within the rules");
        pending.seek(SeekFrom::Start(HEAD_BYTES - 1)).expect("within the rules");
        assert!(pending.write_all(b"ab").is_err());
    }
}
