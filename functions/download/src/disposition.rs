//! `Content-Disposition` (RFC 6266) for the audio, named after the video.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but `attr-char` (RFC 8187, section 3.2.1).
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// `attachment` with the name for old clients and, where that cannot say it, the true one for all others.
pub(crate) fn attachment(video_name: &str) -> String {
    let stem = video_name.rsplit_once('.').map_or(video_name, |(stem, _)| stem);
    let name = format!("{}.mp3", if stem.is_empty() { "audio" } else { stem });
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' })
        .collect();
    if plain == name {
        format!("attachment; filename=\"{plain}\"")
    } else {
        format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(&name, NOT_ATTR_CHAR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_is_quoted_and_nothing_more() {
        assert_eq!(attachment("my talk.v2.mp4"), "attachment; filename=\"my talk.v2.mp3\"");
    }

    #[test]
    fn a_name_beyond_ascii_is_given_twice() {
        assert_eq!(attachment("Grüße.mp4"), "attachment; filename=\"Gr__e.mp3\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.mp3");
    }

    #[test]
    fn a_name_cannot_end_the_header_or_begin_another() {
        let value = attachment("a\"; x=\"\r\nSet-Cookie: b.mp4");
        assert!(!value.contains('\r') && !value.contains('\n') && value.matches('"').count() == 2, "{value}");
    }

    #[test]
    fn a_name_of_only_an_extension_still_names_something() {
        assert_eq!(attachment(".mp4"), "attachment; filename=\"audio.mp3\"");
    }
}
