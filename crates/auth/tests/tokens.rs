//! Tokens: what is accepted, and everything that is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use auth::{Caller, Claims, InvalidToken, Signer, TokenSettings, Verifier, generate_private_key_pem};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

/// A key, its signer and its verifier, and a moment.
struct Fixture {
    pem: SecretString,
    signer: Signer,
    verifier: Verifier,
    now: DateTime<Utc>,
}

fn settings() -> TokenSettings {
    TokenSettings { jwt_issuer: "video-converter".into(), jwt_audience: "here".into() }
}

fn fixture() -> Fixture {
    let pem = generate_private_key_pem().unwrap();
    let signer = Signer::from_pem(&pem, settings(), Duration::from_hours(1)).unwrap();
    let verifier = Verifier::of(&signer).unwrap();
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    Fixture { pem, signer, verifier, now }
}

fn caller() -> Caller {
    Caller { user_id: Uuid::from_u128(7), username: "me@example.com".into(), admin: true }
}

impl Fixture {
    fn kid(&self) -> String {
        let jwks: Value = serde_json::from_str(self.signer.jwks()).unwrap();
        jwks["keys"][0]["kid"].as_str().unwrap().to_owned()
    }

    fn header(&self, algorithm: Algorithm) -> Header {
        Header { kid: Some(self.kid()), ..Header::new(algorithm) }
    }

    fn key(&self) -> EncodingKey {
        EncodingKey::from_ed_pem(self.pem.expose_secret().as_bytes()).unwrap()
    }

    /// Claims that are good now.
    fn claims(&self) -> Value {
        let now = self.now.timestamp();
        json!({
            "iss": "video-converter", "aud": "here", "sub": Uuid::from_u128(7),
            "username": "me@example.com", "admin": true,
            "iat": now, "nbf": now, "exp": now + 3600, "jti": Uuid::from_u128(9),
        })
    }

    /// What comes of good claims in which one is replaced.
    fn verify_with(&self, claim: &str, value: impl Into<Value>) -> Result<Claims, InvalidToken> {
        let mut claims = self.claims();
        claims[claim] = value.into();
        self.verify(&claims)
    }

    fn verify(&self, claims: &Value) -> Result<Claims, InvalidToken> {
        let token = encode(&self.header(Algorithm::EdDSA), claims, &self.key()).unwrap();
        self.verifier.verify(&token, self.now)
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn a_signed_token_says_who_it_is_for_and_how_long() {
    let fixture = fixture();
    let token = fixture.signer.sign(&caller(), fixture.now);
    let claims = fixture.verifier.verify(&token, fixture.now).unwrap();
    assert_eq!((claims.sub, claims.username.as_str()), (Uuid::from_u128(7), "me@example.com"));
    assert!(claims.admin);
    assert_eq!((claims.iss.as_str(), claims.aud.as_str()), ("video-converter", "here"));
    assert_eq!((claims.exp - claims.iat, claims.nbf), (3600, claims.iat));
    let again = fixture.signer.sign(&caller(), fixture.now);
    assert_ne!(token, again, "each token has its own id");
}

#[test]
fn the_claims_of_these_tests_are_good_before_they_are_spoilt() {
    let fixture = fixture();
    assert!(fixture.verify(&fixture.claims()).is_ok());
}

#[test]
fn a_token_is_good_until_it_expires_give_or_take_15_seconds() {
    let fixture = fixture();
    let token = fixture.signer.sign(&caller(), fixture.now);
    let after = |seconds| fixture.verifier.verify(&token, fixture.now + TimeDelta::seconds(seconds));
    assert!(after(3600 + 14).is_ok());
    assert_eq!(after(3600 + 15), Err(InvalidToken::Expired));
    assert!(after(-15).is_ok());
    assert_eq!(after(-16), Err(InvalidToken::NotYetValid));
}

#[test]
fn a_token_from_the_future_is_refused() {
    let fixture = fixture();
    let future = fixture.now.timestamp() + 60;
    assert_eq!(fixture.verify_with("nbf", future), Err(InvalidToken::NotYetValid));
    assert_eq!(fixture.verify_with("iat", future), Err(InvalidToken::NotYetValid));
}

#[test]
fn times_of_another_type_are_refused() {
    let fixture = fixture();
    let far = (fixture.now.timestamp() + 3600).to_string();
    for claim in ["exp", "nbf", "iat"] {
        assert_eq!(fixture.verify_with(claim, far.clone()), Err(InvalidToken::Claims), "{claim}");
        assert_eq!(fixture.verify_with(claim, Value::Null), Err(InvalidToken::Claims), "{claim}");
    }
}

#[test]
fn every_claim_is_required() {
    let fixture = fixture();
    let names: Vec<_> = fixture.claims().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names.len(), 9);
    for name in names {
        let mut claims = fixture.claims();
        claims.as_object_mut().unwrap().remove(&name);
        assert_eq!(fixture.verify(&claims), Err(InvalidToken::Claims), "without {name}");
    }
}

#[test]
fn a_token_for_or_of_somebody_else_is_refused() {
    let fixture = fixture();
    assert_eq!(fixture.verify_with("aud", "there"), Err(InvalidToken::Claims));
    assert_eq!(fixture.verify_with("aud", json!(["here", "there"])), Err(InvalidToken::Claims));
    assert_eq!(fixture.verify_with("iss", "somebody"), Err(InvalidToken::Claims));
    assert_eq!(fixture.verify_with("sub", "not a uuid"), Err(InvalidToken::Claims));
}

#[test]
fn algorithm_none_is_refused() {
    let fixture = fixture();
    let header = json!({ "typ": "JWT", "alg": "none", "kid": fixture.kid() });
    for signature in ["", "AAAA"] {
        let token = format!("{}.{}.{signature}", part(&header), part(&fixture.claims()));
        let refused = fixture.verifier.verify(&token, fixture.now);
        assert_eq!(refused, Err(InvalidToken::Malformed));
    }
}

#[test]
fn the_public_key_is_no_shared_secret() {
    let fixture = fixture();
    let jwks: Value = serde_json::from_str(fixture.signer.jwks()).unwrap();
    let x = jwks["keys"][0]["x"].as_str().unwrap();
    let raw = URL_SAFE_NO_PAD.decode(x).unwrap();
    for secret in [raw.as_slice(), x.as_bytes(), fixture.signer.jwks().as_bytes()] {
        let key = EncodingKey::from_secret(secret);
        let token = encode(&fixture.header(Algorithm::HS256), &fixture.claims(), &key).unwrap();
        let refused = fixture.verifier.verify(&token, fixture.now);
        assert_eq!(refused, Err(InvalidToken::Signature));
    }
}

#[test]
fn another_key_is_refused_under_its_own_name_under_ours_and_without_one() {
    let (fixture, other) = (fixture(), self::fixture());
    let refused = fixture.verifier.verify(&other.signer.sign(&caller(), other.now), fixture.now);
    assert_eq!(refused, Err(InvalidToken::Signature));
    let unnamed = Header::new(Algorithm::EdDSA);
    for (header, key) in [(fixture.header(Algorithm::EdDSA), other.key()), (unnamed, fixture.key())] {
        let token = encode(&header, &fixture.claims(), &key).unwrap();
        let refused = fixture.verifier.verify(&token, fixture.now);
        assert_eq!(refused, Err(InvalidToken::Signature));
    }
}

#[test]
fn a_key_that_the_token_brings_itself_is_ignored() {
    let (fixture, attacker) = (fixture(), self::fixture());
    let jwks: Value = serde_json::from_str(attacker.signer.jwks()).unwrap();
    let mut header = attacker.header(Algorithm::EdDSA);
    header.jwk = Some(serde_json::from_value(jwks["keys"][0].clone()).unwrap());
    header.jku = Some("https://attacker.example/jwks.json".into());
    for kid in [attacker.kid(), fixture.kid()] {
        header.kid = Some(kid);
        let token = encode(&header, &fixture.claims(), &attacker.key()).unwrap();
        let refused = fixture.verifier.verify(&token, fixture.now);
        assert_eq!(refused, Err(InvalidToken::Signature));
    }
}

#[test]
fn a_changed_token_is_refused() {
    let fixture = fixture();
    let token = fixture.signer.sign(&caller(), fixture.now);
    let (head, signature) = token.rsplit_once('.').unwrap();
    let mut claims = fixture.claims();
    claims["username"] = "you@example.com".into();
    let forged = format!("{}.{}.{signature}", head.split_once('.').unwrap().0, part(&claims));
    assert_eq!(fixture.verifier.verify(&forged, fixture.now), Err(InvalidToken::Signature));
    for garbled in ["", "a.b", "a.b.c", &token[1..], head] {
        let refused = fixture.verifier.verify(garbled, fixture.now);
        assert_eq!(refused, Err(InvalidToken::Malformed), "{garbled}");
    }
}

#[test]
fn a_critical_extension_that_we_do_not_know_is_refused() {
    let fixture = fixture();
    let mut header = fixture.header(Algorithm::EdDSA);
    header.crit = Some(vec!["b64".into()]);
    let token = encode(&header, &fixture.claims(), &fixture.key()).unwrap();
    assert_eq!(fixture.verifier.verify(&token, fixture.now), Err(InvalidToken::Malformed));
}

#[test]
fn during_a_rotation_the_tokens_of_both_keys_are_good() {
    let (old, new) = (fixture(), fixture());
    let key = |fixture: &Fixture| -> Value {
        serde_json::from_str::<Value>(fixture.signer.jwks()).unwrap()["keys"][0].clone()
    };
    let both = json!({ "keys": [key(&old), key(&new)] }).to_string();
    let verifier = Verifier::from_jwks(&both, &settings()).unwrap();
    for fixture in [old, new] {
        let token = fixture.signer.sign(&caller(), fixture.now);
        assert!(verifier.verify(&token, fixture.now).is_ok());
    }
}

/// The key and its thumbprint are those of RFC 8037, appendix A.
#[test]
fn a_key_is_named_by_its_thumbprint() {
    let der = "302e020100300506032b657004220420\
               9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let bytes: Vec<u8> =
        (0..der.len()).step_by(2).map(|at| u8::from_str_radix(&der[at..at + 2], 16).unwrap()).collect();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----\\n",
        base64::engine::general_purpose::STANDARD.encode(bytes)
    );
    let signer = Signer::from_pem(&pem.into(), settings(), Duration::from_secs(1)).unwrap();
    let jwks: Value = serde_json::from_str(signer.jwks()).unwrap();
    let expected = json!({ "keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    }] });
    assert_eq!(jwks, expected);
}

#[test]
fn keys_that_are_no_keys_are_refused_when_they_are_read() {
    let ttl = Duration::from_secs(1);
    assert!(Signer::from_pem(&"nonsense".into(), settings(), ttl).is_err());
    let symmetric = r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"a","alg":"HS256"}]}"#;
    let unnamed = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    for jwks in ["", "{}", r#"{"keys":[]}"#, symmetric, unnamed] {
        assert!(Verifier::from_jwks(jwks, &settings()).is_err(), "{jwks}");
    }
}
