//! `Prefer` (RFC 7240): how long to wait, and whether "not ready" is an error.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header::HeaderName};

/// The response header that says which preferences were heeded.
pub(crate) const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The preferences that we know; others are ignored, as the RFC asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    /// `wait=N`, in seconds.
    pub(crate) wait: Option<Duration>,
    /// `handling=strict`: a job that is not ready is an error, so that `curl -f --retry` is a whole client.
    pub(crate) strict: bool,
}

impl Prefer {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            // Parameters after `;` belong to preferences that we do not know.
            let (name, value) = preference.split(';').next().unwrap_or_default().split_once('=').unwrap_or_default();
            match (name.trim().to_ascii_lowercase().as_str(), value.trim().trim_matches('"')) {
                ("wait", seconds) => prefer.wait = seconds.parse().ok().map(Duration::from_secs),
                ("handling", "strict") => prefer.strict = true,
                _ => {}
            }
        }
        prefer
    }

    /// The value of [`APPLIED`] for a wait of `waited`.
    pub(crate) fn applied(self, waited: Duration) -> Option<HeaderValue> {
        let wait = self.wait.map(|_| format!("wait={}", waited.as_secs()));
        let strict = self.strict.then(|| "handling=strict".to_owned());
        let all: Vec<_> = wait.into_iter().chain(strict).collect();
        HeaderValue::from_str(&all.join(", ")).ok().filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefer(value: &'static str) -> Prefer {
        Prefer::of(&HeaderMap::from_iter([("prefer".parse().expect("a name"), HeaderValue::from_static(value))]))
    }

    #[test]
    fn both_preferences_are_read_from_one_header() {
        assert_eq!(prefer("handling=strict, wait=3"), Prefer { wait: Some(Duration::from_secs(3)), strict: true });
    }

    #[test]
    fn unknown_and_garbled_preferences_are_ignored() {
        assert_eq!(prefer("respond-async; x=1, wait=soon, handling=lenient"), Prefer::default());
    }

    #[test]
    fn only_what_was_asked_is_applied() {
        assert_eq!(prefer("return=minimal").applied(Duration::from_secs(25)), None);
        let applied = prefer("wait=90, handling=strict").applied(Duration::from_mins(1)).expect("applied");
        assert_eq!(applied, "wait=60, handling=strict");
    }
}
