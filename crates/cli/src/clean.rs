//! The janitor: erases the objects of deleted and expired jobs, and what broken uploads left.

use std::time::Duration;

use clap::Args;
use objects::{ObjectKey, Objects};
use store::{Abandoned, Erasable, Store};

/// An upload that was not heard of for so long is over, whatever its function still believes.
const SILENCE: Duration = Duration::from_hours(1);
const BATCH: u16 = 100;

/// Where the jobs and the objects are.
#[derive(Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    store: store::Settings,
    #[command(flatten)]
    objects: objects::Settings,
}

pub(crate) async fn obey(settings: &Settings) -> anyhow::Result<()> {
    let janitor = Janitor { store: Store::connect_lazy(&settings.store)?, objects: Objects::new(&settings.objects) };
    let cleaned = janitor.clean().await?;
    println!("erased the objects of {} jobs and {} broken uploads", cleaned.jobs, cleaned.uploads);
    Ok(())
}

/// Erases objects first and says so second: killed in between, it does the same again.
pub(crate) struct Janitor {
    pub(crate) store: Store,
    pub(crate) objects: Objects,
}

#[derive(Debug, Default)]
pub(crate) struct Cleaned {
    pub(crate) jobs: usize,
    pub(crate) uploads: usize,
}

impl Janitor {
    /// Until nothing is left to do.
    pub(crate) async fn clean(&self) -> anyhow::Result<Cleaned> {
        let mut cleaned = Cleaned::default();
        loop {
            let erasable = self.store.to_erase(BATCH).await?;
            for job in &erasable {
                self.erase(job).await?;
            }
            let abandoned = self.store.abandoned(SILENCE, BATCH).await?;
            for upload in &abandoned {
                self.forget(upload).await?;
            }
            cleaned.jobs += erasable.len();
            cleaned.uploads += abandoned.len();
            if erasable.is_empty() && abandoned.is_empty() {
                return Ok(cleaned);
            }
        }
    }

    async fn erase(&self, job: &Erasable) -> anyhow::Result<()> {
        for attempt in 1..=job.attempt {
            self.objects.delete(ObjectKey::Audio { job: job.id, attempt }).await?;
        }
        if let Some(upload) = &job.open_upload {
            self.objects.abort_upload(ObjectKey::Audio { job: job.id, attempt: job.attempt }, upload).await?;
        }
        if job.source_too {
            self.objects.delete(ObjectKey::Source(job.source_id)).await?;
        }
        Ok(self.store.erased(job.id).await?)
    }

    async fn forget(&self, abandoned: &Abandoned) -> anyhow::Result<()> {
        if !self.store.refuse(abandoned.id).await? {
            return Ok(());
        }
        let key = ObjectKey::Source(abandoned.id);
        if let Some(upload) = &abandoned.open_upload {
            self.objects.abort_upload(key, upload).await?;
        }
        self.objects.delete(key).await?;
        Ok(self.store.forget(abandoned.id).await?)
    }
}
