//! How a body ends (RFC 9112, section 6.3).

use super::{Malformed, chunks::Chunks};

/// What is still to come of a body.
#[derive(Debug)]
pub(in crate::target::http) enum Body {
    /// So many bytes.
    Length(u64),
    Chunked(Chunks),
    /// All until the connection is closed.
    UntilClosed,
}

impl Body {
    pub(super) const NONE: Self = Self::Length(0);

    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunks::new())
    }

    pub(in crate::target::http) fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_over(),
            Self::UntilClosed => false,
        }
    }

    /// Whether it is complete if the connection is closed now.
    pub(in crate::target::http) fn may_be_closed(&self) -> bool {
        self.is_over() || matches!(self, Self::UntilClosed)
    }

    /// How many of the bytes belong to it; `data` sees its data.
    pub(in crate::target::http) fn decode(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(&[u8]),
    ) -> Result<usize, Malformed> {
        match self {
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= crate::shard::as_u64(here);
                data(&bytes[..here]);
                Ok(here)
            }
            Self::Chunked(chunks) => chunks.decode(bytes, &mut data),
            Self::UntilClosed => {
                data(bytes);
                Ok(bytes.len())
            }
        }
    }
}
