//! What can go wrong, by who can do something about it.

use std::{fmt, io, time::Duration};

use ffmpeg_next as ffmpeg;

/// Why a conversion gave no mp3.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is at fault; trying again gives the same answer.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The bytes of the video could not be read; worth another try.
    #[error("the source could not be read")]
    Source(#[source] io::Error),
    /// The mp3 could not be stored; worth another try.
    #[error("the result could not be stored")]
    Sink(#[source] io::Error),
    /// `FFmpeg` failed for a reason that is not the file's, such as missing memory or a missing encoder.
    #[error("{doing} failed")]
    Engine {
        /// The step that failed, as in "opening the mp3 encoder".
        doing: &'static str,
        /// `FFmpeg`'s own error.
        #[source]
        source: ffmpeg::Error,
    },
    /// The progress callback asked to stop.
    #[error("the conversion was cancelled")]
    Cancelled,
}

impl Error {
    /// For `map_err`: names the step in which `FFmpeg` failed.
    pub(crate) fn engine(doing: &'static str) -> impl FnOnce(ffmpeg::Error) -> Self {
        move |source| Self::Engine { doing, source }
    }
}

/// What is wrong with the file: a stable [`code`](Self::code) for programs, one sentence (`Display`) for its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// Not an mp4, m4v, mov, m4a or 3gp file.
    NotMp4,
    /// A video without sound.
    NoAudio,
    /// The audio is encrypted (Common Encryption or `FairPlay`).
    Encrypted,
    /// The audio is in a format that is not decoded here.
    UnsupportedCodec {
        /// `FFmpeg`'s name of the codec, or the track's four-character code.
        codec: String,
    },
    /// The file ends before its audio does.
    Truncated {
        /// How much audio could be decoded.
        decoded: Duration,
        /// How much the file promises; `None` if even its index is missing.
        promised: Option<Duration>,
    },
    /// Bytes of the audio, or the file's index, make no sense.
    Corrupt {
        /// How much audio could be decoded.
        decoded: Duration,
        /// How much the file promises; `None` if its index is unreadable.
        promised: Option<Duration>,
    },
    /// Longer than [`Limits::max_duration`](crate::Limits::max_duration).
    TooLong {
        /// The file's duration, as far as it is known.
        duration: Duration,
        /// The limit.
        limit: Duration,
    },
    /// The mp3 is larger than [`Limits::max_output_bytes`](crate::Limits::max_output_bytes).
    OutputTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
}

impl InputError {
    /// The stable `snake_case` name, part of the public API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotMp4 => "not_mp4",
            Self::NoAudio => "no_audio",
            Self::Encrypted => "encrypted",
            Self::UnsupportedCodec { .. } => "unsupported_codec",
            Self::Truncated { .. } => "truncated",
            Self::Corrupt { .. } => "corrupt",
            Self::TooLong { .. } => "too_long",
            Self::OutputTooLarge { .. } => "output_too_large",
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMp4 => f.write_str("This is not an mp4 video (mp4, m4v, mov, m4a and 3gp are accepted)."),
            Self::NoAudio => f.write_str("The video has no audio track, so there is nothing to convert."),
            Self::Encrypted => f.write_str("The audio is encrypted (DRM); upload a copy without protection."),
            Self::UnsupportedCodec { codec } => {
                write!(
                    f,
                    "The audio is in the format {codec}, which is not supported; AAC, ALAC, AC-3, MP3, Opus, Vorbis, FLAC and PCM are."
                )
            }
            Self::Truncated { decoded, promised: Some(promised) } => {
                write!(
                    f,
                    "The file is incomplete: {} of {} of audio are there. Upload it again.",
                    Seconds(*decoded),
                    Seconds(*promised)
                )
            }
            Self::Truncated { promised: None, .. } => {
                f.write_str("The file is incomplete: its index (moov) is missing. Upload it again.")
            }
            Self::Corrupt { decoded, promised: Some(promised) } => {
                write!(f, "The audio is damaged: {} of {} could be decoded.", Seconds(*decoded), Seconds(*promised))
            }
            Self::Corrupt { promised: None, .. } => f.write_str("The file is damaged: its audio could not be read."),
            Self::TooLong { duration, limit } => {
                write!(f, "The audio is longer ({}) than the limit of {}.", Seconds(*duration), Seconds(*limit))
            }
            Self::OutputTooLarge { limit } => write!(f, "The mp3 would be larger than the limit of {limit} bytes."),
        }
    }
}

impl std::error::Error for InputError {}

/// A duration as a person reads it: `12.3 s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}
