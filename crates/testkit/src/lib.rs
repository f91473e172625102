//! For tests only: real servers, clips, faults, and our own programs as child processes.
//!
//! All tests of a run share one stack of servers; each test takes a database, a virtual host and a bucket of its own,
//! so tests run in parallel and need no cleaning up. Everything here panics with a sentence rather than return an
//! error: a test cannot go on without it.

mod broker;
mod bucket;
pub mod clips;
mod database;
mod eventually;
mod pcm;
pub mod process;
pub mod proxy;
mod servers;
mod world;

pub use broker::{publish_raw, queue_depth, vhost};
pub use bucket::{Bucket, bucket, objects_in};
pub use database::{Database, database};
pub use eventually::eventually;
pub use pcm::Pcm;
pub use servers::{OwnStack, SHARED, own_stack, scratch_dir, stack};
pub use world::{PASSWORD, Person, World, world};

/// A port of 127.0.0.1 that nothing listens on.
///
/// # Panics
/// There is none.
pub fn free_port() -> u16 {
    stack::free_port().expect("a port is free")
}

/// A name that nothing else in the run has: letters and digits, starting with a letter, lower case.
fn unique(kind: &str) -> String {
    format!("{kind}{}", uuid::Uuid::new_v4().simple())
}
