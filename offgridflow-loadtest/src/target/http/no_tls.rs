//! Without the feature `tls` nothing is encrypted, and nothing has to be.

use std::io;

use tokio::net::TcpStream;

use super::stream::Stream;
use crate::error::ConfigError;

/// There is none.
#[derive(Debug, Clone)]
pub(super) enum Tls {}

impl Tls {
    pub(super) fn to(_host: &str) -> Result<Self, ConfigError> {
        Err(ConfigError::new(
            "url",
            "TLS is not built in: install with `--features tls`, which needs a C compiler",
        ))
    }

    pub(super) fn trusting(self, _pem: &[u8]) -> Result<Self, ConfigError> {
        match self {}
    }

    pub(super) fn insecure(self) -> Result<Self, ConfigError> {
        match self {}
    }

    pub(super) fn speaking_http2(self) -> Result<Self, ConfigError> {
        match self {}
    }

    pub(super) fn is_insecure(&self) -> bool {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "the twin of what shakes hands")]
    pub(super) async fn shake(&self, _stream: TcpStream) -> io::Result<Stream> {
        match *self {}
    }
}
