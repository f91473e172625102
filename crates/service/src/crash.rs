//! Crash points: named places between two lines, where a test can end the process.

/// Ends the process here, as `kill -9` would, if `CRASH_AT` is `name`.
///
/// Lets a test kill a process between two exact lines and see what the next one makes of it.
/// A release build has no crash points.
pub fn point(name: &str) {
    if cfg!(debug_assertions) && std::env::var_os("CRASH_AT").is_some_and(|wanted| wanted == name) {
        eprintln!("crash point {name}: aborting");
        std::process::abort();
    }
}
