use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::ApiError;
use crate::app::App;
use crate::keys::{KeyId, Owner, named};
use crate::store::IssuedKey;

/// Whose key: `{"tenant": "acme"}` or `{"admin": true}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    tenant: Option<String>,
    #[serde(default)]
    admin: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Issued {
    #[serde(flatten)]
    listed: Listed,
    /// The key: shown now and never again.
    key: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Listed {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    admin: bool,
    /// Seconds since 1970, by the database's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<i64>,
}

impl Listed {
    fn of(id: &KeyId, owner: &Owner, issued_at: Option<i64>) -> Self {
        let tenant = match owner {
            Owner::Tenant(tenant) => Some(tenant.clone()),
            Owner::Admin => None,
        };
        Self { id: id.as_str().to_owned(), admin: tenant.is_none(), tenant, issued_at }
    }
}

/// `POST /api/v1/keys`: a key, valid at once here and within a second elsewhere. An owner has at most two, for the time of a change.
pub(super) async fn issue(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<(StatusCode, Json<Issued>), ApiError> {
    let wish: Wish =
        serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let owner = match (&wish.tenant, wish.admin) {
        (Some(tenant), false) => {
            let name = named(tenant).map_err(|why| ApiError::bad_request(format!("the key {why}")))?;
            Owner::Tenant(name.to_owned())
        }
        (None, true) => Owner::Admin,
        _ => return Err(ApiError::bad_request("either \"tenant\" or \"admin\": true")),
    };
    let key = app.store().issue_key(&owner).await?;
    app.refresh_keys().await;
    tracing::info!(id = key.id().as_str(), "a key was issued");
    let listed = Listed::of(&key.id(), &owner, None);
    Ok((StatusCode::CREATED, Json(Issued { listed, key: key.reveal().to_owned() })))
}

/// `GET /api/v1/keys`: the issued keys that are valid, by name.
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<Listed>>, ApiError> {
    let (keys, _) = app.store().keys().await?;
    let listed = |key: &IssuedKey| Listed::of(&key.id, &key.owner, Some(key.issued_at));
    Ok(Json(keys.iter().map(listed).collect()))
}

/// `DELETE /api/v1/keys/{id}`: the key ends, at once here and within a second elsewhere.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let unknown = || ApiError::new(StatusCode::NOT_FOUND, "no valid key has that name");
    let id = KeyId::read(&id).ok_or_else(unknown)?;
    if !app.store().revoke_key(&id).await? {
        return Err(unknown());
    }
    app.refresh_keys().await;
    tracing::info!(id = id.as_str(), "a key was revoked");
    Ok(StatusCode::NO_CONTENT)
}
