//! HTTP/1.1 as it goes over a connection, for the side that asks (RFC 9112).

mod body;
mod buffer;
mod chunks;
mod head;
mod heads;
mod outgoing;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

pub(super) use body::Body;
pub(super) use buffer::Buffer;
pub(super) use head::{Asked, Head};
pub(super) use heads::Heads;
pub(super) use outgoing::Outgoing;

/// Bytes that are not what HTTP/1.1 has there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(Cow<'static, str>);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&'static str> for Malformed {
    fn from(what: &'static str) -> Self {
        Self(what.into())
    }
}
