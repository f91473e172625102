//! The function as a program of its own: Knative, Lambda, or a container anywhere.

use auth::Verifier;
use axum::extract::FromRef;
use objects::Objects;
use queue::Publisher;
use store::{Quota, Store};
use upload::{Limits, Settings};

#[derive(Clone, FromRef)]
struct State {
    store: Store,
    objects: Objects,
    publisher: Publisher,
    verifier: Verifier,
    quota: Quota,
    limits: Limits,
}

fn main() -> std::process::ExitCode {
    service::run("upload", |settings: Settings, shutdown| async move {
        let state = State {
            store: Store::connect_lazy(&settings.store)?,
            objects: Objects::new(&settings.objects),
            publisher: Publisher::new(&settings.queue),
            verifier: Verifier::from_settings(&settings.auth)?,
            quota: settings.quota,
            limits: settings.limits,
        };
        let router = service::http::wrap(upload::router().with_state(state), "upload");
        service::serve::run(router, &settings.service.serve, shutdown).await
    })
}
