//! The one place that quotes names.

use crate::error::ConfigError;
use std::fmt;

/// A table or column name, quoted the way standard SQL, PostgreSQL and SQLite agree on.
///
/// Displays as the quoted form; names are taken literally, so case and spaces are kept.
///
/// ```
/// use offgridflow_query::Ident;
/// assert_eq!(Ident::new("we\"ird")?.to_string(), "\"we\"\"ird\"");
/// assert!(Ident::new("nul\0").is_err());
/// # Ok::<(), offgridflow_query::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ident(Box<str>); // not empty, no NUL

impl Ident {
    /// Takes `name` as it stands.
    ///
    /// # Errors
    /// [`ConfigError::Ident`] for an empty name or one with a NUL, which no database can hold.
    pub fn new(name: &str) -> Result<Self, ConfigError> {
        let refuse = |why| Err(ConfigError::Ident { name: name.to_owned(), why });
        if name.is_empty() {
            return refuse("it is empty");
        }
        if name.contains('\0') {
            return refuse("it contains a NUL");
        }
        Ok(Self(name.into()))
    }

    /// The name without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        let mut parts = self.0.split('"');
        f.write_str(parts.next().unwrap_or_default())?;
        for part in parts {
            f.write_str("\"\"")?;
            f.write_str(part)?;
        }
        f.write_str("\"")
    }
}

/// A quoted table, with its schema if that is named.
pub(crate) fn target(schema: Option<&str>, table: &str) -> Result<String, ConfigError> {
    let table = Ident::new(table)?;
    match schema {
        Some(schema) => Ok(format!("{}.{table}", Ident::new(schema)?)),
        None => Ok(table.to_string()),
    }
}
