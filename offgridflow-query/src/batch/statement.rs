//! Reading the one statement that can be batched: a plain INSERT.

use crate::error::ConfigError;
use crate::shape::Conflict;

/// An INSERT taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Insert {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
    pub(crate) columns: Vec<String>,
    pub(crate) key: Vec<String>,
    pub(crate) conflict: Conflict,
}

/// Reads `INSERT INTO [schema.]table (column, …) [VALUES (?, …)] [ON CONFLICT (key, …) DO NOTHING | DO UPDATE SET
/// column = excluded.column, …]`. The ASCII letters of names without quotes are folded to lower case, as PostgreSQL does (SQLite
/// ignores their case).
pub(crate) fn parse(sql: &str) -> Result<Insert, ConfigError> {
    let mut reader = Reader { sql, at: 0 };
    reader.word("insert", "INSERT INTO")?;
    reader.word("into", "INTO")?;
    let first = reader.name()?;
    let (schema, table) = if reader.sign('.') { (Some(first), reader.name()?) } else { (None, first) };
    let columns = reader.names()?;
    if reader.has_word("values") {
        reader.placeholders(columns.len())?;
    }
    let (mut key, mut conflict) = (Vec::new(), Conflict::Error);
    if reader.has_word("on") {
        reader.word("conflict", "CONFLICT")?;
        const KEY: &str = "the key's columns in parentheses after ON CONFLICT: they say which rows are equal";
        if !reader.rest().starts_with('(') {
            return reader.refuse(KEY);
        }
        key = reader.names()?;
        reader.word("do", "DO NOTHING or DO UPDATE SET")?;
        conflict = reader.action()?;
    }
    reader.sign(';');
    reader.end()?;
    Ok(Insert { schema, table, columns, key, conflict })
}

struct Reader<'a> {
    sql: &'a str,
    at: usize, // on a character boundary
}

impl Reader<'_> {
    fn rest(&mut self) -> &str {
        let rest = &self.sql[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        &self.sql[self.at..]
    }

    fn refuse<T>(&self, why: &'static str) -> Result<T, ConfigError> {
        let rest = self.sql[self.at..].trim_start();
        let comment = rest.starts_with("--") || rest.starts_with("/*");
        let why = if comment { "no comment here; statements with comments cannot be batched" } else { why };
        Err(ConfigError::Statement { at: self.at, why })
    }

    fn sign(&mut self, sign: char) -> bool {
        let found = self.rest().starts_with(sign);
        self.at += usize::from(found);
        found
    }

    fn has_word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let end = rest.find(|c: char| !is_name_char(c)).unwrap_or(rest.len());
        let found = rest[..end].eq_ignore_ascii_case(word);
        self.at += if found { end } else { 0 };
        found
    }

    fn word(&mut self, word: &str, why: &'static str) -> Result<(), ConfigError> {
        if self.has_word(word) { Ok(()) } else { self.refuse(why) }
    }

    fn name(&mut self) -> Result<String, ConfigError> {
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix('"') {
            let (name, used) = unquote(quoted);
            return match used {
                Some(used) => {
                    self.at += 1 + used;
                    Ok(name)
                }
                None => self.refuse("a closing double quote"),
            };
        }
        let end = rest.find(|c: char| !is_name_char(c)).unwrap_or(rest.len());
        let name = rest[..end].to_ascii_lowercase();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return self.refuse("a name");
        }
        self.at += end;
        Ok(name)
    }

    fn names(&mut self) -> Result<Vec<String>, ConfigError> {
        if !self.sign('(') {
            return self.refuse("a list of columns in parentheses");
        }
        let mut names = vec![self.name()?];
        while self.sign(',') {
            names.push(self.name()?);
        }
        if self.sign(')') { Ok(names) } else { self.refuse("a comma or a closing parenthesis") }
    }

    fn placeholders(&mut self, columns: usize) -> Result<(), ConfigError> {
        const WHY: &str = "one tuple of placeholders (?, ? or $1, $2), one a column and in order";
        if !self.sign('(') {
            return self.refuse(WHY);
        }
        for n in 1..=columns {
            if (n > 1 && !self.sign(',')) || !(self.sign('?') || self.sign('$')) {
                return self.refuse(WHY);
            }
            let rest = &self.sql[self.at..];
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if digits > 0 && rest[..digits].parse() != Ok(n) {
                return self.refuse(WHY);
            }
            self.at += digits;
        }
        if self.sign(')') { Ok(()) } else { self.refuse(WHY) }
    }

    fn action(&mut self) -> Result<Conflict, ConfigError> {
        if self.has_word("nothing") {
            return Ok(Conflict::Ignore);
        }
        self.word("update", "NOTHING or UPDATE SET")?;
        self.word("set", "SET")?;
        let mut columns = Vec::new();
        loop {
            let column = self.name()?;
            let same =
                self.sign('=') && self.has_word("excluded") && self.sign('.') && self.name()? == column;
            if !same {
                return self.refuse("column = excluded.column; other expressions cannot be batched");
            }
            columns.push(column);
            if !self.sign(',') {
                return Ok(Conflict::UpdateOnly(columns));
            }
        }
    }

    fn end(&mut self) -> Result<(), ConfigError> {
        if self.rest().is_empty() {
            Ok(())
        } else {
            self.refuse("the end; RETURNING, SELECT and WHERE cannot be batched")
        }
    }
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// The name up to its closing quote, and the bytes used, the quote included.
fn unquote(text: &str) -> (String, Option<usize>) {
    let mut name = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            name.push(c);
        } else if chars.next_if(|&(_, next)| next == '"').is_some() {
            name.push('"');
        } else {
            return (name, Some(at + 1));
        }
    }
    (name, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_inserts_are_taken_apart() {
        let full = "INSERT INTO app.\"Read\"\"ings\" (id, Watts) VALUES ($1, $2) \
                    on conflict (id) do update set watts = excluded.watts;";
        let insert = parse(full).unwrap();
        assert_eq!((insert.schema.as_deref(), insert.table.as_str()), (Some("app"), "Read\"ings"));
        assert_eq!(insert.columns, ["id", "watts"]);
        assert_eq!(insert.conflict, Conflict::UpdateOnly(vec!["watts".into()]));
        assert_eq!(parse("insert into t(a)").unwrap().columns, ["a"]);
        let insert = parse("INSERT INTO Äpfel (GRÖSSE) ON CONFLICT (grÖsse) DO NOTHING").unwrap();
        assert_eq!((insert.table.as_str(), insert.columns), ("Äpfel", vec!["grÖsse".to_owned()]));
        assert_eq!(insert.key, ["grÖsse"]);
        assert_eq!(
            parse("insert into t(a) values (?1) on conflict (a) do nothing").unwrap().conflict,
            Conflict::Ignore
        );
    }

    #[test]
    fn anything_else_is_refused_where_it_differs() {
        for sql in [
            "",
            "select 1",
            "insert into t (a) values (?), (?)",
            "insert into t (a, b) values ($2, $1)",
            "insert into t (a) values (now())",
            "insert into t (a) select 1",
            "insert into t (a) returning a",
            "insert into t (a) values (?); drop table t",
            "insert into t (a) on conflict (a) do update set a = a + 1",
            "insert into \"t (a)",
            "insert into t (1a)",
        ] {
            let Err(ConfigError::Statement { at, .. }) = parse(sql) else { panic!("{sql}") };
            assert!(at <= sql.len());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(sql in "(?i:insert into)? ?\\PC{0,60}") {
            let _ = parse(&sql);
        }

        #[test]
        fn quoted_names_come_back(name in "[^\0]{1,20}") {
            let sql = format!("INSERT INTO {} (a)", crate::Ident::new(&name).unwrap());
            prop_assert_eq!(parse(&sql).unwrap().table, name);
        }
    }
}
