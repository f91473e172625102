//! The function as a program of its own: Knative, Lambda, or a container anywhere.

use auth::Verifier;
use axum::extract::FromRef;
use download::{Limits, Settings};
use objects::Objects;
use queue::Publisher;
use service::shutdown::Shutdown;
use store::{Changes, Quota, Store};

#[derive(Clone, FromRef)]
struct State {
    store: Store,
    changes: Changes,
    objects: Objects,
    publisher: Publisher,
    verifier: Verifier,
    quota: Quota,
    limits: Limits,
    shutdown: Shutdown,
}

fn main() -> std::process::ExitCode {
    service::run("download", |settings: Settings, shutdown| async move {
        let store = Store::connect_lazy(&settings.store)?;
        let state = State {
            changes: Changes::listen(store.clone()),
            store,
            objects: Objects::new(&settings.objects),
            publisher: Publisher::new(&settings.queue),
            verifier: Verifier::from_settings(&settings.auth)?,
            quota: settings.quota,
            limits: settings.limits,
            shutdown: shutdown.clone(),
        };
        let router = service::http::wrap(download::router().with_state(state), "download");
        service::serve::run(router, &settings.service.serve, shutdown).await
    })
}
