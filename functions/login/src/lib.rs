//! Function 1: an e-mail and a password in, a token out.
//!
//! - `POST /login` (HTTP Basic) answers the token as plain text, so that `TOKEN=$(curl ...)` works,
//!   or as JSON if asked for.
//! - `POST /validate` (bearer token) answers what the token says.
//! - `GET /.well-known/jwks.json` answers the public key that tokens are verified with.

mod config;
mod handler;

use auth::{Hasher, Signer, Verifier};
use axum::{
    Router,
    extract::FromRef,
    routing::{get, post},
};
use store::Store;

pub use config::Settings;

/// The routes, for any state that holds what they need.
pub fn router<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Store: FromRef<S>,
    Hasher: FromRef<S>,
    Signer: FromRef<S>,
    Verifier: FromRef<S>,
{
    Router::new()
        .route("/login", post(handler::login))
        .route("/validate", post(handler::validate))
        .route("/.well-known/jwks.json", get(handler::jwks))
}
