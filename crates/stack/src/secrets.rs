use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rand::distr::{Alphanumeric, SampleString as _};
use serde::{Deserialize, Serialize};

const FILE: &str = "secrets.json";
const LENGTH: usize = 32;

/// The passwords of one data directory: random, made once, readable by their owner only.
#[derive(Serialize, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) database: String,
    pub(crate) broker: String,
    pub(crate) s3_access_key: String,
    pub(crate) s3_secret_key: String,
}

impl Secrets {
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        match std::fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json).with_context(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::random().write(dir),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn random() -> Self {
        let secret = || Alphanumeric.sample_string(&mut rand::rng(), LENGTH);
        Self { database: secret(), broker: secret(), s3_access_key: secret(), s3_secret_key: secret() }
    }

    /// All or nothing: a temporary file has mode 0600 and is renamed when it is complete.
    fn write(self, dir: &Path) -> Result<Self> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec_pretty(&self)?)?;
        file.as_file().sync_all()?;
        file.persist(dir.join(FILE))?;
        Ok(self)
    }
}
