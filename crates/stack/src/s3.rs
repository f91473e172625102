use std::fs::DirBuilder;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use axum::Router;
use axum::error_handling::HandleError;
use axum::http::StatusCode;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_http::cors::{Any, CorsLayer};

use crate::secrets::Secrets;

/// An S3 server in this process: buckets are folders, objects are files. For one machine and for tests, not for the
/// open network.
#[derive(Debug)]
pub(crate) struct S3 {
    endpoint: String,
    dir: PathBuf,
    server: JoinHandle<()>,
}

impl S3 {
    pub(crate) async fn start(dir: &Path, secrets: &Secrets) -> Result<Self> {
        let dir = dir.join("s3");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let router = router(&dir, secrets)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, crate::ports::free()?)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the S3 server ended");
            }
        });
        Ok(Self { endpoint, dir, server })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn router(dir: &Path, secrets: &Secrets) -> Result<Router> {
    let files =
        s3s_fs::FileSystem::new(dir).map_err(|error| anyhow!("{error:?}")).context("cannot open the objects")?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(&*secrets.s3_access_key, &*secrets.s3_secret_key));
    let service = HandleError::new(builder.build(), |error| async move {
        tracing::error!(?error, "S3 request failed");
        StatusCode::INTERNAL_SERVER_ERROR
    });
    // s3s knows no CORS; without it no browser can use a presigned URL, or see the ETag of a part it has sent.
    let cors = CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any).expose_headers(Any);
    Ok(Router::new().fallback_service(service).layer(cors))
}
