//! Who asks: basic and bearer credentials (RFC 7617, RFC 6750).

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Uri, header};
use percent_encoding::percent_decode_str;

use super::{HttpTarget, header_pair};
use crate::error::ConfigError;

impl HttpTarget {
    /// Basic credentials (RFC 7617) with every request, as an `authorization` header; never in reports or logs.
    ///
    /// # Errors
    /// A user with a colon in the name; credentials that were given already.
    pub fn basic(self, user: &str, password: &str) -> Result<Self, ConfigError> {
        match unfit(user) {
            None => self.authorized(&basic(user, password)),
            Some(hint) => Err(ConfigError::new("auth.basic.user", hint)),
        }
    }

    /// A bearer token (RFC 6750) with every request, as an `authorization` header; never in reports or logs.
    ///
    /// # Errors
    /// A token that no header can hold; credentials that were given already.
    pub fn bearer(self, token: &str) -> Result<Self, ConfigError> {
        self.authorized(&bearer(token))
    }

    pub(super) fn authorized(mut self, value: &str) -> Result<Self, ConfigError> {
        self.unauthorized()?;
        let wrong = |_| ConfigError::new("auth", "the credentials hold characters that HTTP does not allow");
        let (name, value) = header_pair("authorization", value).map_err(wrong)?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Refuses credentials where some were given: nobody could say which ones are meant.
    pub(crate) fn unauthorized(&self) -> Result<(), ConfigError> {
        if !self.says(&header::AUTHORIZATION) {
            return Ok(());
        }
        let hint =
            "credentials were given already, in the URL or as an `authorization` header: give them once";
        Err(ConfigError::new("auth", hint))
    }
}

/// The value of an `authorization` header.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// The value of an `authorization` header.
pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Why a name and a password cannot be told apart once they are joined by a colon.
pub(crate) fn unfit(user: &str) -> Option<&'static str> {
    user.contains(':').then_some("the name of a user cannot hold a colon, which ends it (RFC 7617)")
}

/// What stands before the `@` of a URL, as such a value; `None` if nothing does.
pub(super) fn of_url(uri: &Uri) -> Result<Option<String>, &'static str> {
    let Some((said, _)) = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@')) else {
        return Ok(None);
    };
    let plain = |text| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded.map_err(|_| "the credentials before the @ are not UTF-8 behind their percent signs")
    };
    let (user, password) = said.split_once(':').unwrap_or((said, ""));
    let (user, password) = (plain(user)?, plain(password)?);
    unfit(&user).map_or_else(|| Ok(Some(basic(&user, &password))), Err)
}
