use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::secret::{Digest, digest};
use super::{ApiKey, KeyId};
use crate::store::IssuedKey;

/// What nobody's key hashes to, as far as anybody knows: compared with where there is no key of that name.
const NOBODY: Digest = [0; 32];
/// Longest key that is looked at, in bytes.
const LONGEST: usize = 256;

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A tenant's: it reads and writes that tenant's data, and nothing else.
    Tenant(String),
    /// An administrator's: it sees how the server does and issues keys, and reads no tenant's data.
    Admin,
}

/// The keys that are valid now: those of the settings, and those that were issued and not revoked.
#[derive(Debug, Default)]
pub struct KeyRing {
    configured: Vec<(Owner, Digest)>,
    issued: RwLock<Issued>,
}

#[derive(Debug, Default)]
struct Issued {
    valid: HashMap<KeyId, (Owner, Digest)>,
    ever: bool, // whether any was ever issued: the last one's revocation opens nothing
}

impl KeyRing {
    /// With these keys of the settings.
    #[must_use]
    pub fn new(configured: Vec<(Owner, Digest)>) -> Self {
        Self { configured, issued: RwLock::default() }
    }

    /// From now on these are the keys that were issued; `ever`: whether any was, revoked ones included.
    pub fn hold(&self, keys: Vec<IssuedKey>, ever: bool) {
        let valid = keys.into_iter().map(|key| (key.id, (key.owner, key.digest))).collect();
        let mut issued = self.issued.write().unwrap_or_else(PoisonError::into_inner);
        let ever = ever || issued.ever;
        *issued = Issued { valid, ever };
    }

    /// Whether there are no keys, and never were: a development start.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.configured.is_empty() && !self.issued.read().unwrap_or_else(PoisonError::into_inner).ever
    }

    /// Valid keys of tenants, and of administrators.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let issued = self.issued.read().unwrap_or_else(PoisonError::into_inner);
        let owners = self.configured.iter().map(|(owner, _)| owner);
        let all: Vec<&Owner> = owners.chain(issued.valid.values().map(|(owner, _)| owner)).collect();
        let admins = all.iter().filter(|owner| ***owner == Owner::Admin).count();
        (all.len() - admins, admins)
    }

    /// Whose key was given. Digests are compared, in a time that does not depend on them.
    #[must_use]
    pub fn owner_of(&self, given: &str) -> Option<Owner> {
        if given.len() > LONGEST {
            return None;
        }
        let given_digest = digest(given);
        let issued = self.issued.read().unwrap_or_else(PoisonError::into_inner);
        let named = KeyId::in_key(given).and_then(|id| issued.valid.get(&id));
        let expected = named.map_or(&NOBODY, |(_, digest)| digest);
        if bool::from(expected.ct_eq(&given_digest)) {
            return named.map(|(owner, _)| owner.clone());
        }
        self.configured_owner(&given_digest)
    }

    /// Looks at every key of the settings, whichever it is.
    fn configured_owner(&self, given: &Digest) -> Option<Owner> {
        let mut found = u64::MAX;
        for (index, (_, digest)) in (0_u64..).zip(&self.configured) {
            let same: Choice = digest.ct_eq(given);
            found.conditional_assign(&index, same);
        }
        self.configured.get(usize::try_from(found).ok()?).map(|(owner, _)| owner.clone())
    }
}

impl IssuedKey {
    /// What is to be kept of a key.
    #[must_use]
    pub fn of(key: &ApiKey, owner: Owner) -> Self {
        Self { id: key.id(), owner, digest: key.digest(), issued_at: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyList;

    fn tenant(name: &str) -> Owner {
        Owner::Tenant(name.to_owned())
    }

    #[test]
    fn a_key_belongs_to_one_owner() {
        let keys = KeyList::of_tenants("acme=0123456789abcdef, beta=fedcba9876543210");
        let ring = KeyRing::new(keys.checked().unwrap().to_vec());
        assert_eq!(ring.owner_of("0123456789abcdef"), Some(tenant("acme")));
        assert_eq!(ring.owner_of("fedcba9876543210"), Some(tenant("beta")));
        let long = "x".repeat(10_000);
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "acme", "\u{0}", &long] {
            assert_eq!(ring.owner_of(wrong), None, "{wrong}");
        }
        assert_eq!(ring.counts(), (2, 0));
    }

    #[test]
    fn issued_keys_are_valid_side_by_side_until_they_are_revoked() {
        let [old, new, admin] = [(); 3].map(|()| ApiKey::generate().unwrap());
        let ring = KeyRing::default();
        assert!(ring.is_open());
        let of = |key: &ApiKey| IssuedKey::of(key, tenant("acme"));
        ring.hold(vec![of(&old), of(&new), IssuedKey::of(&admin, Owner::Admin)], true);
        assert_eq!((ring.counts(), ring.is_open()), ((2, 1), false));
        for key in [&old, &new] {
            assert_eq!(ring.owner_of(key.reveal()), Some(tenant("acme")));
        }
        assert_eq!(ring.owner_of(admin.reveal()), Some(Owner::Admin));
        ring.hold(vec![of(&new)], true);
        assert_eq!((ring.owner_of(old.reveal()), ring.owner_of(admin.reveal())), (None, None));
        assert_eq!(ring.owner_of(new.reveal()), Some(tenant("acme")));
        let forged = old.reveal().replace(old.id().as_str(), new.id().as_str());
        assert_eq!(ring.owner_of(&forged), None, "a name is no secret");
        ring.hold(Vec::new(), false);
        assert!(!ring.is_open(), "the last key's end opens nothing");
    }
}
