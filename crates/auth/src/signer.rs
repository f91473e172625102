use std::{sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};
use secrecy::{ExposeSecret, SecretString};
use service::config::duration;
use uuid::Uuid;

use crate::{Caller, Claims, TokenSettings};

/// How tokens are signed.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct SignerSettings {
    /// Ed25519 private key that signs tokens: PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` makes it.
    #[arg(long, env = "JWT_PRIVATE_KEY", hide_env_values = true)]
    pub jwt_private_key: SecretString,

    /// How long a token is good for.
    #[arg(long, env = "TOKEN_TTL", default_value = "1h", value_parser = duration)]
    pub token_ttl: Duration,

    /// What tokens say of themselves.
    #[command(flatten)]
    pub token: TokenSettings,
}

/// Makes tokens; clones share one key.
#[derive(Clone)]
pub struct Signer(Arc<Inner>);

struct Inner {
    key: EncodingKey,
    header: Header,
    jwks: String,
    settings: SignerSettings,
}

impl Signer {
    /// A signer as configured.
    ///
    /// # Errors
    /// When the key is not an Ed25519 key in PEM.
    pub fn from_settings(settings: &SignerSettings) -> anyhow::Result<Self> {
        // Environment files cannot hold a line break, so `\n` may stand for one.
        let pem = settings.jwt_private_key.expose_secret().replace("\\n", "\n");
        let key = EncodingKey::from_ed_pem(pem.trim().as_bytes());
        let key = key.context("JWT_PRIVATE_KEY is not an Ed25519 key in PEM")?;
        let jwk = public_jwk(&key).context("JWT_PRIVATE_KEY has no public half")?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid.clone_from(&jwk.common.key_id);
        let jwks = serde_json::to_string(&JwkSet { keys: vec![jwk] })?;
        Ok(Self(Arc::new(Inner { key, header, jwks, settings: settings.clone() })))
    }

    /// A signer of this key.
    ///
    /// # Errors
    /// As [`Signer::from_settings`].
    pub fn from_pem(pem: &SecretString, token: TokenSettings, token_ttl: Duration) -> anyhow::Result<Self> {
        Self::from_settings(&SignerSettings { jwt_private_key: pem.clone(), token_ttl, token })
    }

    /// A token for `caller`, good from `now` on for [`Signer::ttl`].
    ///
    /// # Panics
    /// Never: the key was checked when it was read, and the claims are plain data.
    pub fn sign(&self, caller: &Caller, now: DateTime<Utc>) -> String {
        let Inner { key, header, settings, .. } = &*self.0;
        let iat = now.timestamp();
        let claims = Claims {
            iss: settings.token.jwt_issuer.clone(),
            aud: settings.token.jwt_audience.clone(),
            sub: caller.user_id,
            username: caller.username.clone(),
            admin: caller.admin,
            iat,
            nbf: iat,
            exp: iat.saturating_add_unsigned(settings.token_ttl.as_secs()),
            jti: Uuid::new_v4(),
        };
        jsonwebtoken::encode(header, &claims, key).expect("a checked key signs plain claims")
    }

    /// How long a token is good for.
    pub fn ttl(&self) -> Duration {
        self.0.settings.token_ttl
    }

    /// The public key as a JWK set (RFC 7517), in JSON.
    pub fn jwks(&self) -> &str {
        &self.0.jwks
    }

    /// What is said of the tokens that this makes.
    pub fn token_settings(&self) -> &TokenSettings {
        &self.0.settings.token
    }
}

/// The public half, named by its thumbprint (RFC 7638), so that the same key has the same name everywhere.
fn public_jwk(key: &EncodingKey) -> jsonwebtoken::errors::Result<Jwk> {
    let mut jwk = Jwk::from_encoding_key(key, Algorithm::EdDSA)?;
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256)?);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}
