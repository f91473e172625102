//! The last stage: from samples to an mp3, with LAME's defaults as `ffmpeg -c:a libmp3lame -b:a N` has them.

use ffmpeg::{
    Dictionary, Packet, Rational, codec, encoder,
    format::{self, context::StreamIo},
    frame,
    software::resampling::context::Definition,
};
use ffmpeg_next as ffmpeg;

use crate::{Bitrate, Error, decode::is_dry, pending::Pending};

/// Without ID3 the file starts with the Info frame, which is thus within the part that can be rewritten.
const MUXER_OPTIONS: [(&str, &str); 1] = [("id3v2_version", "0")];

/// Encodes planar floats of one format.
pub(crate) struct Encoder {
    lame: encoder::Audio,
    muxer: format::context::Output,
    input: Definition,
    /// Per channel, what does not yet fill a frame.
    waiting: Vec<Vec<f32>>,
    samples: u64,
}

impl Encoder {
    /// Opens LAME; the mp3 goes to `output`.
    pub(crate) fn open(input: Definition, bitrate: Bitrate, output: Pending) -> Result<Self, Error> {
        let codec = encoder::find_by_name("libmp3lame")
            .ok_or(ffmpeg::Error::EncoderNotFound)
            .map_err(Error::engine("finding the mp3 encoder"))?;
        let lame = open_lame(codec, input, bitrate).map_err(Error::engine("opening the mp3 encoder"))?;
        let muxer = open_muxer(codec, &lame, output).map_err(Error::engine("starting the mp3"))?;
        let channels = usize::try_from(input.channel_layout.channels()).unwrap_or_default();
        Ok(Self { lame, muxer, input, waiting: vec![Vec::new(); channels], samples: 0 })
    }

    /// Encodes as many whole frames as there are samples for.
    pub(crate) fn push(&mut self, frame: &frame::Audio) -> Result<(), Error> {
        for (channel, waiting) in self.waiting.iter_mut().enumerate() {
            waiting.extend_from_slice(frame.plane(channel));
        }
        let frame_size = self.lame.frame_size() as usize;
        while self.waiting[0].len() >= frame_size {
            self.encode(frame_size)?;
        }
        Ok(())
    }

    /// Encodes what is left and completes the Info frame.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        if !self.waiting[0].is_empty() {
            self.encode(self.waiting[0].len())?;
        }
        self.lame.send_eof().map_err(Error::engine("ending the mp3"))?;
        self.mux()?;
        self.muxer.write_trailer().map_err(Error::engine("completing the mp3"))
    }

    /// Samples per channel taken so far.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    fn encode(&mut self, samples: usize) -> Result<(), Error> {
        let mut frame = frame::Audio::new(self.input.format, samples, self.input.channel_layout);
        frame.set_rate(self.input.rate);
        frame.set_pts(i64::try_from(self.samples).ok());
        for (channel, waiting) in self.waiting.iter_mut().enumerate() {
            frame.plane_mut(channel).copy_from_slice(&waiting[..samples]);
            waiting.drain(..samples);
        }
        self.samples += samples as u64;
        self.lame.send_frame(&frame).map_err(Error::engine("encoding"))?;
        self.mux()
    }

    fn mux(&mut self) -> Result<(), Error> {
        let time_base = self.muxer.stream(0).map_or(self.time_base(), |stream| stream.time_base());
        let mut packet = Packet::empty();
        loop {
            match self.lame.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(error) if is_dry(error) => return Ok(()),
                Err(error) => return Err(Error::engine("encoding")(error)),
            }
            packet.set_stream(0);
            packet.rescale_ts(self.time_base(), time_base);
            packet.write_interleaved(&mut self.muxer).map_err(Error::engine("writing the mp3"))?;
        }
    }

    fn time_base(&self) -> Rational {
        self.lame.time_base()
    }
}

fn open_lame(codec: ffmpeg::Codec, input: Definition, bitrate: Bitrate) -> Result<encoder::Audio, ffmpeg::Error> {
    let rate = i32::try_from(input.rate).map_err(|_| ffmpeg::Error::InvalidData)?;
    let mut settings = codec::Context::new_with_codec(codec).encoder().audio()?;
    settings.set_rate(rate);
    settings.set_channel_layout(input.channel_layout);
    settings.set_format(input.format);
    settings.set_bit_rate(usize::from(bitrate.kbps()) * 1000);
    settings.set_time_base((1, rate));
    settings.open_as(codec)
}

fn open_muxer(
    codec: ffmpeg::Codec,
    lame: &encoder::Audio,
    output: Pending,
) -> Result<format::context::Output, ffmpeg::Error> {
    let io = StreamIo::from_write_seek(output)?;
    let mut muxer = format::output_to_stream(io, None, Some("mp3"))?;
    let mut stream = muxer.add_stream(codec)?;
    stream.set_parameters(lame);
    stream.set_time_base(lame.time_base());
    muxer.write_header_with(MUXER_OPTIONS.iter().collect::<Dictionary<'_>>())?;
    Ok(muxer)
}
