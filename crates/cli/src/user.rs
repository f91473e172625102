//! `video-converter user`: who may log in.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail};
use auth::Hasher;
use clap::{Args, Subcommand};
use store::{Store, User};

use crate::accounts;

/// What to do, and where the users are.
#[derive(Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    store: store::Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Adds a user. The password is the first line of standard input, or generated and printed.
    Add {
        /// The e-mail address to log in with.
        email: String,
        /// May administrate.
        #[arg(long)]
        admin: bool,
    },
    /// Sets a new password: the first line of standard input, or generated and printed.
    Passwd {
        /// The user's e-mail address.
        email: String,
    },
    /// Keeps a user from logging in and uploading; jobs and audio stay.
    Disable {
        /// The user's e-mail address.
        email: String,
    },
    /// Lets a disabled user in again.
    Enable {
        /// The user's e-mail address.
        email: String,
    },
    /// Prints all users.
    List,
}

pub(crate) async fn obey(settings: Settings) -> anyhow::Result<()> {
    let store = Store::connect_lazy(&settings.store)?;
    match settings.command {
        Command::Add { email, admin } => {
            let password = password()?;
            let hash = Hasher::new().hash(password.text.clone()).await?;
            store.add_user(&email, &hash, admin).await?;
            println!("added {email}");
            password.tell();
        }
        Command::Passwd { email } => {
            let user = find(&store, &email).await?;
            let password = password()?;
            store.set_password_hash(user.id, &Hasher::new().hash(password.text.clone()).await?).await?;
            println!("changed the password of {}", user.email);
            password.tell();
        }
        Command::Disable { email } => {
            let user = find(&store, &email).await?;
            store.set_disabled(user.id, true).await?;
            println!("disabled {}; tokens that were handed out can still look and download until they end", user.email);
        }
        Command::Enable { email } => {
            let user = find(&store, &email).await?;
            store.set_disabled(user.id, false).await?;
            println!("enabled {}", user.email);
        }
        Command::List => list(&store.users().await?),
    }
    Ok(())
}

async fn find(store: &Store, email: &str) -> anyhow::Result<User> {
    store.user_by_email(email).await?.with_context(|| format!("there is no user {email}"))
}

fn list(users: &[User]) {
    for user in users {
        let role = if user.admin { "admin" } else { "user" };
        let state = if user.disabled { "disabled" } else { "enabled" };
        println!("{}\t{role}\t{state}\t{}", user.email, user.created_at.format("%Y-%m-%d"));
    }
}

struct Password {
    text: String,
    generated: bool,
}

impl Password {
    fn tell(&self) {
        if self.generated {
            println!("password: {}", self.text);
        }
    }
}

/// From a pipe, so that it appears in no process list and no shell history.
fn password() -> anyhow::Result<Password> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Ok(Password { text: accounts::generate_password(), generated: true });
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).context("cannot read the password from standard input")?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => Ok(Password { text: accounts::generate_password(), generated: true }),
        text if text.len() < accounts::MIN_PASSWORD_BYTES => {
            bail!("a password has at least {} bytes", accounts::MIN_PASSWORD_BYTES)
        }
        text => Ok(Password { text: text.to_owned(), generated: false }),
    }
}
