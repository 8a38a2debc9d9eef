//! Who may ask: API keys, of which only digests are kept, and the rule for a server that has none.

mod ring;
mod secret;

pub use ring::{KeyRing, Owner};
pub use secret::{ApiKey, Digest, KeyId};
pub(crate) use secret::{hex, unhex};

use std::fmt;
use std::str::FromStr;

use secret::digest;

/// Longest name of a tenant, in bytes.
const TENANT_LIMIT: usize = 100;
/// Shortest key that is taken from the settings, in bytes.
const SHORTEST: usize = 16;

/// Keys that stand in the settings, as digests: what was written is forgotten at once. A mistake is told by [`KeyList::checked`], which, unlike
/// an argument that is refused, shows nothing of what was written.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyList {
    read: Result<Vec<(Owner, Digest)>, String>,
}

impl KeyList {
    /// Tenants' keys, written `TENANT=KEY,TENANT=KEY`.
    #[must_use]
    pub fn of_tenants(text: &str) -> Self {
        Self::read(text, |entry| {
            let (tenant, key) = entry.split_once('=').ok_or("is not TENANT=KEY")?;
            Ok((Owner::Tenant(named(tenant)?.to_owned()), key))
        })
    }

    fn read(text: &str, owner: impl Fn(&str) -> Result<(Owner, &str), String>) -> Self {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).enumerate();
        let read = entries.map(|(index, entry)| {
            let said = |why: String| format!("API key {} {why}", index + 1);
            let (owner, key) = owner(entry).map_err(said)?;
            match key.len() {
                SHORTEST.. => Ok((owner, digest(key))),
                _ => Err(said(format!("is shorter than {SHORTEST} bytes"))),
            }
        });
        Self { read: read.collect() }
    }

    /// The keys, or the first mistake.
    ///
    /// # Errors
    /// Which entry is wrong, and why, without the entry.
    pub fn checked(&self) -> Result<&[(Owner, Digest)], String> {
        self.read.as_deref().map_err(Clone::clone)
    }
}

impl fmt::Debug for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyList({} keys)", self.read.as_ref().map_or(0, Vec::len))
    }
}

/// Administrators' keys, written `KEY,KEY`; otherwise as [`KeyList`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminKeys(pub KeyList);

impl FromStr for AdminKeys {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(KeyList::read(text, |entry| Ok((Owner::Admin, entry)))))
    }
}

impl FromStr for KeyList {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::of_tenants(text))
    }
}

/// A tenant's name as it may be: not empty, of at most a hundred bytes, without control characters.
///
/// # Errors
/// What is wrong with it.
pub fn named(tenant: &str) -> Result<&str, String> {
    match tenant.trim() {
        "" => Err("has an empty tenant's name".to_owned()),
        name if name.len() > TENANT_LIMIT => {
            Err(format!("has a tenant's name of more than {TENANT_LIMIT} bytes"))
        }
        name if name.chars().any(char::is_control) => {
            Err("has a tenant's name with a control character".to_owned())
        }
        name => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_protect_nothing_are_refused_without_being_shown() {
        let said = |text: &str| KeyList::of_tenants(text).checked().unwrap_err();
        assert_eq!(said("acme=short"), "API key 1 is shorter than 16 bytes");
        assert_eq!(said("a=0123456789abcdef,secretsecretsecret"), "API key 2 is not TENANT=KEY");
        assert_eq!(said("=0123456789abcdef"), "API key 1 has an empty tenant's name");
        assert_eq!(
            "short".parse::<AdminKeys>().unwrap().0.checked().unwrap_err(),
            "API key 1 is shorter than 16 bytes"
        );
        assert_eq!(KeyList::of_tenants(" , ").checked().unwrap(), []);
        let keys = KeyList::of_tenants("acme=0123456789abcdef");
        assert_eq!(format!("{keys:?}"), "KeyList(1 keys)", "neither key nor digest is shown");
    }
}
