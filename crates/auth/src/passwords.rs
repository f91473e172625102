//! Passwords: Argon2id by OWASP's parameters, a bounded number at a time.

use std::{num::NonZero, sync::Arc, thread::available_parallelism, time::Duration};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version, password_hash::phc::PasswordHash};
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
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$6Ti62nSpbskiVe9fPhaI/g$vP/zyLFEaEunEQF04WckfE4WhSDX4uhUuJCiF3C8lC0";

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
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(Duration::from_secs(1))
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
        Self { running: Arc::new(Semaphore::new(at_once)), admitted: Arc::new(Semaphore::new(at_once + waiting)) }
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
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| Busy)?;
        let running = self.running.clone().acquire_owned().await.expect("never closed");
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
    hash.expect("a salt of the system's randomness and a short password").to_string()
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
    let same_params = Params::try_from(hash)
        .is_ok_and(|params| (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES));
    let algorithm = Algorithm::Argon2id.ident();
    same_params && hash.algorithm == algorithm && hash.version == Some(Version::V0x13.into())
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::Pin, task::Poll};

    use super::*;

    fn hash_with(params: Params, password: &str) -> String {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password(password.as_bytes()).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_password_is_right_for_its_own_hash_only() {
        let hasher = Hasher::new();
        let hash = hasher.hash("sesame".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let verdict = hasher.verify("sesame".into(), Some(hash.clone())).await;
        assert_eq!(verdict, Ok(Verdict::Right));
        let verdict = hasher.verify("Sesame".into(), Some(hash.clone())).await;
        assert_eq!(verdict, Ok(Verdict::Wrong));
        assert_ne!(hasher.hash("sesame".into()).await.unwrap(), hash, "each hash has its own salt");
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_is_right_but_stale() {
        let stale = hash_with(Params::new(8192, 3, 1, None).unwrap(), "sesame");
        let verdict = Hasher::new().verify("sesame".into(), Some(stale)).await;
        assert_eq!(verdict, Ok(Verdict::RightButStale));
    }

    #[tokio::test]
    async fn without_a_user_every_password_is_wrong() {
        let hasher = Hasher::new();
        for password in ["", "sesame", &"x".repeat(500)] {
            assert_eq!(hasher.verify(password.into(), None).await, Ok(Verdict::Wrong));
        }
    }

    #[test]
    fn the_dummy_costs_what_a_real_hash_costs() {
        assert!(is_current(&PasswordHash::new(DUMMY).unwrap()));
        let real = PasswordHash::new(&hash("x")).unwrap();
        let dummy = PasswordHash::new(DUMMY).unwrap();
        assert_eq!(dummy.hash.unwrap().len(), real.hash.unwrap().len());
    }

    #[tokio::test]
    async fn a_password_over_the_limit_is_wrong_even_if_its_beginning_is_right() {
        let hasher = Hasher::new();
        let longest = "x".repeat(MAX_PASSWORD_BYTES);
        let hash = hasher.hash(longest.clone()).await.unwrap();
        let verdict = hasher.verify(longest.clone(), Some(hash.clone())).await;
        assert_eq!(verdict, Ok(Verdict::Right));
        let verdict = hasher.verify(longest.clone() + "x", Some(hash)).await;
        assert_eq!(verdict, Ok(Verdict::Wrong));
        assert_eq!(hasher.hash(longest + "x").await, Err(NotHashed::TooLong));
    }

    #[tokio::test]
    async fn a_stored_hash_that_is_none_is_wrong() {
        let verdict = Hasher::new().verify("sesame".into(), Some("sesame".into())).await;
        assert_eq!(verdict, Ok(Verdict::Wrong));
    }

    #[tokio::test]
    async fn beyond_the_bound_the_answer_is_busy_at_once() {
        let hasher = Hasher::bounded(1, 1);
        // Nothing is awaited in between, so that neither of the first two can be done.
        let mut first = Box::pin(hasher.verify("a".into(), None));
        let mut second = Box::pin(hasher.verify("b".into(), None));
        assert!(begun(first.as_mut()).await && begun(second.as_mut()).await);
        assert_eq!(hasher.verify("c".into(), None).await, Err(Busy));
        assert_eq!((first.await, second.await), (Ok(Verdict::Wrong), Ok(Verdict::Wrong)));
        assert_eq!(hasher.verify("c".into(), None).await, Ok(Verdict::Wrong));
    }

    #[tokio::test]
    async fn a_client_that_gives_up_makes_no_room_before_its_hash_is_done() {
        let hasher = Hasher::bounded(1, 0);
        let mut abandoned = Box::pin(hasher.verify("a".into(), None));
        assert!(begun(abandoned.as_mut()).await);
        drop(abandoned);
        assert_eq!(hasher.verify("b".into(), None).await, Err(Busy));
    }

    /// Polls once; what hashes has begun then.
    async fn begun<F: Future>(mut work: Pin<&mut F>) -> bool {
        poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_pending())).await
    }
}
