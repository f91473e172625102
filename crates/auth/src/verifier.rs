use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet},
};

use crate::{Claims, Signer, TokenSettings};

/// How far the clocks of two machines may differ.
const LEEWAY_S: i64 = 15;

/// How tokens are verified.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct VerifierSettings {
    /// Public keys that tokens may be signed with, as a JWK set in JSON (what login serves at `/.well-known/jwks.json`); several while keys are rotated.
    #[arg(long, env = "JWT_PUBLIC_KEYS")]
    pub jwt_public_keys: String,

    /// What tokens must say of themselves.
    #[command(flatten)]
    pub token: TokenSettings,
}

/// Why a token is not accepted, in words for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Not a JWT that we read.
    #[error("the token is malformed")]
    Malformed,
    /// No key of ours, another algorithm, or a wrong signature.
    #[error("the token was not signed by a key of this service")]
    Signature,
    /// A claim is missing, of another type, or meant for somebody else.
    #[error("the token lacks a claim or is for another service")]
    Claims,
    /// `exp` is past.
    #[error("the token has expired, log in again")]
    Expired,
    /// `nbf` or `iat` is yet to come.
    #[error("the token is not valid yet")]
    NotYetValid,
}

/// Checks tokens; clones share the keys.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    keys: HashMap<String, DecodingKey>,
    validation: Validation,
}

impl Verifier {
    /// A verifier as configured.
    ///
    /// # Errors
    /// When the keys are not a JWK set of Ed25519 keys.
    pub fn from_settings(settings: &VerifierSettings) -> anyhow::Result<Self> {
        Self::from_jwks(&settings.jwt_public_keys, &settings.token)
            .context("JWT_PUBLIC_KEYS is not a JWK set of Ed25519 keys")
    }

    /// A verifier of the tokens that `signer` makes.
    ///
    /// # Errors
    /// Never in practice: a signer's key is good for both.
    pub fn of(signer: &Signer) -> anyhow::Result<Self> {
        Self::from_jwks(signer.jwks(), signer.token_settings())
    }

    /// A verifier with the keys of a JWK set (RFC 7517), each with a `kid`.
    ///
    /// # Errors
    /// When there is no key, or one is not for Ed25519 (RFC 8037).
    pub fn from_jwks(jwks: &str, settings: &TokenSettings) -> anyhow::Result<Self> {
        let JwkSet { keys } = serde_json::from_str(jwks).context("cannot read the JSON")?;
        ensure!(!keys.is_empty(), "there is no key");
        let keys = keys.iter().map(named_key).collect::<anyhow::Result<_>>()?;
        Ok(Self(Arc::new(Inner { keys, validation: validation(settings) })))
    }

    /// What `token` says, if it is good at `now`.
    ///
    /// Keys that a token brings itself or points to (`jwk`, `jku`, `x5c`, `x5u`) are never used.
    ///
    /// # Errors
    /// Why it is not.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, InvalidToken> {
        let header = decode_header(token).map_err(|_| InvalidToken::Malformed)?;
        if header.crit.is_some() {
            return Err(InvalidToken::Malformed);
        }
        let key = header.kid.and_then(|kid| self.0.keys.get(&kid));
        let key = key.ok_or(InvalidToken::Signature)?;
        let token = decode::<Claims>(token, key, &self.0.validation).map_err(|e| reason(e.kind()))?;
        check_times(&token.claims, now.timestamp())?;
        Ok(token.claims)
    }
}

fn named_key(jwk: &Jwk) -> anyhow::Result<(String, DecodingKey)> {
    let kid = jwk.common.key_id.clone().context("a key has no kid")?;
    let AlgorithmParameters::OctetKeyPair(parameters) = &jwk.algorithm else {
        anyhow::bail!("the key {kid} is of another type than OKP");
    };
    ensure!(parameters.curve == EllipticCurve::Ed25519, "the key {kid} is not for Ed25519");
    Ok((kid, DecodingKey::from_jwk(jwk)?))
}

/// The library's clock is left out: times are checked against the caller's.
fn validation(settings: &TokenSettings) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[&settings.jwt_issuer]);
    validation.set_audience(&[&settings.jwt_audience]);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "nbf", "exp"]);
    validation.validate_exp = false;
    validation
}

fn reason(kind: &ErrorKind) -> InvalidToken {
    match kind {
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => InvalidToken::Malformed,
        ErrorKind::Json(_)
        | ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidIssuer
        | ErrorKind::InvalidAudience => InvalidToken::Claims,
        _ => InvalidToken::Signature,
    }
}

fn check_times(claims: &Claims, now: i64) -> Result<(), InvalidToken> {
    if claims.exp <= now.saturating_sub(LEEWAY_S) {
        return Err(InvalidToken::Expired);
    }
    if claims.nbf.max(claims.iat) > now.saturating_add(LEEWAY_S) {
        return Err(InvalidToken::NotYetValid);
    }
    Ok(())
}
