//! The conversion engine: bytes of a video in, bytes of an mp3 out.
//!
//! [`convert`] reads through a [`RangeSource`] and writes through an [`AudioSink`], so that it works the same on files and
//! on object storage, without temporary files and in constant memory. Files come from strangers: only the `mov` demuxer
//! and a list of audio decoders are ever opened, and nothing that a file points to is read.
//!
//! ```text
//! RangeSource -> demux -> decode -> timeline -> resample -> encode -> AudioSink
//! ```

mod convert;
mod decode;
mod demux;
mod encode;
mod error;
mod mov;
mod pending;
mod resample;
mod sink;
mod sniff;
mod source;
mod timeline;

pub use convert::{Limits, Progress, Report, convert};
pub use error::{Error, InputError};
pub use options::{Bitrate, Options};
pub use sink::{AudioSink, FileSink, HEAD_BYTES};
pub use sniff::looks_like_mp4;
pub use source::{FileSource, RangeSource};
