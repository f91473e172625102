use std::fs::Permissions;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;

use stack::{Addresses, Durability, Stack};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// The environment variable by which `with-stack` tells where the run's stack is: the path of a JSON file.
pub const SHARED: &str = "TEST_STACK";

const PREFIX: &str = "video-converter-test-";

/// The servers of this test run: those of `with-stack` if it runs us, else some of our own, which end with this
/// process.
///
/// # Panics
/// The servers do not start.
pub async fn stack() -> &'static Addresses {
    static SHARED_STACK: OnceCell<Addresses> = OnceCell::const_new();
    static PRIVATE_STACK: OnceCell<OwnStack> = OnceCell::const_new();
    match std::env::var_os(SHARED) {
        Some(path) => {
            SHARED_STACK
                .get_or_init(async || {
                    let json = std::fs::read(&path).expect("with-stack has written the file");
                    serde_json::from_slice(&json).expect("with-stack writes addresses")
                })
                .await
        }
        None => PRIVATE_STACK.get_or_init(own_stack).await,
    }
}

/// A stack for one test alone, which may kill its servers. Takes about 5 s to start: use it sparingly.
#[derive(Debug)]
pub struct OwnStack {
    stack: Stack,
    // After the stack: its servers are killed before their directory goes.
    _dir: TempDir,
}

impl Deref for OwnStack {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

/// Starts servers that nobody else uses. They are killed, and their data goes, when the value is dropped.
///
/// # Panics
/// The servers do not start.
pub async fn own_stack() -> OwnStack {
    let dir = scratch_dir();
    let stack = Stack::start(dir.path(), Durability::Throwaway).await.expect("the servers start");
    OwnStack { stack, _dir: dir }
}

/// A temporary directory for a stack. Clears away those whose process was killed.
///
/// # Panics
/// No directory can be made.
pub fn scratch_dir() -> TempDir {
    remove_orphans();
    let only_me = Permissions::from_mode(0o700);
    let dir = tempfile::Builder::new().prefix(PREFIX).permissions(only_me).tempdir();
    dir.expect("a temporary directory can be made")
}

/// One without a lock file is being made at this moment, by a test beside us.
fn remove_orphans() {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for dir in ours.map(|entry| entry.path()) {
        if dir.join("lock").exists() && !stack::is_running(&dir) {
            // Another process may be clearing the same directory: whoever is second finds it gone.
            std::fs::remove_dir_all(&dir).ok();
        }
    }
}
