//! `offgridflow keys`: issues, lists and revokes API keys in the database, for whoever may reach that.

use clap::Subcommand;

use crate::config::Config;
use crate::keys::{KeyId, Owner, named};
use crate::store::{IssuedKey, Store, StoreError};

/// What to do with keys.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print it, this once. Valid beside the owner's other one, of at most two.
    Issue {
        /// Whose key.
        #[arg(long, required_unless_present = "admin", conflicts_with = "admin")]
        tenant: Option<String>,
        /// An administrator's.
        #[arg(long)]
        admin: bool,
        /// Where the database is.
        #[command(flatten)]
        config: Config,
    },
    /// List the keys that are valid: name, owner, and when each was issued, in seconds since 1970.
    List {
        /// Where the database is.
        #[command(flatten)]
        config: Config,
    },
    /// End a key. Servers hear of it within a second.
    Revoke {
        /// Its name, as `list` shows it and as it stands in the key.
        id: String,
        /// Where the database is.
        #[command(flatten)]
        config: Config,
    },
}

/// Why keys could not be issued, listed or revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tenant's name that cannot be one.
    #[error("the key {0}")]
    Tenant(String),
    /// No valid key of that name.
    #[error("no valid key is named {0}")]
    Unknown(String),
}

/// Does it; what is to be printed.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: KeyCommand) -> Result<String, KeyError> {
    let (KeyCommand::Issue { config, .. } | KeyCommand::List { config } | KeyCommand::Revoke { config, .. }) =
        &command;
    let say = |sentence| eprintln!("{sentence}");
    let store = Store::open(&config.database_url, config.database_patience(), say).await?;
    let done = act(&store, command).await;
    store.close().await?;
    done
}

async fn act(store: &Store, command: KeyCommand) -> Result<String, KeyError> {
    match command {
        KeyCommand::Issue { tenant, .. } => {
            let owner = match &tenant {
                Some(tenant) => Owner::Tenant(named(tenant).map_err(KeyError::Tenant)?.to_owned()),
                None => Owner::Admin,
            };
            Ok(store.issue_key(&owner).await?.reveal().to_owned())
        }
        KeyCommand::List { .. } => {
            let line = |key: &IssuedKey| match &key.owner {
                Owner::Admin => format!("{} admin {}", key.id.as_str(), key.issued_at),
                Owner::Tenant(tenant) => format!("{} tenant {} {tenant}", key.id.as_str(), key.issued_at),
            };
            Ok(store.keys().await?.0.iter().map(line).collect::<Vec<_>>().join("\n"))
        }
        KeyCommand::Revoke { id, .. } => {
            let known = KeyId::read(&id).ok_or_else(|| KeyError::Unknown(id.clone()))?;
            if store.revoke_key(&known).await? {
                Ok(format!("{id} is revoked"))
            } else {
                Err(KeyError::Unknown(id))
            }
        }
    }
}
