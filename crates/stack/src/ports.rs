use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use rand::Rng as _;

/// Below Linux' ephemeral ports (32768 and up): no outgoing connection can take such a port while its server is down,
/// and a client that retries cannot end up connected to itself.
const RANGE: std::ops::Range<u16> = 12_000..32_000;
const ATTEMPTS: usize = 100;

/// What was handed out stays taken, although its server may not listen yet, or no more.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A TCP port of 127.0.0.1 that nothing listens on at this moment, and that this process has not been given before.
///
/// # Errors
/// A hundred random ports were all taken.
pub fn free() -> Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..ATTEMPTS {
        let port = rand::rng().random_range(RANGE);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && given.insert(port) {
            return Ok(port);
        }
    }
    bail!("found no free port on 127.0.0.1 between {} and {}", RANGE.start, RANGE.end)
}

/// Tells from a server's last words that somebody else got its port between our choice and its start.
pub(crate) fn was_taken(error: &anyhow::Error) -> bool {
    let words = format!("{error:#}").to_lowercase();
    words.contains("address already in use") || words.contains("eaddrinuse")
}
