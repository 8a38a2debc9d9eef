//! Certificates that nobody else should believe: an authority's, and that of a server called `localhost` and `127.0.0.1`.

use std::path::{Path, PathBuf};

/// The authority's certificate, as PEM.
pub const AUTHORITY: &[u8] = include_bytes!("../certificates/authority.pem");
/// The server's certificate, as PEM.
pub const SERVER: &[u8] = include_bytes!("../certificates/server.pem");
/// The server's private key, as PEM.
pub const KEY: &[u8] = include_bytes!("../certificates/server.key");

/// The file of the authority's certificate.
#[must_use]
pub fn authority() -> PathBuf {
    file("authority.pem")
}

pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certificates").join(name)
}
