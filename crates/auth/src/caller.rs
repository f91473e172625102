use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE, request::Parts},
};
use chrono::Utc;
use headers::{
    Authorization, HeaderMapExt,
    authorization::{Basic, Bearer, Credentials},
};
use service::Problem;
use uuid::Uuid;

use crate::{Claims, Verifier};

const BEARER_CHALLENGE: &str = r#"Bearer realm="video-converter""#;
const BASIC_CHALLENGE: &str = r#"Basic realm="video-converter", charset="UTF-8""#;

/// Who calls, as a valid bearer token says (RFC 6750); without one the request ends with 401.
///
/// Looks at the head of the request alone, so no byte of the body is read for strangers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user's id.
    pub user_id: Uuid,
    /// The login name, an e-mail address.
    pub username: String,
    /// Whether the user may administrate.
    pub admin: bool,
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Claims { sub, username, admin, .. } = Claims::from_request_parts(parts, state).await?;
        Ok(Self { user_id: sub, username, admin })
    }
}

impl<S> FromRequestParts<S> for Claims
where
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let bearer: Bearer = credentials(parts).ok_or_else(no_token)?;
        let verified = Verifier::from_ref(state).verify(bearer.token(), Utc::now());
        verified.map_err(|why| invalid_token(&why.to_string()))
    }
}

/// A name and a password, as HTTP Basic carries them (RFC 7617); without them the request ends with
/// 401.
#[derive(Clone)]
pub struct BasicCredentials {
    /// The login name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl<S: Send + Sync> FromRequestParts<S> for BasicCredentials {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let basic: Basic = credentials(parts).ok_or_else(wrong_credentials)?;
        let (username, password) = (basic.username().to_owned(), basic.password().to_owned());
        Ok(Self { username, password })
    }
}

/// Credentials of another scheme, or garbled ones, count as none.
fn credentials<C: Credentials + 'static>(parts: &Parts) -> Option<C> {
    parts.headers.typed_get::<Authorization<C>>().map(|Authorization(credentials)| credentials)
}

fn unauthorized(code: &'static str, detail: String, challenge: HeaderValue) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail).header(WWW_AUTHENTICATE, challenge)
}

fn no_token() -> Problem {
    let detail = "Log in first, then send the token as: Authorization: Bearer TOKEN.".to_owned();
    unauthorized("unauthorized", detail, HeaderValue::from_static(BEARER_CHALLENGE))
}

/// The 401 for a token that was sent and is not accepted (RFC 6750, section 3.1); `why` is plain
/// ASCII without quotes.
pub fn invalid_token(why: &str) -> Problem {
    let challenge = format!(r#"{BEARER_CHALLENGE}, error="invalid_token", error_description="{why}""#);
    let challenge = HeaderValue::try_from(challenge);
    let challenge = challenge.unwrap_or(HeaderValue::from_static(BEARER_CHALLENGE));
    unauthorized("invalid_token", format!("This token is not accepted: {why}."), challenge)
}

/// The 401 of a login that failed, the same for every reason: it must not tell who has an account.
pub fn wrong_credentials() -> Problem {
    let detail = "Send an e-mail address and its password by HTTP Basic.".to_owned();
    unauthorized("unauthorized", detail, HeaderValue::from_static(BASIC_CHALLENGE))
}
