//! Between decoding and encoding: exactly the samples that the container presents, no more, and a complaint if fewer.

use std::time::Duration;

use ffmpeg::{ChannelLayout, Rational, frame};
use ffmpeg_next as ffmpeg;

use crate::{InputError, demux::Span};

/// Audio that may be missing at the end before a file counts as truncated (or two codec frames, if that is more).
const TOLERANCE: Duration = Duration::from_millis(100);

/// Cuts the decoder's output at both ends: samples before time 0 are priming, and the encoder's last block is filled up
/// with padding. The latest frame is held back, because only the end tells how much of it counts.
pub(crate) struct Timeline {
    time_base: Rational,
    /// The time of the first decoded sample, in `time_base`.
    start: Option<i64>,
    /// Samples that are still to be dropped at the front.
    priming: u64,
    held: Option<frame::Audio>,
    /// Samples handed out, counted at the rate of the first frame.
    samples: u64,
    rate: u32,
    longest_frame: Duration,
}

impl Timeline {
    pub(crate) fn new(time_base: Rational) -> Self {
        Self { time_base, start: None, priming: 0, held: None, samples: 0, rate: 0, longest_frame: Duration::ZERO }
    }

    /// Takes a decoded frame and hands out the one before.
    pub(crate) fn push(&mut self, frame: frame::Audio) -> Option<frame::Audio> {
        if self.start.is_none() {
            self.begin(&frame);
        }
        let dropped = self.priming.min(frame.samples() as u64);
        self.priming -= dropped;
        let frame = without_front(frame, usize::try_from(dropped).unwrap_or_default())?;
        let ready = self.held.replace(frame)?;
        self.count(&ready);
        Some(ready)
    }

    /// Hands out the last frame, without its padding.
    pub(crate) fn finish(&mut self, promise: Option<Span>) -> Option<frame::Audio> {
        let mut last = self.held.take()?;
        let promised = promise.map_or(u64::MAX, |promise| promise.samples(self.rate));
        let wanted = usize::try_from(promised.saturating_sub(self.samples)).unwrap_or(usize::MAX);
        // Nothing wanted at all means that the promise is wrong, not that there is a whole frame of padding.
        if (1..last.samples()).contains(&wanted) {
            last.set_samples(wanted);
        }
        self.count(&last);
        Some(last)
    }

    /// How much audio has been handed out.
    pub(crate) fn handed_out(&self) -> Duration {
        samples_at(self.samples, self.rate)
    }

    /// The time of the first decoded sample, in the track's unit.
    pub(crate) fn start(&self) -> i64 {
        self.start.unwrap_or_default()
    }

    /// At the end: whether all that was promised came. A gap that the damaged packets explain is damage, a wider one
    /// means that the file was cut.
    pub(crate) fn check(&self, promise: Option<Span>, damaged: u32) -> Result<(), InputError> {
        let (decoded, promised) = (self.handed_out(), promise.map(Span::duration));
        let missing = promised.unwrap_or_default().saturating_sub(decoded);
        let tolerance = TOLERANCE.max(self.longest_frame * 2);
        let explained = self.longest_frame.saturating_mul(damaged).saturating_add(tolerance);
        if missing > tolerance && (damaged == 0 || missing > explained) {
            Err(InputError::Truncated { decoded, promised })
        } else if missing > tolerance || (self.samples == 0 && damaged > 0) {
            Err(InputError::Corrupt { decoded, promised })
        } else if self.samples == 0 {
            Err(InputError::NoAudio)
        } else {
            Ok(())
        }
    }

    fn begin(&mut self, first: &frame::Audio) {
        let start = first.timestamp().unwrap_or_default();
        let priming = Span { ticks: start.min(0).unsigned_abs(), time_base: self.time_base };
        self.start = Some(start);
        self.rate = first.rate();
        self.priming = priming.samples(self.rate);
    }

    fn count(&mut self, frame: &frame::Audio) {
        let samples = frame.samples() as u64;
        self.samples += samples * u64::from(self.rate) / u64::from(frame.rate().max(1));
        self.longest_frame = self.longest_frame.max(samples_at(samples, frame.rate()));
    }
}

/// The duration of `samples` at `rate` per second.
pub(crate) fn samples_at(samples: u64, rate: u32) -> Duration {
    let nanos = u128::from(samples) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The frame from sample `dropped` on, `None` if nothing is left. Files may count channels without placing them; the
/// usual places are then assumed.
fn without_front(frame: frame::Audio, dropped: usize) -> Option<frame::Audio> {
    let samples = frame.samples().checked_sub(dropped).filter(|samples| *samples > 0)?;
    let layout = match frame.channel_layout() {
        layout if layout.is_empty() => ChannelLayout::default(frame.channels().into()),
        _ if dropped == 0 => return Some(frame),
        layout => layout,
    };
    let mut rest = frame::Audio::new(frame.format(), samples, layout);
    rest.set_rate(frame.rate());
    let interleaved = if frame.is_packed() { usize::from(frame.channels()) } else { 1 };
    let sample_bytes = frame.format().bytes() * interleaved;
    let (from, len) = (dropped * sample_bytes, samples * sample_bytes);
    for plane in 0..frame.planes().min(rest.planes()) {
        rest.data_mut(plane)[..len].copy_from_slice(&frame.data(plane)[from..from + len]);
    }
    Some(rest)
}
