//! A header whose value is made for each request.

use std::{fmt, sync::Arc};

use http::{HeaderName, HeaderValue};

use super::{bad_request, header_pair};
use crate::{error::ConfigError, op::Op, outcome::TargetError};

#[derive(Clone)]
pub(super) struct MadeHeader {
    pub(super) name: HeaderName,
    make: Arc<dyn Fn(&Op) -> String + Send + Sync>,
}

impl MadeHeader {
    pub(super) fn new(
        name: &str,
        make: impl Fn(&Op) -> String + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let (name, _) = header_pair(name, "")?;
        Ok(Self { name, make: Arc::new(make) })
    }

    /// The value for an operation; it may be a secret.
    pub(super) fn value(&self, op: &Op) -> Result<HeaderValue, TargetError> {
        let mut value = HeaderValue::try_from((self.make)(op)).map_err(|_| {
            bad_request(format!(
                "the value made for header `{}` holds characters that HTTP does not allow",
                self.name
            ))
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for MadeHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeHeader").field("name", &self.name).finish_non_exhaustive()
    }
}
