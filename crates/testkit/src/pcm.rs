#![expect(clippy::cast_precision_loss, reason = "a test clip has far fewer than 2^52 samples")]

/// Decoded audio: 16-bit samples, channels interleaved.
#[derive(Debug)]
pub struct Pcm {
    /// Samples per second and channel.
    pub rate: u32,
    /// How many channels.
    pub channels: u16,
    /// `frames() * channels` samples.
    pub samples: Vec<i16>,
}

impl Pcm {
    /// Samples per channel.
    pub fn frames(&self) -> usize {
        self.samples.len() / usize::from(self.channels)
    }

    /// The length in seconds.
    pub fn seconds(&self) -> f64 {
        self.frames() as f64 / f64::from(self.rate)
    }

    /// The frequency of a steady tone in the first channel, by counting where it crosses zero upwards; `None` if it
    /// does so less than twice. Looks at the middle half only: encoders are unsteady at the ends.
    pub fn tone_hz(&self) -> Option<f64> {
        let quarter = self.frames() / 4;
        let channel = self.samples.iter().step_by(usize::from(self.channels)).skip(quarter).take(2 * quarter);
        let samples: Vec<f64> = channel.map(|sample| f64::from(*sample)).collect();
        let crossings: Vec<f64> = samples.windows(2).enumerate().filter_map(crossing).collect();
        let periods = crossings.len().checked_sub(1).filter(|periods| *periods > 0)?;
        let length = crossings.last()? - crossings.first()?;
        Some(periods as f64 / length * f64::from(self.rate))
    }

    /// Reads what `ffmpeg -bitexact -f wav pipe:1` writes: a header of 44 bytes, then all the samples.
    pub(crate) fn from_wav(wav: &[u8]) -> Self {
        assert!(wav.len() >= 44 && &wav[36..40] == b"data", "a plain WAV header");
        let samples = wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let rate = u32::from_le_bytes([wav[24], wav[25], wav[26], wav[27]]);
        Self { rate, channels: u16::from_le_bytes([wav[22], wav[23]]), samples }
    }
}

/// Where between two samples the line through them goes from below zero to above.
fn crossing((at, pair): (usize, &[f64])) -> Option<f64> {
    let (before, after) = (pair[0], pair[1]);
    (before < 0.0 && after >= 0.0).then(|| at as f64 - before / (after - before))
}
