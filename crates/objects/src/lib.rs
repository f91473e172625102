//! The two kinds of objects, streamed to and from S3.
//!
//! Works with what every S3 server has in common: no conditional writes, no optional checksums, path-style addresses.

mod error;
mod key;
mod read;
mod write;

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

pub use error::Error;
pub use key::ObjectKey;
pub use read::Stored;
pub use write::{HEAD_BYTES, Writer};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// One try of one request: long enough for a part of 8 MiB over a slow line.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);
/// A body that does not move for so long is given up.
const STALL_GRACE: Duration = Duration::from_secs(20);

/// Where the objects are.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// The S3 server, as `http://minio:9000`.
    #[arg(long, env = "S3_ENDPOINT")]
    pub s3_endpoint: String,

    /// The S3 server as clients reach it, for links that they follow themselves; the same as `S3_ENDPOINT` if unset.
    #[arg(long, env = "S3_PUBLIC_ENDPOINT")]
    pub s3_public_endpoint: Option<String>,

    /// The region that requests are signed for; most self-hosted servers take any.
    #[arg(long, env = "S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,

    /// The bucket of all objects: videos under `in/`, audio under `out/`.
    #[arg(long, env = "S3_BUCKET", default_value = "video-converter")]
    pub s3_bucket: String,

    /// Access key of this function's S3 user.
    #[arg(long, env = "S3_ACCESS_KEY_ID")]
    pub s3_access_key_id: String,

    /// Secret key of this function's S3 user.
    #[arg(long, env = "S3_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub s3_secret_access_key: SecretString,
}

/// The bucket; clones share connections.
#[derive(Clone, Debug)]
pub struct Objects {
    client: Client,
    /// Signs links for clients; never sends anything.
    public: Client,
    bucket: String,
}

impl Objects {
    /// Connects on first use.
    pub fn new(settings: &Settings) -> Self {
        let public = settings.s3_public_endpoint.as_ref().unwrap_or(&settings.s3_endpoint);
        Self {
            client: client(settings, &settings.s3_endpoint),
            public: client(settings, public),
            bucket: settings.s3_bucket.clone(),
        }
    }

    /// Creates the bucket unless it is there.
    ///
    /// # Errors
    /// When the server cannot be reached or forbids it.
    pub async fn ensure_bucket(&self) -> Result<(), Error> {
        if self.client.head_bucket().bucket(&self.bucket).send().await.is_ok() {
            return Ok(());
        }
        match self.client.create_bucket().bucket(&self.bucket).send().await.map_err(error::classify) {
            Err(Error::Refused { code, .. }) if code == "BucketAlreadyOwnedByYou" || code == "BucketAlreadyExists" => {
                Ok(())
            }
            created => created.map(drop),
        }
    }
}

fn client(settings: &Settings, endpoint: &str) -> Client {
    let keys = Credentials::new(
        &settings.s3_access_key_id,
        settings.s3_secret_access_key.expose_secret(),
        None,
        None,
        "settings",
    );
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .region(Region::new(settings.s3_region.clone()))
        .endpoint_url(endpoint)
        .credentials_provider(keys)
        .force_path_style(true)
        // Newer optional checksums fail on Garage and others.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL_GRACE).build())
        .timeout_config(timeouts);
    Client::from_conf(config.build())
}
