//! What every function has in common: configuration, telemetry, problems, serving and shutdown.
//!
//! A function's `main` is one call of [`run`]; everything else here is what that call puts
//! together, and what the handlers need: [`Problem`] for errors, [`metrics`] and [`trace`].

pub mod config;
pub mod crash;
mod function;
pub mod http;
pub mod metrics;
pub mod problem;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod trace;

pub use function::{Settings, run};
pub use problem::Problem;
pub use shutdown::Shutdown;
