//! Function 3: takes queued jobs and makes audio of them.

mod attempt;
mod config;
mod s3;
mod worker;

pub use config::{Settings, WorkerSettings};
pub use worker::Worker;
