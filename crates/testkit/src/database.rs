use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::OnceCell;

const TEMPLATE: &str = "template_migrated";
const DRAFT: &str = "template_draft";
/// Any number that no other lock of this server has.
const TEMPLATE_LOCK: &str = "SELECT pg_advisory_lock(7203)";

/// A database with the current schema and no rows, for one test.
#[derive(Debug)]
pub struct Database {
    url: String,
}

impl Database {
    /// `postgres://USER:PASSWORD@127.0.0.1:PORT/NAME`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Makes a database by copying a migrated one (80 ms). It goes with the stack.
///
/// # Panics
/// The database server does not answer, or the migrations fail.
pub async fn database() -> Database {
    static TEMPLATE_MADE: OnceCell<()> = OnceCell::const_new();
    let admin_url = crate::stack().await.database_url();
    TEMPLATE_MADE.get_or_init(|| make_template(admin_url)).await;
    let name = crate::unique("test");
    let mut admin = connect(admin_url).await;
    run(&mut admin, format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await;
    admin.close().await.expect("the connection closes");
    Database { url: sibling(admin_url, &name) }
}

/// Migrates once for all processes of the run. The draft gets its name only when it is complete, so that a test
/// program that was stopped half-way leaves no half template.
async fn make_template(admin_url: &str) {
    let mut admin = connect(admin_url).await;
    run(&mut admin, TEMPLATE_LOCK.into()).await;
    if !exists(&mut admin, TEMPLATE).await {
        run(&mut admin, format!("DROP DATABASE IF EXISTS {DRAFT}")).await;
        run(&mut admin, format!("CREATE DATABASE {DRAFT}")).await;
        store::migrate(&sibling(admin_url, DRAFT)).await.expect("the migrations run");
        run(&mut admin, format!("ALTER DATABASE {DRAFT} RENAME TO {TEMPLATE}")).await;
    }
    // Closing gives the lock back.
    admin.close().await.expect("the connection closes");
}

async fn exists(admin: &mut PgConnection, name: &str) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(admin)
        .await
        .expect("the catalogue can be read")
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the test database server answers")
}

async fn run(admin: &mut PgConnection, statement: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(admin).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// The URL of another database of the same server.
fn sibling(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("the URL names a database");
    format!("{server}/{name}")
}
