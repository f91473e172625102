//! Who the servers run as, and the command line that makes it so.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::process::Command;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Without the secure bit, access(2), by which Erlang looks before it writes, takes no notice of the capability.
const PASS_CLOSED_DIRECTORIES: [&str; 3] =
    ["--securebits=+no_setuid_fixup", "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"];

/// The account of one server. Root steps down to another account (PostgreSQL refuses to run as root); anybody else
/// stays who they are.
#[derive(Debug)]
pub(crate) struct Owner {
    account: Option<Account>,
}

#[derive(Debug, PartialEq)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// `preferred` is the account that the server's package brought; `nobody` is there always.
    pub(crate) fn new(preferred: &str) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { account: None });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let account = find(&passwd, preferred).or_else(|| find(&passwd, "nobody"));
        Ok(Self { account: Some(account.context("there is no account to step down to")?) })
    }

    /// Makes `dir` if need be, for the account's eyes only.
    pub(crate) fn make_dir(&self, dir: &Path) -> Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("cannot make {}", dir.display()))?;
        self.give(dir)
    }

    /// Writes a file that only the account can read.
    pub(crate) fn write(&self, path: &Path, content: &str) -> Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        file.write_all(content.as_bytes())?;
        self.give(path)
    }

    fn give(&self, path: &Path) -> Result<()> {
        let Some(Account { uid, gid }) = self.account else {
            return Ok(());
        };
        chown(path, Some(uid), Some(gid)).with_context(|| format!("cannot give {} away", path.display()))
    }

    /// `program` as this account, in `dir`, in an environment and a process group of its own (so that a Ctrl-C in the
    /// terminal is for us alone), and with `death` as its signal when we die.
    ///
    /// `setpriv` sets that signal after the change of account, which would clear it.
    pub(crate) fn command(&self, program: &Path, dir: &Path, death: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.arg(format!("--pdeathsig={death}"));
        if let Some(Account { uid, gid }) = self.account {
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
            if !everybody_may_enter(dir) {
                command.args(PASS_CLOSED_DIRECTORIES);
            }
        }
        command.arg("--").arg(program);
        command.current_dir(dir).env_clear().env("PATH", PATH).env("HOME", dir).env("LC_ALL", "C");
        command.process_group(0).kill_on_drop(true).stdin(std::process::Stdio::null());
        command
    }
}

/// A server finds its files by their absolute path, so it must get through every directory above its own. Below
/// something like `/root`, only a capability helps.
fn everybody_may_enter(dir: &Path) -> bool {
    dir.ancestors().skip(1).all(|above| above.metadata().is_ok_and(|entry| entry.mode() & 0o001 != 0))
}

/// Looks `name` up in the text of a passwd(5) file.
fn find(passwd: &str, name: &str) -> Option<Account> {
    let mut fields = passwd.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
    Some(Account { uid: fields.nth(2)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:8:::\npostgres:x:101:104:PostgreSQL,,,:/var:/bin/bash\n";
        assert_eq!(find(passwd, "postgres"), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(find(passwd, "rabbitmq"), None);
    }

    #[test]
    fn a_directory_below_a_closed_one_is_seen_as_out_of_reach() -> Result<()> {
        let only_me = std::fs::Permissions::from_mode(0o700);
        let closed = tempfile::Builder::new().permissions(only_me).tempdir()?;
        assert!(!everybody_may_enter(&closed.path().join("data")));
        assert!(everybody_may_enter(Path::new("/usr/lib")));
        Ok(())
    }
}
