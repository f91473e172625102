//! What comes out: the right samples, as many as the container says, in the frames that ffmpeg would make.

mod common;

use std::{f64::consts::TAU, ops::ControlFlow, sync::atomic::Ordering};

use common::{Clips, MemorySink, TestSource, convert, convert_with};
use media::{Limits, Options};

/// How much of `samples`' energy is at `frequency` (Goertzel's algorithm), 0 to 1.
fn share_of_tone(samples: &[i16], frequency: f64, rate: u32) -> f64 {
    let step = TAU * frequency / f64::from(rate);
    let (mut one, mut two, mut energy) = (0.0, 0.0, 0.0);
    for sample in samples.iter().map(|sample| f64::from(*sample)) {
        (one, two) = (sample + 2.0 * step.cos() * one - two, one);
        energy += sample * sample;
    }
    let power = one * one + two * two - 2.0 * step.cos() * one * two;
    2.0 * power / (energy * f64::from(u32::try_from(samples.len()).expect("a short clip")))
}

/// The frames after the Info frame. MPEG-1 Layer III, one bit rate and sample rate throughout.
fn audio_frames(mp3: &[u8]) -> Vec<&[u8]> {
    const KBPS: [usize; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    const RATES: [usize; 3] = [44_100, 48_000, 32_000];
    let mut frames = Vec::new();
    let mut rest = mp3;
    while rest.len() >= 4 {
        assert_eq!([rest[0], rest[1] & 0xfe], [0xff, 0xfa], "the sync word of an MPEG-1 Layer III frame");
        let (bitrate, rate) = (KBPS[usize::from(rest[2] >> 4)], RATES[usize::from(rest[2] >> 2 & 3)]);
        let size = 144_000 * bitrate / rate + usize::from(rest[2] >> 1 & 1);
        let (frame, next) = rest.split_at(size.min(rest.len()));
        frames.push(frame);
        rest = next;
    }
    frames.split_off(1)
}

/// Converts a clip and checks length, rate and tone.
fn assert_exact(name: &str, rate: u32, seconds: f64, audio: &str, expected: (u32, u8)) {
    let clips = Clips::new();
    let clip = clips.video(name, rate, seconds, audio);
    let (report, sink) = convert(&clip).expect("a good clip");
    let decoded = clips.decode(&clips.write("result.mp3", &sink.bytes));

    assert_eq!((report.sample_rate, report.channels), expected);
    assert_eq!(report.samples, decoded.len() as u64, "the report and the mp3 agree");
    let wanted = seconds * f64::from(report.sample_rate);
    assert!(
        (wanted - f64::from(u32::try_from(decoded.len()).expect("a short clip"))).abs() < 0.5,
        "{} samples",
        decoded.len()
    );
    assert_eq!(report.bytes_written, sink.bytes.len() as u64);
    assert_eq!(report.warning, None);
    let middle = &decoded[decoded.len() / 4..decoded.len() / 2];
    let share = share_of_tone(middle, 440.0, report.sample_rate);
    assert!(share > 0.98, "{share} of the energy is at 440 Hz");
}

#[test]
fn an_ordinary_video_keeps_its_length_to_the_sample_and_its_tone() {
    assert_exact("a.mp4", 48_000, 3.0, "-ac 2", (48_000, 2));
}

#[test]
fn moov_first_is_read_as_well() {
    assert_exact("a.mp4", 44_100, 3.0, "-ac 2 -movflags +faststart", (44_100, 2));
}

#[test]
fn fragmented_is_read_as_well() {
    assert_exact("a.mp4", 44_100, 3.0, "-ac 2 -movflags +frag_keyframe+delay_moov", (44_100, 2));
}

#[test]
fn a_piece_of_a_live_stream_starts_when_its_audio_does() {
    let clips = Clips::new();
    clips.video("whole.mp4", 48_000, 6.0, "-ac 2 -g 25");
    clips.make("live.m3u8", "-i whole.mp4 -c copy -hls_segment_type fmp4 -hls_time 2");
    let read = |name: &str| std::fs::read(clips.path(name)).expect("a segment");
    let piece = clips.write("piece.mp4", &[read("init.mp4"), read("live1.m4s")].concat());
    let (report, _) = convert(&piece).expect("a good clip");
    let decoded = clips.decode(&piece).len();
    assert_eq!(usize::try_from(report.samples).expect("a short clip"), decoded);
    assert!(decoded > 80_000);
}

#[test]
fn mono_stays_mono() {
    assert_exact("a.m4a", 44_100, 2.5, "-vn -ac 1", (44_100, 1));
}

#[test]
fn a_low_rate_is_kept() {
    assert_exact("a.mp4", 22_050, 3.0, "-ac 1", (22_050, 1));
}

#[test]
fn a_rate_too_high_for_mp3_is_halved() {
    assert_exact("a.mp4", 96_000, 3.0, "-ac 2", (48_000, 2));
}

#[test]
fn other_codecs_and_sample_formats_are_decoded() {
    assert_exact("alac.mov", 44_100, 2.0, "-ac 2 -c:a alac", (44_100, 2));
    assert_exact("pcm.mov", 48_000, 2.0, "-ac 2 -c:a pcm_s24le", (48_000, 2));
    assert_exact("flac.mp4", 44_100, 2.0, "-ac 1 -c:a flac -strict -2", (44_100, 1));
}

#[test]
fn surround_sound_is_mixed_down_as_ffmpeg_does() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 3.0, "-ac 6");
    let ours = convert(&clip).expect("a good clip").1;
    let theirs = clips.make("theirs.mp3", "-i a.mp4 -vn -c:a libmp3lame -b:a 128k -id3v2_version 0");
    let theirs = std::fs::read(theirs).expect("an mp3");
    assert_same_but_for_the_end(&audio_frames(&ours.bytes), &audio_frames(&theirs));
}

#[test]
fn channels_without_places_are_mixed_down() {
    let clips = Clips::new();
    let clip = clips.make("a.mov", "-f lavfi -i sine=duration=2 -af pan=4c|c0=c0|c1=c0|c2=c0|c3=c0 -c:a pcm_s16le");
    let (report, _) = convert(&clip).expect("a good clip");
    assert_eq!((report.samples, report.channels), (88_200, 2));
}

/// The cut at the container's end is heard by the frames that overlap it: LAME looks ahead, and shares bits between frames: at most five.
fn assert_same_but_for_the_end(ours: &[&[u8]], theirs: &[&[u8]]) {
    assert!(ours.len().abs_diff(theirs.len()) <= 1, "{} and {} frames", ours.len(), theirs.len());
    let same = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
    assert!(same > 50 && same + 5 >= ours.len(), "the first {same} of {} frames are the same", ours.len());
}

#[test]
fn the_audio_frames_are_those_of_the_ffmpeg_program() {
    let clips = Clips::new();
    // Whole blocks of 1024 samples, so that there is no padding to cut.
    let clip = clips.video("a.mp4", 48_000, 4.096, "-ac 2");
    let ours = convert(&clip).expect("a good clip").1;
    let theirs = clips.make("theirs.mp3", "-i a.mp4 -vn -c:a libmp3lame -b:a 128k -id3v2_version 0");
    let theirs = std::fs::read(theirs).expect("an mp3");
    assert_eq!(ours.bytes.len(), theirs.len());
    assert!(audio_frames(&ours.bytes) == audio_frames(&theirs));
}

#[test]
fn only_the_frames_at_the_cut_padding_differ_from_the_ffmpeg_programs() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 44_100, 4.0, "-ac 2");
    let ours = convert(&clip).expect("a good clip").1;
    let theirs = clips.make("theirs.mp3", "-i a.mp4 -vn -c:a libmp3lame -b:a 128k -id3v2_version 0");
    let theirs = std::fs::read(theirs).expect("an mp3");
    assert_same_but_for_the_end(&audio_frames(&ours.bytes), &audio_frames(&theirs));
}

#[test]
fn the_bitrate_is_the_one_asked_for() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 4.0, "-ac 2");
    let bitrate = "192".parse().expect("valid");
    let options = Options { bitrate };
    let (report, _) = convert_with(&clip, &options, &Limits::default()).expect("a good clip");
    let kbps = report.bytes_written * 8 / 4000;
    assert!((190..=196).contains(&kbps), "{kbps} kbit/s");
}

#[test]
fn an_edit_list_that_starts_and_ends_inside_the_track_is_honoured() {
    let clips = Clips::new();
    clips.video("whole.mp4", 48_000, 4.0, "-ac 2");
    let cut = clips.make("cut.mp4", "-ss 1.1 -i whole.mp4 -t 1.3 -c copy");
    let theirs = clips.decode(&cut).len();
    let (report, _) = convert(&cut).expect("a good clip");
    let ours = usize::try_from(report.samples).expect("a short clip");
    assert!(ours <= theirs && theirs - ours < 1024, "{ours} of {theirs} samples, less than an AAC frame of padding");
}

#[test]
fn the_default_track_is_taken_of_several() {
    let clips = Clips::new();
    let two = "-f lavfi -i sine=frequency=440:duration=2 -f lavfi -i sine=frequency=1000:duration=2 -map 0 -map 1";
    let clip = clips.make("a.mp4", &format!("{two} -c:a aac -disposition:a:0 0 -disposition:a:1 default"));
    let (report, sink) = convert(&clip).expect("a good clip");
    let decoded = clips.decode(&clips.write("result.mp3", &sink.bytes));
    assert!(share_of_tone(&decoded[20_000..60_000], 1000.0, report.sample_rate) > 0.98);
}

#[test]
fn only_the_head_is_rewritten_and_only_once() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 20.0, "-ac 2");
    let (_, sink) = convert(&clip).expect("a good clip");
    assert!(sink.bytes.len() > 300_000);
    assert_eq!(sink.rewrites, 1);
}

#[test]
fn a_file_gets_the_same_bytes_as_memory() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 3.0, "-ac 2");
    let memory = convert(&clip).expect("a good clip").1;

    let path = clips.path("result.mp3");
    let mut file = media::FileSink::create(&path).expect("a writable folder");
    let source = Box::new(media::FileSource::open(&clip).expect("a clip"));
    let (options, limits) = (Options::default(), Limits::default());
    let mut progress = |_| ControlFlow::Continue(());
    media::convert(source, &mut file, &options, &limits, &mut progress).expect("a good clip");
    assert!(std::fs::read(&path).expect("an mp3") == memory.bytes);
}

#[test]
fn short_reads_change_nothing_and_reads_are_small() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 3.0, "-ac 2");
    let whole = convert(&clip).expect("a good clip").1;

    let mut sink = MemorySink::default();
    let source = TestSource::open(&clip, u64::MAX);
    let largest_read = source.largest_read.clone();
    let (options, limits) = (Options::default(), Limits::default());
    media::convert(Box::new(source), &mut sink, &options, &limits, &mut |_| ControlFlow::Continue(()))
        .expect("a good clip");
    assert_eq!(sink.bytes, whole.bytes);
    assert!(largest_read.load(Ordering::Relaxed) <= 32 * 1024);
}

#[test]
fn bytes_of_the_picture_are_skipped_where_the_gaps_are_wide() {
    let clips = Clips::new();
    let picture = "-f lavfi -i testsrc2=size=1280x720:rate=25:duration=10 -c:v mpeg4 -b:v 8M";
    let clip = clips.make("a.mp4", &format!("-f lavfi -i sine=duration=10 {picture} -c:a aac -chunk_duration 1000000"));
    let size = std::fs::metadata(&clip).expect("a clip").len();
    let (report, _) = convert(&clip).expect("a good clip");
    assert!(report.bytes_read * 4 < size, "{} of {size} bytes", report.bytes_read);
}

#[test]
fn progress_goes_from_the_start_to_the_end() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 3.0, "-ac 2");
    let mut seen = Vec::new();
    let source = Box::new(media::FileSource::open(&clip).expect("a clip"));
    let (options, limits) = (Options::default(), Limits::default());
    let mut progress = |progress: media::Progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    };
    media::convert(source, &mut MemorySink::default(), &options, &limits, &mut progress).expect("a good clip");
    assert!(seen.is_sorted_by_key(|progress| progress.done));
    assert!(seen[0].done.is_zero());
    assert_eq!(seen.last().map(|last| Some(last.done)), seen.last().map(|last| last.total));
}
