use offgridflow_query::ConnectionPool;
use offgridflow_query::sqlx::Row as _;

use super::{Store, StoreError, on};
use crate::keys::{ApiKey, KeyId, Owner};

/// Keys that are read at once. More were never meant.
const MOST: i64 = 100_000;
/// Keys of an owner that are valid side by side.
const PLACES: [i16; 2] = [1, 2];

const VALID: &str =
    "SELECT id, tenant, digest, issued_at FROM api_keys WHERE NOT revoked ORDER BY id LIMIT $1";
const EVER: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM api_keys LIMIT 1) AS one";
const TAKEN: &str = "SELECT place FROM api_keys WHERE tenant = $1 AND NOT revoked";
const ISSUE: &str = "INSERT INTO api_keys (id, tenant, place, digest) VALUES ($1, $2, $3, $4)";
const REVOKE: &str = "UPDATE api_keys SET revoked = TRUE WHERE id = $1 AND NOT revoked";

/// A key that was issued and is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedKey {
    /// Its name.
    pub id: KeyId,
    /// Whose it is.
    pub owner: Owner,
    /// SHA-256 of it.
    pub digest: [u8; 32],
    /// When it was issued, in seconds since 1970, by the database's clock.
    pub issued_at: i64,
}

impl Store {
    /// The keys that are valid, and whether any was ever issued.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keys(&self) -> Result<(Vec<IssuedKey>, bool), StoreError> {
        let keys: Vec<IssuedKey> = on!(self, VALID, connection => {
            let rows = super::statement(VALID).bind(MOST).fetch_all(connection).await?;
            rows.iter().map(|row| Ok::<_, StoreError>(IssuedKey {
                id: KeyId::read(row.try_get(0)?).ok_or(StoreError::Corrupt("key's name"))?,
                owner: owner(row.try_get(1)?),
                digest: crate::keys::unhex(row.try_get(2)?).ok_or(StoreError::Corrupt("key's digest"))?,
                issued_at: row.try_get(3)?,
            })).collect::<Result<_, _>>()
        })?;
        let ever = !keys.is_empty() || self.any_key_ever().await?;
        Ok((keys, ever))
    }

    async fn any_key_ever(&self) -> Result<bool, StoreError> {
        on!(self, EVER, connection => {
            let row = super::statement(EVER).fetch_one(connection).await?;
            Ok::<_, StoreError>(row.try_get::<i64, _>(0)? > 0)
        })
    }

    /// Makes a key for `owner`, valid beside at most one other of its own.
    ///
    /// # Errors
    /// When the owner has two, or the database does not answer.
    pub async fn issue_key(&self, owner: &Owner) -> Result<ApiKey, StoreError> {
        let key = ApiKey::generate().map_err(StoreError::Randomness)?;
        let tenant = match owner {
            Owner::Tenant(tenant) => tenant.as_str(),
            Owner::Admin => "",
        };
        on!(self, ISSUE, connection => {
            let taken = super::statement(TAKEN).bind(tenant).fetch_all(&mut *connection).await?;
            let taken: Vec<i16> = taken.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            let place = PLACES.into_iter().find(|place| !taken.contains(place)).ok_or(StoreError::TwoKeys)?;
            let digest = crate::keys::hex(&key.digest());
            let issue = super::statement(ISSUE).bind(key.id().as_str().to_owned()).bind(tenant).bind(place).bind(digest);
            issue.execute(connection).await?;
            Ok::<_, StoreError>(())
        })?;
        Ok(key)
    }

    /// Ends a key; whether there was one of that name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn revoke_key(&self, id: &KeyId) -> Result<bool, StoreError> {
        on!(self, REVOKE, connection => {
            let done = super::statement(REVOKE).bind(id.as_str().to_owned()).execute(connection).await?;
            Ok(done.rows_affected() == 1)
        })
    }
}

fn owner(tenant: &str) -> Owner {
    match tenant {
        "" => Owner::Admin,
        tenant => Owner::Tenant(tenant.to_owned()),
    }
}
