use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LENGTH: usize = 128;

tokio::task_local! {
    /// The id of the request that this task answers.
    pub(super) static REQUEST_ID: String;
}

/// The id of the request being answered; `None` outside of one.
pub fn current() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}

/// The caller's own id if it is fit for a log line, else a new one.
pub(super) fn of(headers: &HeaderMap) -> String {
    let given = headers.get(X_REQUEST_ID).and_then(visible);
    given.map_or_else(|| Uuid::new_v4().to_string(), ToOwned::to_owned)
}

fn visible(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let fits = (1..=MAX_LENGTH).contains(&text.len());
    (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(value: &str) -> String {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        of(&HeaderMap::from_iter([(X_REQUEST_ID, value)]))
    }

    #[test]
    fn a_sane_id_is_kept() {
        assert_eq!(id_for("abc-123"), "abc-123");
        assert_eq!(id_for(&"x".repeat(128)), "x".repeat(128));
    }

    #[test]
    fn anything_else_is_replaced_by_a_new_one() {
        let long = "x".repeat(129);
        for strange in ["", "two words", "tab\there", "ümlaut", &long] {
            let id = id_for(strange);
            assert!(Uuid::parse_str(&id).is_ok(), "{strange:?} became {id:?}");
        }
        assert_ne!(of(&HeaderMap::new()), of(&HeaderMap::new()));
    }
}
