//! The function as a program of its own: a pod that KEDA scales by the queue's depth.

use convert::{Settings, Worker};
use objects::Objects;
use store::Store;

fn main() -> std::process::ExitCode {
    service::run("convert", |settings: Settings, shutdown| async move {
        let store = Store::connect_lazy(&settings.store)?;
        let objects = Objects::new(&settings.objects);
        let worker = Worker::new(store, objects, &settings.queue, &settings.worker, shutdown.clone());
        let health = service::http::wrap(axum::Router::new(), "convert");
        let ((), served) = tokio::join!(worker.run(), service::serve::run(health, &settings.service.serve, shutdown));
        served
    })
}
