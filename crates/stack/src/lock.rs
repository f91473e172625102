use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

const FILE: &str = "lock";

/// Makes this process the only one that works in `dir`, until the file is closed, by whatever means.
pub(crate) fn acquire(dir: &Path) -> Result<File> {
    let path = dir.join(FILE);
    let mut file = open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = std::fs::read_to_string(&path).unwrap_or_default();
            bail!("already running in {} (pid {})", dir.display(), pid.trim());
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).context("cannot lock the data directory");
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// Tells whether a live process has a stack in `dir`.
pub fn is_running(dir: &Path) -> bool {
    File::open(dir.join(FILE)).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}
