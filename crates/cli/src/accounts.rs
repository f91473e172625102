//! Passwords made here, and the first account of a new system.

use anyhow::Context;
use auth::Hasher;
use rand::{Rng, distr::Alphanumeric};
use store::Store;

/// Shorter ones are refused (NIST SP 800-63B, 5.1.1.2).
pub(crate) const MIN_PASSWORD_BYTES: usize = 8;

/// About 119 bits.
const GENERATED_CHARS: usize = 20;
const DEFAULT_EMAIL: &str = "admin@example.com";

/// A password that nobody has to remember.
pub(crate) fn generate_password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(GENERATED_CHARS).map(char::from).collect()
}

/// The account to log in with, as far as it can be told.
pub(crate) struct Account {
    pub(crate) email: String,
    /// Known when it was given or just made.
    pub(crate) password: Option<String>,
    /// Made just now: this is the one time to show it.
    pub(crate) generated: bool,
}

/// Sees to it that somebody can log in: the given account, else one that is made for the first start.
pub(crate) async fn ensure_admin(
    store: &Store,
    hasher: &Hasher,
    email: Option<&str>,
    password: Option<&str>,
) -> anyhow::Result<Account> {
    let first = store.users().await?.into_iter().next();
    let email = match (email, first) {
        (Some(email), _) => email.to_owned(),
        (None, Some(first)) => {
            return Ok(Account { email: first.email, password: None, generated: false });
        }
        (None, None) => DEFAULT_EMAIL.to_owned(),
    };
    let known = store.user_by_email(&email).await?;
    if known.is_some() && password.is_none() {
        return Ok(Account { email, password: None, generated: false });
    }
    let generated = password.is_none();
    let password = password.map_or_else(generate_password, str::to_owned);
    let hash = hasher.hash(password.clone()).await.context("cannot hash the password")?;
    match known {
        Some(user) => store.set_password_hash(user.id, &hash).await?,
        None => drop(store.add_user(&email, &hash, true).await.with_context(|| format!("cannot add {email}"))?),
    }
    Ok(Account { email, password: Some(password), generated })
}
