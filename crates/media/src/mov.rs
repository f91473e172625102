//! The three things that ffmpeg-next has no safe call for: opening one given demuxer, switching tracks off, and reading a
//! track's four-character code.
#![expect(unsafe_code, reason = "raw FFmpeg calls, kept in this one small module")]

use std::ptr;

use ffmpeg_next::{self as ffmpeg, Dictionary, Stream, ffi, format::context};

/// Opens `io` with the `mov` demuxer and no other: `FFmpeg` would else guess the format from the content, and a playlist
/// names files and addresses for it to open (see `a_disguised_playlist_is_not_an_mp4_and_opens_nothing`).
///
/// No decoder is opened either, unlike `ffmpeg_next::format::input_from_stream`, which probes all of them, video too.
pub(crate) fn open(mut io: context::StreamIo, options: Dictionary<'_>) -> Result<context::Input, ffmpeg::Error> {
    // SAFETY: the context is fresh and ours alone; `io` outlives it, because both end up in the returned `Input`. On
    // failure `avformat_open_input` frees the context, but not the custom `pb`, which `io` then frees. The dictionary
    // is taken apart and put together again, so that it is freed once, whatever entries `FFmpeg` took out of it.
    unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(ffmpeg::Error::Other { errno: ffmpeg::error::ENOMEM });
        }
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
        let mut options = options.disown();
        let demuxer = ffi::av_find_input_format(c"mov".as_ptr());
        let result = ffi::avformat_open_input(&raw mut context, ptr::null(), demuxer, &raw mut options);
        drop(Dictionary::own(options));
        if result < 0 { Err(result.into()) } else { Ok(context::Input::wrap_with_custom_io(context, io)) }
    }
}

/// Makes the demuxer skip the packets of all tracks but one, without reading their bytes.
pub(crate) fn discard_all_but(input: &mut context::Input, track: usize) {
    for mut stream in input.streams_mut() {
        if stream.index() != track {
            // SAFETY: the stream belongs to `input`, which is borrowed mutably; `discard` is a field for callers to set.
            unsafe { (*stream.as_mut_ptr()).discard = ffi::AVDiscard::AVDISCARD_ALL };
        }
    }
}

/// The track's sample entry, such as `mp4a`.
pub(crate) fn four_character_code(stream: &Stream<'_>) -> [u8; 4] {
    // SAFETY: `codecpar` is allocated with the stream and lives as long.
    unsafe { (*(*stream.as_ptr()).codecpar).codec_tag.to_le_bytes() }
}
