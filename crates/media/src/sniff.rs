//! What a file is, judged by its top-level boxes (ISO/IEC 14496-12, section 4.2).

use std::{io, time::Duration};

use crate::{Error, InputError, source::SharedSource};

/// Boxes that may come first: `ftyp`, or what `QuickTime` wrote before there was one.
const FIRST_BOXES: [&[u8; 4]; 7] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"];
/// A box starts with its size (32 bits) and its type; size 1 means that 64 bits of size follow.
const BOX_HEADER: usize = 8;
/// More top-level boxes than this are not walked, so that a hostile file costs little.
const MAX_BOXES: usize = 1024;

/// Whether a file that starts with `head` (12 bytes are enough) claims to be an mp4 or a `QuickTime` film.
///
/// A cheap filter against honest mistakes, not a guard: a file can claim anything.
pub fn looks_like_mp4(head: &[u8]) -> bool {
    head.get(4..8).is_some_and(|kind| FIRST_BOXES.iter().any(|first| kind == *first))
}

/// Refuses a source whose first bytes are not an mp4's.
pub(crate) fn require_mp4(source: &SharedSource) -> Result<(), Error> {
    let mut head = [0; BOX_HEADER];
    let complete = read_header(source, 0, &mut head).map_err(Error::Source)?;
    if complete && looks_like_mp4(&head) { Ok(()) } else { Err(InputError::NotMp4.into()) }
}

/// Why the demuxer could not open a file that looks like an mp4.
pub(crate) fn diagnose(source: &SharedSource) -> io::Result<InputError> {
    let (decoded, promised) = (Duration::ZERO, None);
    let boxes = walk(source)?;
    Ok(if boxes.cut_off || (boxes.media && !boxes.index) {
        InputError::Truncated { decoded, promised }
    } else if boxes.index {
        InputError::Corrupt { decoded, promised }
    } else {
        InputError::NotMp4
    })
}

#[derive(Default)]
struct Boxes {
    /// There is a `moov`.
    index: bool,
    /// There is an `mdat`.
    media: bool,
    /// The last box, of a known kind, goes on after the end of the file.
    cut_off: bool,
}

fn walk(source: &SharedSource) -> io::Result<Boxes> {
    let mut boxes = Boxes::default();
    let mut offset = 0;
    for _ in 0..MAX_BOXES {
        let Some((kind, size)) = box_at(source, offset)? else {
            break;
        };
        boxes.index |= &kind == b"moov";
        boxes.media |= &kind == b"mdat";
        let end = offset.saturating_add(size);
        let known = FIRST_BOXES.contains(&&kind) || &kind == b"moof";
        boxes.cut_off = known && end > source.len();
        if size < BOX_HEADER as u64 || end >= source.len() {
            break;
        }
        offset = end;
    }
    Ok(boxes)
}

/// Type and size of the box at `offset`, `None` where no header fits any more.
fn box_at(source: &SharedSource, offset: u64) -> io::Result<Option<([u8; 4], u64)>> {
    let mut header = [0; 16];
    if !read_header(source, offset, &mut header[..BOX_HEADER])? {
        return Ok(None);
    }
    let [a, b, c, d, kind @ ..] = header;
    let kind = [kind[0], kind[1], kind[2], kind[3]];
    let size = match u32::from_be_bytes([a, b, c, d]) {
        0 => source.len() - offset,
        1 if read_header(source, offset + BOX_HEADER as u64, &mut header[BOX_HEADER..])? => {
            u64::from_be_bytes(header[BOX_HEADER..].try_into().expect("8 of 16 bytes"))
        }
        size => size.into(),
    };
    Ok(Some((kind, size)))
}

/// Fills `buf`; false if the source ends before that.
fn read_header(source: &SharedSource, offset: u64, mut buf: &mut [u8]) -> io::Result<bool> {
    let mut offset = offset;
    while !buf.is_empty() {
        match source.read_at(offset, buf) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                offset += count as u64;
                buf = &mut buf[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mp4_and_old_quicktime_are_recognised() {
        assert!(looks_like_mp4(b"\0\0\0\x20ftypisom"));
        assert!(looks_like_mp4(b"\0\0\0\x08wide\0\0\0\0"));
        assert!(looks_like_mp4(b"\0\x0f\x42\x40moov\0\0\0\0"));
    }

    #[test]
    fn playlists_pictures_and_stubs_are_not() {
        assert!(!looks_like_mp4(b"#EXTM3U\n#EXT"));
        assert!(!looks_like_mp4(b"\x89PNG\r\n\x1a\n\0\0\0\r"));
        assert!(!looks_like_mp4(b"\0\0\0"));
        assert!(!looks_like_mp4(b""));
    }
}
