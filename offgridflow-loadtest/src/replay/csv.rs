//! Comma-separated values (RFC 4180), as far as a log needs them.

use std::borrow::Cow;

use super::{
    error::ReplayError,
    format::{Fields, Parsed, TIME},
    timestamp,
};

/// Where the columns are, counted from 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    time: usize,
    method: Option<usize>,
    path: Option<usize>,
    host: Option<usize>,
    client: Option<usize>,
}

impl Columns {
    /// From the first record: `true` if it is a header. It is none if no column is named, and it begins with
    /// a timestamp.
    pub(super) fn from_first(record: &str, fields: &Fields) -> Result<(Self, bool), ReplayError> {
        let cells = cells(record).unwrap_or_default();
        let begins = cells.first().is_some_and(|cell| timestamp::parse(cell).is_ok());
        if begins && fields == &Fields::default() {
            return Ok((Self { time: 0, method: None, path: None, host: None, client: None }, false));
        }
        let find = |name: &str| cells.iter().position(|cell| cell.trim().eq_ignore_ascii_case(name));
        let named = |name: &Option<String>, usual: &[&str]| match name {
            None => Ok(usual.iter().find_map(|name| find(name))),
            Some(name) => find(name).map(Some).ok_or_else(|| ReplayError::NoColumn {
                name: name.clone(),
                header: timestamp::short(record),
            }),
        };
        let time = named(&fields.time, &TIME)?.unwrap_or(0);
        let (method, path) = (named(&fields.method, &["method"])?, named(&fields.path, &["path"])?);
        let (host, client) = (named(&fields.host, &[])?, named(&fields.client, &[])?);
        Ok((Self { time, method, path, host, client }, true))
    }

    /// What the header calls the columns, at most `most` of them.
    pub(super) fn names(header: &str, most: usize) -> Vec<String> {
        let cells = cells(header).unwrap_or_default();
        cells.iter().take(most).map(|cell| timestamp::short(cell.trim())).collect()
    }

    pub(super) fn parse(self, record: &str) -> Result<Parsed<'_>, String> {
        let mut cells = cells(record)?;
        let count = cells.len();
        let mut cell = |index: usize| cells.get_mut(index).map(std::mem::take);
        let time = cell(self.time).ok_or_else(|| {
            format!("has {count} columns, and its time should be in column {}", self.time + 1)
        })?;
        let at_ns = timestamp::parse(&time)?;
        let mut text = |index: Option<usize>| index.and_then(&mut cell).filter(|cell| !cell.is_empty());
        let (method, path) = (text(self.method), text(self.path));
        Ok(Parsed { at_ns, method, path, host: text(self.host), client: text(self.client) })
    }
}

pub(crate) fn cells(record: &str) -> Result<Vec<Cow<'_, str>>, String> {
    let (mut cells, mut rest) = (Vec::new(), record);
    loop {
        let (cell, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_cell(quoted)?,
            None => {
                let (cell, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                (Cow::Borrowed(cell), after)
            }
        };
        cells.push(cell);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(cells),
            None => return Err("has text after a closing quote".into()),
        }
    }
}

/// What stands between quotes, of which two mean one, and what follows them.
fn quoted_cell(quoted: &str) -> Result<(Cow<'_, str>, &str), String> {
    let mut from = 0;
    loop {
        let quote = quoted[from..].find('"').ok_or("has a quote that is not closed")? + from;
        let after = &quoted[quote + 1..];
        if !after.starts_with('"') {
            let cell = &quoted[..quote];
            let cell = if from == 0 { Cow::Borrowed(cell) } else { Cow::Owned(cell.replace("\"\"", "\"")) };
            return Ok((cell, after));
        }
        from = quote + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_rfc_4180() {
        assert_eq!(cells("aaa,bbb,ccc").unwrap(), ["aaa", "bbb", "ccc"]);
        assert_eq!(cells("\"aaa\",\"b \r\nbb\",\"ccc\"").unwrap(), ["aaa", "b \r\nbb", "ccc"]);
        assert_eq!(cells("\"aaa\",\"b\"\"bb\",\"\"\"\"").unwrap(), ["aaa", "b\"bb", "\""]);
        assert_eq!(cells(",,").unwrap(), ["", "", ""]);
        assert_eq!(cells("\"\"").unwrap(), [""]);
        assert!(cells("\"a\"b,c").unwrap_err().contains("after a closing quote"));
        assert!(cells("\"a").unwrap_err().contains("not closed"));
    }
}
