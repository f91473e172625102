use anyhow::anyhow;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::SecretString;

/// A new Ed25519 private key as PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` makes it.
///
/// # Errors
/// When the system has no randomness.
pub fn generate_private_key_pem() -> anyhow::Result<SecretString> {
    let key = Ed25519KeyPair::generate().map_err(|_| anyhow!("cannot generate a key"))?;
    let der = key.to_pkcs8v1().map_err(|_| anyhow!("cannot encode the new key"))?;
    // 48 bytes of DER are 64 characters of base64: one line.
    let text = STANDARD.encode(der);
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n").into())
}
