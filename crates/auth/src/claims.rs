use clap::Args;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a token says (RFC 7519, section 4.1, and who is meant). Every claim is required.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// The user's id.
    pub sub: Uuid,
    /// The user's login name, an e-mail address.
    pub username: String,
    /// Whether the user may administrate.
    pub admin: bool,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Not valid before, in seconds since 1970.
    pub nbf: i64,
    /// Not valid from then on, in seconds since 1970.
    pub exp: i64,
    /// The token's own id.
    pub jti: Uuid,
}

/// What the one who signs and those who verify must agree on.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct TokenSettings {
    /// Issuer of tokens: their `iss`.
    #[arg(long, env = "JWT_ISSUER", default_value = "video-converter")]
    pub jwt_issuer: String,

    /// Audience of tokens: their `aud`; give every deployment its own.
    #[arg(long, env = "JWT_AUDIENCE", default_value = "video-converter")]
    pub jwt_audience: String,
}
