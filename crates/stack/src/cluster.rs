//! What a PostgreSQL server works on: the files, and the programs of the version that made them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::Durability;
use crate::owner::Owner;

pub(crate) const NAME: &str = "postgres";
pub(crate) const USER: &str = "vc";
pub(crate) const DATABASE: &str = "video_converter";

const PROGRAMS: &str = "/usr/lib/postgresql";
const INSTALL: &str = "PostgreSQL is not installed; run: sudo apt-get install -y --no-install-recommends postgresql";
const PATIENCE: Duration = Duration::from_mins(1);

/// A database cluster in `DIR/postgres/data`, which need not be there yet.
#[derive(Debug)]
pub(crate) struct Cluster {
    dir: PathBuf,
    bin: PathBuf,
    owner: Owner,
    durability: Durability,
}

impl Cluster {
    pub(crate) fn new(dir: &Path, durability: Durability) -> Result<Self> {
        let dir = dir.join(NAME);
        let owner = Owner::new(NAME)?;
        owner.make_dir(&dir)?;
        let bin = programs(Path::new(PROGRAMS), &dir.join("data"))?;
        Ok(Self { dir, bin, owner, durability })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// One of PostgreSQL's programs, with `death` as its signal when we die.
    pub(crate) fn command(&self, program: &str, death: &str) -> Command {
        self.owner.command(&self.bin.join(program), &self.dir, death)
    }

    /// Makes the cluster next to its place and moves it there when it is complete.
    pub(crate) async fn create(&self, password: &str) -> Result<()> {
        let (draft, pwfile) = (self.dir.join("draft"), self.dir.join("password"));
        if draft.exists() {
            std::fs::remove_dir_all(&draft)?;
        }
        self.owner.write(&pwfile, password)?;
        self.initdb(&draft, &pwfile).await?;
        std::fs::remove_file(&pwfile)?;
        self.single_user(&draft, &format!("CREATE DATABASE {DATABASE}\n")).await?;
        std::fs::rename(&draft, self.data()).context("cannot move the new database to its place")
    }

    async fn initdb(&self, data: &Path, pwfile: &Path) -> Result<()> {
        let mut command = self.command("initdb", "KILL");
        command.arg("-D").arg(data).arg("--pwfile").arg(pwfile);
        command.args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"]);
        if self.durability == Durability::Throwaway {
            command.arg("--no-sync");
        }
        let output = tokio::time::timeout(PATIENCE, command.output()).await.context("initdb takes too long")??;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Runs one statement without a server.
    async fn single_user(&self, data: &Path, statement: &str) -> Result<()> {
        let mut command = self.command("postgres", "KILL");
        command.arg("--single").arg("-D").arg(data).arg("postgres");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("a piped stdin is there")?;
        stdin.write_all(statement.as_bytes()).await?;
        drop(stdin);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.context("it takes too long")??;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && !errors.contains("ERROR"), "{statement}: {errors}");
        Ok(())
    }
}

/// The programs of the version that made `data`, or of the newest version there is.
fn programs(root: &Path, data: &Path) -> Result<PathBuf> {
    if let Ok(version) = std::fs::read_to_string(data.join("PG_VERSION")) {
        let bin = root.join(version.trim()).join("bin");
        ensure!(
            bin.join(NAME).exists(),
            "{} was made by PostgreSQL {}, which is not installed",
            data.display(),
            version.trim()
        );
        return Ok(bin);
    }
    let versions = std::fs::read_dir(root).context(INSTALL)?.filter_map(|entry| number(&entry.ok()?.file_name()));
    let mut bins: Vec<(u32, PathBuf)> =
        versions.map(|version| (version, root.join(version.to_string()).join("bin"))).collect();
    bins.retain(|(_, bin)| bin.join(NAME).exists() && bin.join("initdb").exists());
    bins.into_iter().max().map(|(_, bin)| bin).context(INSTALL)
}

fn number(name: &OsStr) -> Option<u32> {
    name.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(versions: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for version in versions {
            let bin = root.path().join(version).join("bin");
            std::fs::create_dir_all(&bin).expect("a directory");
            for program in ["postgres", "initdb"] {
                std::fs::write(bin.join(program), "").expect("a file");
            }
        }
        root
    }

    #[test]
    fn new_data_is_made_by_the_newest_version() {
        let root = installed(&["9", "15", "13"]);
        let bin = programs(root.path(), Path::new("/nonexistent")).expect("PostgreSQL");
        assert_eq!(bin, root.path().join("15/bin"));
    }

    #[test]
    fn old_data_stays_with_its_version_and_says_so_when_that_is_gone() {
        let data = tempfile::tempdir().expect("a directory");
        std::fs::write(data.path().join("PG_VERSION"), "13\n").expect("a file");
        let both = installed(&["13", "15"]);
        assert_eq!(programs(both.path(), data.path()).expect("PostgreSQL"), both.path().join("13/bin"));
        let error = programs(installed(&["15"]).path(), data.path()).expect_err("no 13").to_string();
        assert!(error.contains("PostgreSQL 13, which is not installed"), "{error}");
    }

    #[test]
    fn a_machine_without_postgresql_is_told_what_to_install() {
        let error = programs(installed(&[]).path(), Path::new("/nonexistent")).expect_err("nothing there");
        assert!(error.to_string().contains("apt-get install"), "{error}");
    }
}
