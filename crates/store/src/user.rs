use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{Error, Store};

/// Somebody who may log in.
#[derive(Clone, Debug, FromRow)]
pub struct User {
    /// Public id: the token's subject.
    pub id: Uuid,
    /// The login name.
    pub email: String,
    /// PHC string.
    pub password_hash: String,
    /// May administrate.
    pub admin: bool,
    /// May not log in any more.
    pub disabled: bool,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

impl Store {
    /// The user of this address, compared without regard to case.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, Error> {
        let query = sqlx::query_as(
            "select id, email, password_hash, admin, disabled_at is not null as disabled, created_at
             from users where lower(email) = lower($1)",
        );
        self.bounded(query.bind(email).fetch_optional(&self.pool)).await
    }

    /// Adds a user and returns the new id.
    ///
    /// # Errors
    /// [`Error::EmailTaken`], [`Error::EmailImplausible`].
    pub async fn add_user(&self, email: &str, password_hash: &str, admin: bool) -> Result<Uuid, Error> {
        let query = sqlx::query_scalar(
            "insert into users (id, email, password_hash, admin) values (gen_random_uuid(), $1, $2, $3) returning id",
        );
        self.bounded(query.bind(email).bind(password_hash).bind(admin).fetch_one(&self.pool)).await
    }

    /// Replaces the password's hash.
    pub async fn set_password_hash(&self, id: Uuid, password_hash: &str) -> Result<(), Error> {
        let query = sqlx::query("update users set password_hash = $2 where id = $1").bind(id).bind(password_hash);
        self.bounded(query.execute(&self.pool)).await.map(drop)
    }

    /// Disables or enables a user.
    pub async fn set_disabled(&self, id: Uuid, disabled: bool) -> Result<(), Error> {
        let query = sqlx::query(
            "update users set disabled_at = case when $2 then coalesce(disabled_at, now()) end where id = $1",
        );
        self.bounded(query.bind(id).bind(disabled).execute(&self.pool)).await.map(drop)
    }

    /// All users, oldest first.
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        let query = sqlx::query_as(
            "select id, email, password_hash, admin, disabled_at is not null as disabled, created_at from users order by created_at, id",
        );
        self.bounded(query.fetch_all(&self.pool)).await
    }
}
