//! `video-converter`: the whole system in one program, and its administration.

mod accounts;
mod clean;
mod reference;
mod run;
mod user;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use secrecy::ExposeSecret;

/// Turns uploaded videos into audio.
#[derive(Parser)]
#[command(name = "video-converter", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs everything on this machine: the four functions, PostgreSQL, RabbitMQ and S3.
    Run(Box<run::Settings>),
    /// Brings the database's schema to this version.
    Migrate(store::Settings),
    /// Administers the people who may log in.
    User(user::Settings),
    /// Erases what deleted and expired jobs and broken uploads left behind.
    Clean(clean::Settings),
    /// Sends the dead letters to the queue of conversions again.
    Redrive(queue::Settings),
    /// Prints every environment variable, as the table in the README.
    Variables,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(obey(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn obey(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(settings) => run::run(*settings).await,
        Command::Migrate(settings) => store::migrate(settings.database_url.expose_secret()).await,
        Command::User(settings) => user::obey(settings).await,
        Command::Clean(settings) => clean::obey(&settings).await,
        Command::Redrive(settings) => {
            let moved = queue::redrive(&settings).await?;
            println!("{moved} messages were sent to the queue `{}` again", queue::CONVERT);
            Ok(())
        }
        Command::Variables => {
            print!("{}", reference::table());
            Ok(())
        }
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("video-converter: {error:#}");
    ExitCode::FAILURE
}
