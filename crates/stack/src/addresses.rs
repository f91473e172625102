use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::postgres::Postgres;
use crate::rabbitmq::Rabbitmq;
use crate::s3::S3;
use crate::secrets::Secrets;

/// Where the servers of a stack listen, with the credentials; serialisable, so that another process may use them too.
#[derive(Clone, Serialize, Deserialize)]
pub struct Addresses {
    database_url: String,
    amqp_url: String,
    management_url: String,
    s3_endpoint: String,
    s3_access_key: String,
    s3_secret_key: String,
    s3_dir: PathBuf,
}

impl Addresses {
    pub(crate) fn new(postgres: &Postgres, rabbitmq: &Rabbitmq, s3: &S3, secrets: Secrets) -> Self {
        Self {
            database_url: postgres.url(&secrets.database),
            amqp_url: rabbitmq.amqp_url(&secrets.broker),
            management_url: rabbitmq.management_url(&secrets.broker),
            s3_endpoint: s3.endpoint().to_owned(),
            s3_dir: s3.dir().to_owned(),
            s3_access_key: secrets.s3_access_key,
            s3_secret_key: secrets.s3_secret_key,
        }
    }

    /// `postgres://USER:PASSWORD@127.0.0.1:PORT/video_converter`; the user is a superuser.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// `amqp://USER:PASSWORD@127.0.0.1:PORT/%2f`; the user is an administrator.
    pub fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// `http://USER:PASSWORD@127.0.0.1:PORT`, without a slash at the end: RabbitMQ's management API and page.
    pub fn management_url(&self) -> &str {
        &self.management_url
    }

    /// `http://127.0.0.1:PORT`, path-style addressing, any region.
    pub fn s3_endpoint(&self) -> &str {
        &self.s3_endpoint
    }

    /// The access key of the only S3 account.
    pub fn s3_access_key(&self) -> &str {
        &self.s3_access_key
    }

    /// The secret that goes with [`Self::s3_access_key`].
    pub fn s3_secret_key(&self) -> &str {
        &self.s3_secret_key
    }

    /// The folder whose sub-folders are the buckets: making one makes a bucket.
    pub fn s3_dir(&self) -> &Path {
        &self.s3_dir
    }
}

// By hand, so that no password gets into a log.
impl std::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Addresses").field("s3_endpoint", &self.s3_endpoint).finish_non_exhaustive()
    }
}
