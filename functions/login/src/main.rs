//! The function as a program of its own: Knative, Lambda, or a container anywhere.

use auth::{Hasher, Signer, Verifier};
use axum::extract::FromRef;
use login::Settings;
use store::Store;

#[derive(Clone, FromRef)]
struct State {
    store: Store,
    hasher: Hasher,
    signer: Signer,
    verifier: Verifier,
}

fn main() -> std::process::ExitCode {
    service::run("login", |settings: Settings, shutdown| async move {
        let signer = Signer::from_settings(&settings.auth)?;
        let state = State {
            store: Store::connect_lazy(&settings.store)?,
            hasher: Hasher::new(),
            verifier: Verifier::of(&signer)?,
            signer,
        };
        let router = service::http::wrap(login::router().with_state(state), "login");
        service::serve::run(router, &settings.service.serve, shutdown).await
    })
}
