use std::time::Duration;

use auth::{Caller, Hasher, Signer, TokenSettings, Verifier, generate_private_key_pem};
use chrono::Utc;
use objects::Objects;
use secrecy::{ExposeSecret, SecretString};
use store::Store;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::{Bucket, Database, bucket, database, process::Launch, vhost};

/// The password of every user of a [`World`].
pub const PASSWORD: &str = "correct horse battery staple";

const TOKEN_TTL: Duration = Duration::from_hours(1);

/// A database, a virtual host, a bucket and a signing key: all that a test's functions share with nobody else.
pub struct World {
    /// The database.
    pub database: Database,
    /// The virtual host.
    pub amqp_url: String,
    /// The bucket.
    pub bucket: Bucket,
    /// The store, for looking in from the side.
    pub store: Store,
    signer: Signer,
    private_key: SecretString,
}

/// Somebody who may log in.
#[derive(Clone, Debug)]
pub struct Person {
    /// The user's id.
    pub id: Uuid,
    /// The login name; the password is [`PASSWORD`].
    pub email: String,
    /// A good token.
    pub token: String,
}

/// A world of its own for this test.
///
/// # Panics
/// The servers do not answer.
pub async fn world() -> World {
    let (database, amqp_url, bucket) = tokio::join!(database(), vhost(), bucket());
    let private_key = generate_private_key_pem().expect("a key");
    let settings = store::Settings { database_url: database.url().into(), database_max_connections: 5 };
    World {
        store: Store::connect_lazy(&settings).expect("a database URL"),
        signer: Signer::from_pem(&private_key, tokens(), TOKEN_TTL).expect("a good key"),
        database,
        amqp_url,
        bucket,
        private_key,
    }
}

impl World {
    /// Adds a user.
    ///
    /// # Panics
    /// The database does not answer.
    pub async fn person(&self, name: &str) -> Person {
        let email = format!("{name}@example.com");
        let id = self.store.add_user(&email, password_hash().await, false).await.expect("a user");
        let caller = Caller { user_id: id, username: email.clone(), admin: false };
        Person { id, email, token: self.signer.sign(&caller, Utc::now()) }
    }

    /// Verifies what [`World::person`]s send.
    ///
    /// # Panics
    /// Never.
    pub fn verifier(&self) -> Verifier {
        Verifier::of(&self.signer).expect("our own key")
    }

    /// For an [`Objects`] or a function in this process.
    pub fn objects_settings(&self) -> objects::Settings {
        objects::Settings {
            s3_endpoint: self.bucket.endpoint.clone(),
            s3_public_endpoint: None,
            s3_region: "us-east-1".into(),
            s3_bucket: self.bucket.name.clone(),
            s3_access_key_id: self.bucket.access_key.clone(),
            s3_secret_access_key: self.bucket.secret_key.clone().into(),
        }
    }

    /// The bucket.
    pub fn objects(&self) -> Objects {
        Objects::new(&self.objects_settings())
    }

    /// For a publisher or a consumer in this process.
    pub fn queue_settings(&self) -> queue::Settings {
        queue::Settings { amqp_url: self.amqp_url.as_str().into(), amqp_declare: true }
    }

    /// Gives one of our programs this world as its environment.
    #[must_use]
    pub fn launch(&self, program: &str) -> Launch {
        crate::process::Function::launch(program)
            .env("DATABASE_URL", self.database.url())
            .env("AMQP_URL", &self.amqp_url)
            .env("S3_ENDPOINT", &self.bucket.endpoint)
            .env("S3_BUCKET", &self.bucket.name)
            .env("S3_ACCESS_KEY_ID", &self.bucket.access_key)
            .env("S3_SECRET_ACCESS_KEY", &self.bucket.secret_key)
            .env("JWT_PRIVATE_KEY", self.private_key.expose_secret())
            .env("JWT_PUBLIC_KEYS", self.signer.jwks())
            .env("LOG", "info,lapin=off")
    }
}

fn tokens() -> TokenSettings {
    TokenSettings { jwt_issuer: "video-converter".into(), jwt_audience: "video-converter".into() }
}

/// Hashing is slow on purpose; once per process is enough.
async fn password_hash() -> &'static str {
    static HASH: OnceCell<String> = OnceCell::const_new();
    HASH.get_or_init(|| async { Hasher::new().hash(PASSWORD.into()).await.expect("a hash") }).await
}
