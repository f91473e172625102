use http::StatusCode;
use service::Problem;

/// What can go wrong between us and the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL cannot be reached, or is starting or stopping. Worth trying again.
    #[error("PostgreSQL does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// PostgreSQL took too long. Worth trying again; what was asked may have happened.
    #[error("PostgreSQL did not answer in time")]
    TimedOut,
    /// The address is taken (constraint `users_email_key`).
    #[error("there is a user with this e-mail address already")]
    EmailTaken,
    /// Not an e-mail address (constraint `users_email_plausible`).
    #[error("this is not an e-mail address")]
    EmailImplausible,
    /// A defect: PostgreSQL refused what we asked.
    #[error("PostgreSQL refused a statement")]
    Refused(#[source] sqlx::Error),
}

impl Error {
    /// Whether the same call may well succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some("users_email_key") => return Self::EmailTaken,
            Some("users_email_plausible") => return Self::EmailImplausible,
            _ => {}
        }
        if is_unavailable(&error) { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}

/// SQLSTATE classes of a server that is away, full or busy: 08 connection, 53 resources, 57 operator, 55P03 and 40 lock and serialisation.
fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(e) => {
            e.code().is_some_and(|code| ["08", "53", "57", "40", "55P03"].iter().any(|class| code.starts_with(class)))
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::EmailTaken => Problem::new(StatusCode::CONFLICT, "email_taken", error.to_string()),
            Error::EmailImplausible => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "email_implausible", error.to_string())
            }
            error if error.is_transient() => Problem::unavailable("job store", error),
            error => Problem::internal(error),
        }
    }
}
