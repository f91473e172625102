//! The second stage: from packets to frames of samples.

use std::time::Duration;

use ffmpeg::{Packet, codec, decoder, frame};
use ffmpeg_next as ffmpeg;

use crate::{
    Error, InputError,
    demux::{Demuxer, Span},
};

/// The decoders that a stranger's file may reach, besides `pcm_*`; `FFmpeg`'s names.
const DECODERS: [&str; 9] = ["aac", "ac3", "alac", "eac3", "flac", "mp3", "mp3float", "opus", "vorbis"];

/// Decodes one track. What cannot be decoded is counted and passed over, as players do.
pub(crate) struct Decoder {
    inner: decoder::Audio,
    damaged: u32,
}

impl Decoder {
    /// Opens the track's decoder if it is on the list.
    pub(crate) fn open(demuxer: &Demuxer) -> Result<Self, Error> {
        let (parameters, time_base) = demuxer.codec();
        let codec = find(&parameters, demuxer)?;
        let context = codec::Context::from_parameters(parameters);
        let mut context = context.map_err(Error::engine("preparing the decoder"))?.decoder();
        context.set_packet_time_base(time_base);
        let opened = context.open_as(codec).and_then(decoder::Opened::audio);
        let inner = opened.map_err(|_| InputError::Corrupt {
            decoded: Duration::ZERO,
            promised: demuxer.total().map(Span::duration),
        })?;
        Ok(Self { inner, damaged: 0 })
    }

    /// Feeds a packet.
    pub(crate) fn send(&mut self, packet: &Packet) {
        if self.inner.send_packet(packet).is_err() {
            self.note_damage();
        }
    }

    /// Tells the decoder that no packet follows; [`receive`](Self::receive) then gives what it still has.
    pub(crate) fn send_eof(&mut self) {
        // The one possible error is that it was told before.
        self.inner.send_eof().ok();
    }

    /// The next frame, `None` if that takes another packet.
    pub(crate) fn receive(&mut self) -> Option<frame::Audio> {
        let mut frame = frame::Audio::empty();
        match self.inner.receive_frame(&mut frame) {
            Ok(()) => return Some(frame),
            Err(error) if is_dry(error) => {}
            Err(_) => self.note_damage(),
        }
        None
    }

    /// Counts audio that is lost.
    pub(crate) fn note_damage(&mut self) {
        self.damaged = self.damaged.saturating_add(1);
    }

    /// Damaged packets so far.
    pub(crate) fn damaged(&self) -> u32 {
        self.damaged
    }
}

/// Whether a codec only says that it has nothing more to give for now, or for ever.
pub(crate) fn is_dry(error: ffmpeg::Error) -> bool {
    let again = ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN };
    error == ffmpeg::Error::Eof || error == again
}

fn find(parameters: &codec::Parameters, demuxer: &Demuxer) -> Result<ffmpeg::Codec, InputError> {
    let id = parameters.id();
    let allowed = |name: &str| DECODERS.contains(&name) || name.starts_with("pcm_");
    let found = decoder::find(id).filter(|codec| allowed(codec.name()));
    found.ok_or_else(|| InputError::UnsupportedCodec {
        codec: match id {
            codec::Id::None => demuxer.codec_tag(),
            id => id.name().to_owned(),
        },
    })
}
