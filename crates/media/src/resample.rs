//! The third stage: from whatever the decoder gives to what the mp3 can hold.

use ffmpeg::{
    ChannelLayout,
    format::{Sample, sample},
    frame,
    software::resampling::{self, context::Definition},
};
use ffmpeg_next as ffmpeg;

use crate::{Error, InputError};

/// The sample rates of MPEG-1, MPEG-2 and MPEG-2.5 Layer III, in Hz.
const MP3_RATES: [u32; 9] = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000];
/// Samples asked for at a time when the resampler is emptied.
const FLUSH_SAMPLES: usize = 4096;
/// Room for what rounding adds.
const SLACK_SAMPLES: usize = 64;

/// Converts frames to planar 32-bit floats, mono or stereo, at a rate of mp3; frames that are so already pass unchanged.
pub(crate) struct Resampler {
    from: Definition,
    to: Definition,
    /// `None` if there is nothing to convert.
    context: Option<resampling::Context>,
}

impl Resampler {
    /// Picks the target by the first frame: its own rate or the nearest lower one, mono for mono, else stereo.
    pub(crate) fn for_source(frame: &frame::Audio) -> Result<Self, Error> {
        let from = definition(frame);
        let to = Definition {
            format: Sample::F32(sample::Type::Planar),
            channel_layout: if frame.channels() == 1 { ChannelLayout::MONO } else { ChannelLayout::STEREO },
            rate: mp3_rate(from.rate),
        };
        Ok(Self { from, to, context: open(from, to)? })
    }

    /// The format of what comes out.
    pub(crate) fn target(&self) -> &Definition {
        &self.to
    }

    /// Converts a frame. A source may change its format on the way; what is left of the old one then comes first.
    pub(crate) fn convert(&mut self, frame: frame::Audio) -> Result<Vec<frame::Audio>, Error> {
        let mut ready = Vec::new();
        if definition(&frame) != self.from {
            ready = self.flush()?;
            self.from = definition(&frame);
            self.context = open(self.from, self.to)?;
        }
        ready.push(match &mut self.context {
            Some(context) => run(context, &frame)?,
            None => frame,
        });
        Ok(ready)
    }

    /// What a rate conversion still holds.
    pub(crate) fn flush(&mut self) -> Result<Vec<frame::Audio>, Error> {
        let mut ready = Vec::new();
        let Some(mut context) = self.context.take() else {
            return Ok(ready);
        };
        loop {
            let mut frame = frame::Audio::new(self.to.format, FLUSH_SAMPLES, self.to.channel_layout);
            context.flush(&mut frame).map_err(Error::engine("emptying the resampler"))?;
            if frame.samples() == 0 {
                return Ok(ready);
            }
            ready.push(frame);
        }
    }
}

fn run(context: &mut resampling::Context, frame: &frame::Audio) -> Result<frame::Audio, Error> {
    let (from, to) = (u64::from(context.input().rate), *context.output());
    let waiting = context.delay().map_or(0, |delay| usize::try_from(delay.output).unwrap_or_default());
    let scaled = usize::try_from(frame.samples() as u64 * u64::from(to.rate) / from).unwrap_or_default();
    let mut converted = frame::Audio::new(to.format, waiting + scaled + SLACK_SAMPLES, to.channel_layout);
    context.run(frame, &mut converted).map_err(Error::engine("resampling"))?;
    Ok(converted)
}

fn open(from: Definition, to: Definition) -> Result<Option<resampling::Context>, InputError> {
    if from == to {
        return Ok(None);
    }
    let context =
        resampling::Context::get(from.format, from.channel_layout, from.rate, to.format, to.channel_layout, to.rate);
    context.map(Some).map_err(|_| InputError::UnsupportedCodec {
        codec: format!("{} Hz, {} channels", from.rate, from.channel_layout.channels()),
    })
}

fn definition(frame: &frame::Audio) -> Definition {
    Definition { format: frame.format(), channel_layout: frame.channel_layout(), rate: frame.rate() }
}

fn mp3_rate(source: u32) -> u32 {
    MP3_RATES.into_iter().rfind(|rate| *rate <= source).unwrap_or(MP3_RATES[0])
}

#[cfg(test)]
mod tests {
    use super::mp3_rate;

    #[test]
    fn a_rate_that_mp3_knows_is_kept_and_others_go_to_the_next_lower() {
        assert_eq!([8000, 22_050, 44_100, 48_000].map(mp3_rate), [8000, 22_050, 44_100, 48_000]);
        assert_eq!([96_000, 88_200, 37_800, 7350].map(mp3_rate), [48_000, 48_000, 32_000, 8000]);
    }
}
