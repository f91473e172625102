//! What does not come out, and why: every failure by its name.

mod common;

use std::{fs, io, net::TcpListener, ops::ControlFlow, path::Path, time::Duration};

use common::{Clips, MemorySink, TestSource, code, convert, convert_with};
use media::{Error, FileSource, InputError, Limits, Options};

fn truncate(clip: &Path, bytes: u64) {
    fs::OpenOptions::new().write(true).open(clip).and_then(|file| file.set_len(bytes)).expect("a writable clip");
}

fn size(clip: &Path) -> u64 {
    fs::metadata(clip).expect("a clip").len()
}

#[test]
fn a_picture_a_text_and_an_empty_file_are_not_mp4() {
    let clips = Clips::new();
    for bytes in [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], b"hello, world", b"", b"\0\0\0\x10ftypisom\0\0\0\0"] {
        assert_eq!(code(convert(&clips.write("a.mp4", bytes))), "not_mp4", "{bytes:?}");
    }
    let mp3 = clips.make("a.mp3", "-f lavfi -i sine=duration=1");
    assert_eq!(code(convert(&mp3)), "not_mp4");
}

#[test]
fn a_disguised_playlist_is_not_an_mp4_and_opens_nothing() {
    let clips = Clips::new();
    let other = clips.make("other.ts", "-f lavfi -i sine=duration=1 -c:a aac");
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    server.set_nonblocking(true).expect("a listener");
    let url = format!("http://{}/other.ts", server.local_addr().expect("an address"));
    let file = format!("file://{}", other.display());
    let hls = |target: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n");
    let disguises = [
        hls(&url),
        hls(&file),
        hls("other.ts"),
        format!("ffconcat version 1.0\nfile '{}'\n", other.display()),
        format!("<?xml version=\"1.0\"?><MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>"),
        "v=0\nm=audio 5004 RTP/AVP 0\nc=IN IP4 127.0.0.1\n".to_owned(),
    ];
    for text in disguises {
        assert_eq!(code(convert(&clips.write("a.mp4", text.as_bytes()))), "not_mp4", "{text}");
        let behind_a_box = [b"\0\0\0\x10ftypisom\0\0\0\0", text.as_bytes()].concat();
        assert_eq!(code(convert(&clips.write("a.mp4", &behind_a_box))), "not_mp4", "{text}");
    }
    let nobody = server.accept().expect_err("nothing connected").kind();
    assert_eq!(nobody, io::ErrorKind::WouldBlock);
}

#[test]
fn a_silent_film_has_no_audio() {
    let clips = Clips::new();
    let clip = clips.make("a.mp4", "-f lavfi -i testsrc2=size=160x120:duration=1 -c:v mpeg4");
    assert_eq!(code(convert(&clip)), "no_audio");
}

#[test]
fn encrypted_audio_is_named_so() {
    let clips = Clips::new();
    clips.video("plain.mp4", 48_000, 1.0, "-ac 2");
    let key = "00112233445566778899aabbccddeeff";
    let scheme = format!("-encryption_scheme cenc-aes-ctr -encryption_key {key} -encryption_kid {key}");
    let clip = clips.make("a.mp4", &format!("-i plain.mp4 -c copy {scheme}"));
    assert_eq!(code(convert(&clip)), "encrypted");
}

#[test]
fn a_codec_that_is_not_on_the_list_is_named() {
    let clips = Clips::new();
    let clip = clips.make("a.mov", "-f lavfi -i sine=duration=1 -c:a adpcm_ima_qt");
    let Err(Error::Input(error)) = convert(&clip) else { panic!("converted") };
    assert_eq!(error, InputError::UnsupportedCodec { codec: "adpcm_ima_qt".to_owned() });
    assert!(error.to_string().contains("adpcm_ima_qt"));
}

#[test]
fn a_file_cut_in_its_audio_is_truncated_and_says_what_was_there() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 10.0, "-ac 2 -movflags +faststart");
    truncate(&clip, size(&clip) / 2);
    let Err(Error::Input(InputError::Truncated { decoded, promised })) = convert(&clip) else {
        panic!("not truncated")
    };
    assert_eq!(promised, Some(Duration::from_secs(10)));
    assert!((3.0..7.0).contains(&decoded.as_secs_f64()), "{decoded:?}");
}

#[test]
fn a_file_cut_before_its_index_is_truncated() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 2.0, "-ac 2");
    truncate(&clip, size(&clip) / 2);
    assert_eq!(code(convert(&clip)), "truncated");
}

#[test]
fn a_file_cut_inside_its_index_is_truncated() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 2.0, "-ac 2");
    truncate(&clip, size(&clip) - 500);
    assert_eq!(code(convert(&clip)), "truncated");
}

#[test]
fn a_file_cut_inside_a_fragment_is_truncated() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 10.0, "-ac 2 -g 25 -movflags +frag_keyframe+empty_moov+default_base_moof");
    truncate(&clip, size(&clip) / 2);
    assert_eq!(code(convert(&clip)), "truncated");
}

#[test]
fn audio_overwritten_with_noise_is_corrupt() {
    let clips = Clips::new();
    let clip = clips.video("a.m4a", 48_000, 10.0, "-vn -ac 2 -movflags +faststart");
    let mut bytes = fs::read(&clip).expect("a clip");
    let start = bytes.len() / 3;
    let mut noise = Noise(1);
    bytes[start..].fill_with(|| noise.byte());
    assert_eq!(code(convert(&clips.write("b.m4a", &bytes))), "corrupt");
}

#[test]
fn one_damaged_packet_is_a_warning() {
    let clips = Clips::new();
    let clip = clips.video("a.m4a", 48_000, 10.0, "-vn -ac 2 -movflags +faststart");
    let mut bytes = fs::read(&clip).expect("a clip");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 300].fill(0xff);
    let (report, _) = convert(&clips.write("b.m4a", &bytes)).expect("nearly all is there");
    assert!(report.warning.is_some_and(|warning| warning.contains("damaged")));
}

#[test]
fn a_source_that_fails_is_not_the_files_fault() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 3.0, "-ac 2 -movflags +faststart");
    for fail_at in [0, 6, 40, 2000, size(&clip) / 2, size(&clip) - 1000] {
        let source = Box::new(TestSource::open(&clip, fail_at));
        let (options, limits) = (Options::default(), Limits::default());
        let result =
            media::convert(source, &mut MemorySink::default(), &options, &limits, &mut |_| ControlFlow::Continue(()));
        let Err(Error::Source(error)) = result else { panic!("failing at {fail_at}: {result:?}") };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "the cause is kept");
    }
}

#[test]
fn a_sink_that_fails_is_not_the_files_fault() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 3.0, "-ac 2");
    let mut sink = MemorySink { fail_after: Some(10_000), ..MemorySink::default() };
    let source = Box::new(FileSource::open(&clip).expect("a clip"));
    let (options, limits) = (Options::default(), Limits::default());
    let result = media::convert(source, &mut sink, &options, &limits, &mut |_| ControlFlow::Continue(()));
    let Err(Error::Sink(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_cancelled_conversion_stops_at_the_next_call_of_progress() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 60.0, "-ac 2");
    let source = Box::new(FileSource::open(&clip).expect("a clip"));
    let mut calls = 0;
    let mut progress = |_| {
        calls += 1;
        if calls < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let (options, limits) = (Options::default(), Limits::default());
    let result = media::convert(source, &mut MemorySink::default(), &options, &limits, &mut progress);
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    assert_eq!(calls, 2);
}

#[test]
fn audio_over_the_duration_limit_is_refused_before_it_is_decoded() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 3.0, "-ac 2");
    let limit = Duration::from_secs(2);
    let result = convert_with(&clip, &Options::default(), &Limits { max_duration: limit, ..Limits::default() });
    let Err(Error::Input(error)) = result else { panic!("converted") };
    assert_eq!(error, InputError::TooLong { duration: Duration::from_secs(3), limit });
}

#[test]
fn a_fragmented_file_that_does_not_tell_its_length_is_stopped_at_the_limit() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 3.0, "-ac 2 -g 25 -movflags +frag_keyframe+empty_moov+default_base_moof");
    let limits = Limits { max_duration: Duration::from_secs(2), ..Limits::default() };
    assert_eq!(code(convert_with(&clip, &Options::default(), &limits)), "too_long");
}

#[test]
fn an_mp3_over_the_size_limit_is_refused() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 10.0, "-ac 2");
    let limits = Limits { max_output_bytes: 50_000, ..Limits::default() };
    assert_eq!(code(convert_with(&clip, &Options::default(), &limits)), "output_too_large");
}

/// A linear congruential generator (Numerical Recipes' constants); the high bits are the good ones.
struct Noise(u32);

impl Noise {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % limit
    }

    fn byte(&mut self) -> u8 {
        self.below(256).to_le_bytes()[0]
    }
}

#[test]
fn mutated_files_give_an_mp3_or_a_named_failure() {
    let clips = Clips::new();
    let clip = clips.video("a.mp4", 48_000, 1.0, "-ac 2 -movflags +faststart");
    let original = fs::read(&clip).expect("a clip");
    let index = original.windows(4).position(|kind| kind == b"mdat").expect("media after the index");
    let mut noise = Noise(42);
    for round in 0..150 {
        let mut bytes = original.clone();
        for _ in 0..=noise.below(8) {
            bytes[noise.below(index)] = [0, 0xff, noise.byte()][noise.below(3)];
        }
        let result = convert(&clips.write("mutated.mp4", &bytes));
        assert!(matches!(result, Ok(_) | Err(Error::Input(_))), "round {round}: {:?}", result.err());
    }
}
