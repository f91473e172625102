use std::time::Duration;

use bytesize::ByteSize;

/// A span of time, as `90s`, `15m`, `1h 30m`.
///
/// # Errors
/// What is wrong with `text`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; a time is written as 90s, 15m or 2h"))
}

/// A number of bytes, as `64MiB`, `2GiB` or `1048576`.
///
/// # Errors
/// What is wrong with `text`.
pub fn bytes(text: &str) -> Result<u64, String> {
    text.parse()
        .map(|ByteSize(bytes)| bytes)
        .map_err(|error| format!("{error}; a size is written as 64MiB, 2GiB or 1048576"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        assert!(duration("soon").unwrap_err().contains("90s"));
    }

    #[test]
    fn sizes_are_binary_and_may_be_plain_numbers() {
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        assert_eq!(bytes("1048576"), Ok(1 << 20));
        assert!(bytes("a lot").unwrap_err().contains("64MiB"));
        assert!(bytes("-1").is_err());
    }
}
