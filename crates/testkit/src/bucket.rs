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

/// Keys of all objects in the bucket, sorted; parts of unfinished uploads are not among them.
///
/// # Panics
/// The stack's folder cannot be read.
pub async fn objects_in(bucket: &Bucket) -> Vec<String> {
    let root = crate::stack().await.s3_dir().join(&bucket.name);
    let (mut folders, mut keys) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                keys.push(path.strip_prefix(&root).expect("below it").to_string_lossy().into_owned());
            }
        }
    }
    keys.sort();
    keys
}
