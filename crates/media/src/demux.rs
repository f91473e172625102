//! The first stage: from bytes to the packets of one audio track.

use std::{sync::Once, time::Duration};

use ffmpeg::{Packet, Rational, codec, format, media, packet::side_data};
use ffmpeg_next as ffmpeg;

use crate::{Error, InputError, mov, sniff, source::SharedSource};

/// What `FFmpeg` asks for at once. Small, so that the gaps between audio chunks are skipped, not read.
const READ_BYTES: usize = 32 * 1024;
/// Damaged packets in a row after which the rest is given up.
const MAX_DAMAGED_RUN: u32 = 1000;
/// No data from other files, no protocol to reach them with, no hundreds of tracks, no extra reads for chapter titles.
const DEMUXER_OPTIONS: [(&str, &str); 5] = [
    ("format_whitelist", "mov"),
    ("protocol_whitelist", ""),
    ("enable_drefs", "0"),
    ("max_streams", "64"),
    ("ignore_chapters", "1"),
];
/// Sample entries whose content is encrypted: Common Encryption (ISO/IEC 23001-7) and `FairPlay`.
const ENCRYPTED: [[u8; 4]; 2] = [*b"enca", *b"drms"];

/// An open file and the audio track chosen from it.
pub(crate) struct Demuxer {
    input: format::context::Input,
    source: SharedSource,
    track: usize,
    damaged_run: u32,
}

/// What the demuxer found next.
pub(crate) enum Next {
    Packet(Packet),
    /// Bytes that are no packet; the following ones may be.
    Damage,
    End,
}

/// A length of time in a track's own unit.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) ticks: u64,
    pub(crate) time_base: Rational,
}

impl Demuxer {
    /// Opens the file and picks the default audio track, or the first.
    pub(crate) fn open(source: SharedSource) -> Result<Self, Error> {
        initialise();
        sniff::require_mp4(&source)?;
        let mut input = open_mov(&source)?;
        let track = choose_track(&input)?;
        mov::discard_all_but(&mut input, track);
        Ok(Self { input, source, track, damaged_run: 0 })
    }

    /// What a decoder needs to know, and the unit of the packets' times.
    pub(crate) fn codec(&self) -> (codec::Parameters, Rational) {
        let stream = self.stream();
        (stream.parameters(), stream.time_base())
    }

    /// The four-character code of the track, readable even if it is not text.
    pub(crate) fn codec_tag(&self) -> String {
        mov::four_character_code(&self.stream()).escape_ascii().to_string()
    }

    /// The track's length if the index tells it; that of a fragmented file shows only at the end.
    pub(crate) fn total(&self) -> Option<Span> {
        if self.is_fragmented() { None } else { self.promise(0) }
    }

    /// At the end: how much audio the container promises. `start` is the time of the first decoded sample.
    ///
    /// An index counts what is to be played. Fragments only tell where they end, from which goes what comes before the
    /// audio starts (`start` > 0, as in a piece of a live stream) and what is not to be played (`start` < 0: priming).
    pub(crate) fn promise(&self, start: i64) -> Option<Span> {
        let stream = self.stream();
        let ticks = u64::try_from(stream.duration()).ok()?;
        let unplayed = if self.is_fragmented() { start } else { start.min(0) };
        let ticks = ticks.saturating_sub(unplayed.unsigned_abs());
        (ticks > 0).then(|| Span { ticks, time_base: stream.time_base() })
    }

    fn is_fragmented(&self) -> bool {
        self.stream().frames() == 0
    }

    /// Bytes read from the source so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.source.bytes_read()
    }

    /// Reads on to the track's next packet. An encrypted one ends the matter.
    pub(crate) fn next(&mut self) -> Result<Next, Error> {
        let next = self.read()?;
        self.damaged_run = if matches!(next, Next::Damage) { self.damaged_run + 1 } else { 0 };
        match next {
            Next::Packet(packet) if is_encrypted(&packet) => Err(InputError::Encrypted.into()),
            Next::Damage if self.damaged_run > MAX_DAMAGED_RUN => Ok(Next::End),
            next => Ok(next),
        }
    }

    fn read(&mut self) -> Result<Next, Error> {
        loop {
            let mut packet = Packet::empty();
            let result = packet.read(&mut self.input);
            if let Some(failure) = self.source.take_failure() {
                return Err(Error::Source(failure));
            }
            match result {
                Ok(()) if packet.stream() == self.track => return Ok(Next::Packet(packet)),
                Ok(()) => {}
                Err(ffmpeg::Error::InvalidData) => return Ok(Next::Damage),
                // Whatever else it is, the rest of the file stays out of reach; the promise tells whether that matters.
                Err(_) => return Ok(Next::End),
            }
        }
    }

    fn stream(&self) -> ffmpeg::Stream<'_> {
        self.input.stream(self.track).expect("the track was chosen from this input")
    }
}

impl Span {
    pub(crate) fn duration(self) -> Duration {
        Duration::from_nanos(self.in_units_of(1_000_000_000))
    }

    /// The length in samples of the given rate, rounded to the nearest.
    pub(crate) fn samples(self, rate: u32) -> u64 {
        self.in_units_of(rate)
    }

    fn in_units_of(self, per_second: u32) -> u64 {
        let numerator = u128::from(self.time_base.numerator().unsigned_abs());
        let denominator = u128::from(self.time_base.denominator().unsigned_abs()).max(1);
        let units = (u128::from(self.ticks) * numerator * u128::from(per_second) + denominator / 2) / denominator;
        u64::try_from(units).unwrap_or(u64::MAX)
    }
}

/// Once per process: error texts, and silence, because what `FFmpeg` prints about a file says less than our errors.
fn initialise() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ffmpeg::init().expect("FFmpeg's initialisation only fills tables");
        ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
    });
}

fn open_mov(source: &SharedSource) -> Result<format::context::Input, Error> {
    let io = format::context::StreamIo::from_read_seek_with_capacity(source.reader(), READ_BYTES)
        .map_err(Error::engine("preparing to read"))?;
    let result = mov::open(io, DEMUXER_OPTIONS.iter().collect());
    if let Some(failure) = source.take_failure() {
        return Err(Error::Source(failure));
    }
    match result {
        Ok(input) => Ok(input),
        // Missing memory included: what asks for too much is a size in the file.
        Err(_) => Err(sniff::diagnose(source).map_err(Error::Source)?.into()),
    }
}

fn choose_track(input: &format::context::Input) -> Result<usize, InputError> {
    let is_audio = |stream: &ffmpeg::Stream<'_>| stream.parameters().medium() == media::Type::Audio;
    let is_default = |stream: &ffmpeg::Stream<'_>| stream.disposition().contains(format::stream::Disposition::DEFAULT);
    let mut audio = input.streams().filter(is_audio);
    let first = audio.next().ok_or(InputError::NoAudio)?;
    let track = if is_default(&first) { first } else { audio.find(is_default).unwrap_or(first) };
    if ENCRYPTED.contains(&mov::four_character_code(&track)) {
        return Err(InputError::Encrypted);
    }
    Ok(track.index())
}

/// Without a key the demuxer passes encrypted packets on, and says so.
fn is_encrypted(packet: &Packet) -> bool {
    packet.side_data().any(|data| matches!(data.kind(), side_data::Type::EncryptionInfo))
}
