use std::fmt;

use sha2::{Digest as _, Sha256};

/// What every key of ours begins with, so that scanners for leaked secrets know one when they see it.
const PREFIX: &str = "ogf_";
/// Bytes of a key's name, and of what makes it secret.
const ID: usize = 6;
const SECRET: usize = 32;

/// SHA-256 of a key. A key holds 256 random bits, so that nothing slower is needed: nobody tries them all.
pub type Digest = [u8; 32];

/// A key that was just issued. It is shown once, by whoever asked for it, and kept nowhere.
pub struct ApiKey(String);

/// A key's name: part of the key, and no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl ApiKey {
    /// A key from the system's randomness.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn generate() -> Result<Self, std::io::Error> {
        let mut bytes = [0; ID + SECRET];
        getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
        let (id, secret) = bytes.split_at(ID);
        Ok(Self(format!("{PREFIX}{}_{}", hex(id), hex(secret))))
    }

    /// The key itself, to be handed to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(self.0[PREFIX.len()..][..2 * ID].to_owned())
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest(&self.0)
    }
}

impl fmt::Debug for ApiKey {
    /// Never shows the secret part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.id().as_str())
    }
}

impl KeyId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name as it stands in the database or in a path; `None` where it cannot be one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 2 * ID && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The name in a key that somebody sent.
    pub(super) fn in_key(given: &str) -> Option<Self> {
        let (id, secret) = given.strip_prefix(PREFIX)?.split_once('_')?;
        (secret.len() == 2 * SECRET).then(|| Self::read(id)).flatten()
    }
}

pub(super) fn digest(key: &str) -> Digest {
    Sha256::digest(key.as_bytes()).into()
}

/// As hexadecimal digits.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest that [`hex`] wrote.
pub(crate) fn unhex(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..][..2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_name_and_256_bits_and_shows_only_the_name() {
        let [one, other] = [(); 2].map(|()| ApiKey::generate().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), 4 + 12 + 1 + 64);
        assert_eq!(KeyId::in_key(one.reveal()), Some(one.id()));
        assert!(format!("{one:?}").len() < 25);
        assert_eq!(unhex(&hex(&one.digest())), Some(one.digest()));
        for not_ours in ["", "ogf_", "ogf_zz", "0123456789abcdef", "ogf_0123456789ab_short"] {
            assert_eq!(KeyId::in_key(not_ours), None, "{not_ours}");
        }
    }

    /// The published example of FIPS 180-4 for "abc".
    #[test]
    fn digests_are_sha_256() {
        assert_eq!(hex(&digest("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(unhex("ba78"), None);
        assert_eq!(unhex(&"é".repeat(32)), None);
    }
}
