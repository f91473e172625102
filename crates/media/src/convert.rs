//! The conversion: the stages put together, with limits, progress and cancellation between packets.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use ffmpeg_next::frame;

use crate::{
    AudioSink, Error, InputError, Options, RangeSource,
    decode::Decoder,
    demux::{Demuxer, Next, Span},
    encode::Encoder,
    pending::Pending,
    resample::Resampler,
    source::SharedSource,
    timeline::{Timeline, samples_at},
};

/// How often the progress callback is called, and with it how soon a cancellation is noticed.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// What a single conversion may cost. Small files can hold days of silence, so that a limit on uploads is not enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest audio that is converted; 4 h.
    pub max_duration: Duration,
    /// The largest mp3 that is written; 600 MB, which is 4 h at 320 kbit/s.
    pub max_output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_duration: Duration::from_hours(4), max_output_bytes: 600_000_000 }
    }
}

/// How far a conversion is, in time of the audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Audio that has been converted.
    pub done: Duration,
    /// The whole audio's duration if the container tells it; a fragmented file need not.
    pub total: Option<Duration>,
}

/// What a conversion did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The mp3's duration.
    pub duration: Duration,
    /// The mp3's duration in samples per channel at `sample_rate`, without what the decoder skips (encoder delay and padding).
    pub samples: u64,
    /// In Hz.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Read from the source.
    pub bytes_read: u64,
    /// The size of the mp3.
    pub bytes_written: u64,
    /// Something its owner should know although all of the audio is there, as a sentence.
    pub warning: Option<String>,
}

/// Converts the default audio track of an mp4 (m4v, mov, m4a, 3gp) to an mp3, in constant memory.
///
/// Blocks until done. Bytes reach `sink` on the way, and when the result is not `Ok` they are worthless. `progress` is
/// called on this thread at the start, then some twenty times a second, and at the end; [`ControlFlow::Break`] cancels.
///
/// The mp3 is as long as the container says, to the sample: priming and edit lists are honoured, the padding of the last
/// AAC frame is cut off. Apart from the frames at that cut, the audio frames are those of
/// `ffmpeg -vn -c:a libmp3lame -b:a 128k`.
pub fn convert(
    source: Box<dyn RangeSource>,
    sink: &mut dyn AudioSink,
    options: &Options,
    limits: &Limits,
    progress: &mut (dyn FnMut(Progress) -> ControlFlow<()> + Send),
) -> Result<Report, Error> {
    let demuxer = Demuxer::open(SharedSource::new(source))?;
    let decoder = Decoder::open(&demuxer)?;
    let timeline = Timeline::new(demuxer.codec().1);
    let total = demuxer.total().map(Span::duration);
    let ticker = Ticker { progress, total, last: None };
    Conversion { demuxer, timeline, decoder, output: None, pending: Pending::default(), sink, options, limits, ticker }
        .run()
}

struct Conversion<'a> {
    demuxer: Demuxer,
    decoder: Decoder,
    timeline: Timeline,
    /// Opened by the first frame, which alone is certain about rate and channels.
    output: Option<Output>,
    pending: Pending,
    sink: &'a mut dyn AudioSink,
    options: &'a Options,
    limits: &'a Limits,
    ticker: Ticker<'a>,
}

struct Output {
    resampler: Resampler,
    encoder: Encoder,
}

impl Conversion<'_> {
    fn run(mut self) -> Result<Report, Error> {
        self.check_duration(self.ticker.total.unwrap_or_default())?;
        loop {
            self.ticker.tick(self.timeline.handed_out())?;
            match self.demuxer.next()? {
                Next::Packet(packet) => self.decoder.send(&packet),
                Next::Damage => self.decoder.note_damage(),
                Next::End => break,
            }
            self.encode_decoded()?;
        }
        self.decoder.send_eof();
        self.encode_decoded()?;
        self.finish()
    }

    /// Passes on what the decoder has ready.
    fn encode_decoded(&mut self) -> Result<(), Error> {
        while let Some(decoded) = self.decoder.receive() {
            if let Some(frame) = self.timeline.push(decoded) {
                self.check_duration(self.timeline.handed_out())?;
                self.encode(frame)?;
            }
        }
        Ok(())
    }

    fn encode(&mut self, frame: frame::Audio) -> Result<(), Error> {
        let output = match &mut self.output {
            Some(output) => output,
            None => self.output.insert(Output::open(&frame, self.options, &self.pending)?),
        };
        for frame in output.resampler.convert(frame)? {
            output.encoder.push(&frame)?;
        }
        self.deliver()
    }

    fn finish(mut self) -> Result<Report, Error> {
        let promise = self.demuxer.promise(self.timeline.start());
        if let Some(last) = self.timeline.finish(promise) {
            self.encode(last)?;
        }
        self.check_duration(self.timeline.handed_out())?;
        self.timeline.check(promise, self.decoder.damaged())?;
        let mut output = self.output.take().ok_or(InputError::NoAudio)?;
        output.finish()?;
        self.deliver()?;
        self.ticker.call(self.timeline.handed_out())?;
        Ok(self.report(&output))
    }

    /// Hands the muxer's bytes to the sink, unless they are too many.
    fn deliver(&mut self) -> Result<(), Error> {
        let limit = self.limits.max_output_bytes;
        if self.pending.end() > limit {
            return Err(InputError::OutputTooLarge { limit }.into());
        }
        self.pending.drain(self.sink).map_err(Error::Sink)
    }

    fn check_duration(&self, duration: Duration) -> Result<(), InputError> {
        let limit = self.limits.max_duration;
        if duration > limit { Err(InputError::TooLong { duration, limit }) } else { Ok(()) }
    }

    fn report(&self, output: &Output) -> Report {
        let target = output.resampler.target();
        let damaged = self.decoder.damaged();
        let report = Report {
            duration: samples_at(output.encoder.samples(), target.rate),
            samples: output.encoder.samples(),
            sample_rate: target.rate,
            channels: u8::try_from(target.channel_layout.channels()).unwrap_or(2),
            bytes_read: self.demuxer.bytes_read(),
            bytes_written: self.pending.end(),
            warning: (damaged > 0).then(|| format!("{damaged} damaged pieces of audio were skipped.")),
        };
        tracing::debug!(?report, "converted");
        report
    }
}

impl Output {
    fn open(first: &frame::Audio, options: &Options, pending: &Pending) -> Result<Self, Error> {
        let resampler = Resampler::for_source(first)?;
        let encoder = Encoder::open(*resampler.target(), options.bitrate, pending.clone())?;
        Ok(Self { resampler, encoder })
    }

    fn finish(&mut self) -> Result<(), Error> {
        for frame in self.resampler.flush()? {
            self.encoder.push(&frame)?;
        }
        self.encoder.finish()
    }
}

/// Calls back now and then.
struct Ticker<'a> {
    progress: &'a mut (dyn FnMut(Progress) -> ControlFlow<()> + Send),
    total: Option<Duration>,
    last: Option<Instant>,
}

impl Ticker<'_> {
    fn tick(&mut self, done: Duration) -> Result<(), Error> {
        if self.last.is_some_and(|last| last.elapsed() < PROGRESS_INTERVAL) { Ok(()) } else { self.call(done) }
    }

    fn call(&mut self, done: Duration) -> Result<(), Error> {
        self.last = Some(Instant::now());
        match (self.progress)(Progress { done, total: self.total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}
