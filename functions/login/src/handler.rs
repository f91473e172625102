use auth::{BasicCredentials, Caller, Claims, Hasher, Signer, Verdict, wrong_credentials};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::Utc;
use http::{HeaderMap, header};
use serde_json::json;
use service::Problem;
use store::{Store, User};

/// Long enough to spare us requests, short enough for a rotation of keys.
const JWKS_CACHE: &str = "public, max-age=300";
const NOT_CACHED: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// `POST /login`: a token for a name and a password.
///
/// A wrong password, an unknown name and a disabled user get the same answer in the same time.
pub(crate) async fn login(
    State(store): State<Store>,
    State(hasher): State<Hasher>,
    State(signer): State<Signer>,
    headers: HeaderMap,
    BasicCredentials { username, password }: BasicCredentials,
) -> Result<Response, Problem> {
    let user = find(&store, &username).await?;
    let stored = user.as_ref().map(|user| user.password_hash.clone());
    let verdict = hasher.verify(password.clone(), stored).await?;
    let user = user.filter(|user| verdict != Verdict::Wrong && !user.disabled);
    let user = user.ok_or_else(wrong_credentials)?;
    if verdict == Verdict::RightButStale {
        renew_hash(&store, &hasher, &user, password).await;
    }
    let caller = Caller { user_id: user.id, username: user.email, admin: user.admin };
    tracing::info!(user_id = %caller.user_id, "logged in");
    Ok(answer(&signer, signer.sign(&caller, Utc::now()), &headers))
}

/// PostgreSQL holds no NUL in texts, so nobody has such a name.
async fn find(store: &Store, username: &str) -> Result<Option<User>, Problem> {
    if username.contains('\0') { Ok(None) } else { Ok(store.user_by_email(username).await?) }
}

/// The parameters have changed since; the login succeeds whether or not the new hash is kept.
async fn renew_hash(store: &Store, hasher: &Hasher, user: &User, password: String) {
    let renewed = async {
        let hash = hasher.hash(password).await?;
        store.set_password_hash(user.id, &hash).await?;
        anyhow::Ok(())
    };
    if let Err(error) = renewed.await {
        tracing::warn!(user_id = %user.id, error = format!("{error:#}"), "a password hash stays old");
    }
}

fn answer(signer: &Signer, token: String, headers: &HeaderMap) -> Response {
    if !wants_json(headers) {
        return (NOT_CACHED, token).into_response();
    }
    let expires_in = signer.ttl().as_secs();
    let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in });
    (NOT_CACHED, Json(body)).into_response()
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accept.flat_map(|value| value.split(',')).filter_map(|it| it.split(';').next());
    ranges.any(|range| range.trim().eq_ignore_ascii_case("application/json"))
}

/// `POST /validate`: what the bearer token says.
pub(crate) async fn validate(claims: Claims) -> impl IntoResponse {
    (NOT_CACHED, Json(claims))
}

/// `GET /.well-known/jwks.json`: the public key, as a JWK set (RFC 7517).
pub(crate) async fn jwks(State(signer): State<Signer>) -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, JWKS_CACHE)];
    (headers, signer.jwks().to_owned())
}
