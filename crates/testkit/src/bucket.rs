/// An empty bucket, and how to get at it (path-style, any region).
#[derive(Debug, Clone)]
pub struct Bucket {
    /// `http://127.0.0.1:PORT`.
    pub endpoint: String,
    /// The bucket's name.
    pub name: String,
    /// The access key id.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
}

/// Makes a bucket for one test. It goes with the stack.
///
/// # Panics
/// The stack's folder cannot be written.
pub async fn bucket() -> Bucket {
    let stack = crate::stack().await;
    let name = crate::unique("test");
    std::fs::create_dir(stack.s3_dir().join(&name)).expect("a bucket is a folder");
    Bucket {
        endpoint: stack.s3_endpoint().to_owned(),
        name,
        access_key: stack.s3_access_key().to_owned(),
        secret_key: stack.s3_secret_key().to_owned(),
    }
}
