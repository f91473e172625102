//! Passwords: Argon2id by OWASP's parameters, a bounded number at a time.

use std::{num::NonZero, sync::Arc, thread::available_parallelism, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::phc::PasswordHash,
};
use axum::http::StatusCode;
use service::Problem;
use tokio::{sync::Semaphore, task::spawn_blocking};

/// OWASP's minimum: 19 MiB, two passes, one lane. About 27 ms on one core.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Longer ones are refused: nobody types them, and hashing them costs.
pub const MAX_PASSWORD_BYTES: usize = 128;

/// Every hash takes 19 MiB and a core; more than this many must come back later.
const MAX_WAITING: usize = 64;

/// Verified in place of a hash that does not exist, for the same time to pass. Nobody knows its password.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$@SALT@";

/// How a password compares with a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another password, or no such user.
    Wrong,
    /// The password.
    Right,
    /// The password, but the hash was made with other parameters: hash it anew.
    RightButStale,
}

/// Too many passwords are waiting to be hashed; answered as 503 `busy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many logins at once")]
pub struct Busy;

impl From<Busy> for Problem {
    fn from(_: Busy) -> Self {
        let detail = "Too many logins at once; try again in a second.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
            .retry_after(Duration::from_secs(1))
    }
}

/// Why a password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHashed {
    /// Too many are waiting.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Longer than [`MAX_PASSWORD_BYTES`].
    #[error("the password is longer than {MAX_PASSWORD_BYTES} bytes")]
    TooLong,
}

/// Hashes and verifies passwords on the blocking pool; clones share the bounds.
#[derive(Clone, Debug)]
pub struct Hasher {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self::bounded(cores, MAX_WAITING)
    }
}

impl Hasher {
    /// A hasher that hashes one password per core at a time.
    pub fn new() -> Self {
        Self::default()
    }

    /// A hasher that hashes `at_once` passwords at a time and lets `waiting` more wait.
    pub fn bounded(at_once: usize, waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(at_once)),
            admitted: Arc::new(Semaphore::new(at_once + waiting)),
        }
    }

    /// The password's hash, as a PHC string with a salt of its own.
    ///
    /// # Errors
    /// [`NotHashed`].
    pub async fn hash(&self, password: String) -> Result<String, NotHashed> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(NotHashed::TooLong);
        }
        Ok(self.run(move || hash(&password)).await?)
    }

    /// Compares `password` with a stored hash; `None`, for a user that does not exist, is
    /// [`Verdict::Wrong`] in the same time.
    ///
    /// # Errors
    /// [`Busy`] when too many are waiting.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<Verdict, Busy> {
        self.run(move || verify(&password, stored.as_deref())).await
    }

    /// The permits go with the work: a client that gives up does not make room before it is done.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let admitted = self
            .admitted
            .clone()
            .try_acquire_owned()
            .map_err(|_| Busy)?;
        let running = self
            .running
            .clone()
            .acquire_owned()
            .await
            .expect("never closed");
        let done = spawn_blocking(move || {
            let done = work();
            drop((running, admitted));
            done
        });
        Ok(done.await.expect("hashing does not panic"))
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("constants within bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> String {
    let hash = argon2().hash_password(password.as_bytes());
    hash.expect("a salt of the system's randomness and a short password")
        .to_string()
}

fn verify(password: &str, stored: Option<&str>) -> Verdict {
    // A password that can never be right costs the same time as any other.
    let possible = stored.filter(|_| password.len() <= MAX_PASSWORD_BYTES);
    let password = &password.as_bytes()[..password.len().min(MAX_PASSWORD_BYTES)];
    let known = possible.and_then(parse);
    let dummy = || PasswordHash::new(DUMMY).expect("a valid constant");
    let (expected, exists) = known.map_or_else(|| (dummy(), false), |hash| (hash, true));
    let same = argon2().verify_password(password, &expected).is_ok();
    match (same && exists, is_current(&expected)) {
        (false, _) => Verdict::Wrong,
        (true, true) => Verdict::Right,
        (true, false) => Verdict::RightButStale,
    }
}

fn parse(stored: &str) -> Option<PasswordHash> {
    PasswordHash::new(stored)
        .inspect_err(|error| tracing::error!(%error, "a stored password hash is not a PHC string"))
        .ok()
}

fn is_current(hash: &PasswordHash) -> bool {
    let same_params = Params::try_from(hash).is_ok_and(|params| {
        (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES)
    });
    let algorithm = Algorithm::Argon2id.ident();
    same_params && hash.algorithm == algorithm && hash.version == Some(Version::V0x13.into())
}
