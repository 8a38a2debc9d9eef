//! SQLSTATE in this crate's vocabulary, without data.

use super::catalog::CHANGED;
use super::{nodelay, reach};
use crate::backend::driver_cause;
use crate::error::{Cause, Class, ConfigError};
use crate::gate::GateDatabase;
use crate::write::WriteError;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition, PgQueryResult};
use sqlx::{Pool, Postgres};

impl GateDatabase for Postgres {
    fn cause(error: &sqlx::Error) -> Cause {
        let Some(error) = error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>())
        else {
            return driver_cause(error);
        };
        let class = class_of(error.code());
        // COPY's line, the tuple that is waited for, the trigger's function; what a function finds in a value has none.
        let code = error.code();
        let looked_up =
            LOOKED_UP.contains(&code) && !matches!(error.position(), Some(PgErrorPosition::Original(_)));
        let planned = UNPLANNABLE.contains(&code) && !looked_up;
        let amid_rows = error.r#where().is_some() || class == Class::Schema && !planned;
        let quotes = class == Class::Data || error.code() == SYNTAX || amid_rows && class == Class::Schema;
        let message = if quotes {
            redacted(error.message())
        } else if NAMED.contains(&error.code()) {
            format!("{}; if a pooler stands between, say so: Pooling::Transaction", error.message())
        } else {
            error.message().to_owned()
        };
        let mut cause = Cause::new(class, message).with_code(error.code());
        if amid_rows {
            cause = cause.amid_rows();
        }
        match error.constraint() {
            Some(name) => cause.with_constraint(name),
            None => cause,
        }
    }

    fn changed(result: &PgQueryResult) -> u64 {
        result.rows_affected()
    }

    async fn obstacle(pool: &Pool<Self>) -> Option<Cause> {
        reach::obstacle(&pool.connect_options()).await
    }

    fn unreached(pool: &Pool<Self>, error: &sqlx::Error) -> Cause {
        reach::unreached(&pool.connect_options(), error)
    }

    fn opened(pool: &Pool<Self>) {
        let options = pool.connect_options();
        if reach::socket(&options).is_none() {
            nodelay::opened(options.get_host(), options.get_port());
        }
    }
}

pub(super) fn failed(error: &sqlx::Error) -> WriteError {
    WriteError::failed(Postgres::cause(error))
}

/// The refusal of the check that a table is what it was, if `error` is one.
pub(super) fn changed(error: &sqlx::Error) -> Option<WriteError> {
    let message = error.as_database_error()?.message();
    message.contains(CHANGED).then(|| {
        let why = "the types of the columns are no longer those that the rows were written for";
        WriteError::failed(Cause::new(Class::Schema, why).with_code("42804"))
    })
}

pub(super) fn unbuildable(error: ConfigError) -> WriteError {
    WriteError::failed(Cause::new(Class::Schema, error.to_string()))
}

/// What makes a statement of ours impossible whatever its rows are: no table, column, type, function or constraint as it was written
/// for, a rule in the way. Other codes of their class come from functions that read a value (a query, a path, a name of a type) or
/// cannot convert it.
const UNPLANNABLE: [&str; 12] = [
    "26000", "3F000", "42P01", "42P05", "42P10", "42P18", "42703", "42804", "42809", "42846", "42883",
    "42P16",
];

/// Those of them that also come from functions which look up a name that they are given (a cast to `regclass`): then without a place in our text.
const LOOKED_UP: [&str; 4] = ["3F000", "42P01", "42703", "42883"];

/// syntax_error, which quotes the text where it went wrong.
const SYNTAX: &str = "42601";

/// invalid_sql_statement_name, duplicate_prepared_statement: another session answers than the one that prepared.
const NAMED: [&str; 2] = ["26000", "42P05"];

/// in_failed_sql_transaction.
const ABORTED: &str = "25P02";

/// read_only_sql_transaction: the role or the database is set so, or the server is a standby.
const READ_ONLY: &str = "25006";

pub(super) fn is_read_only(error: &WriteError) -> bool {
    matches!(error, WriteError::Failed { cause, .. } if cause.code() == Some(READ_ONLY))
}

/// Whether our own statement, and none within a trigger, was prepared and is gone.
pub(super) fn lacks_statement(error: &WriteError) -> bool {
    matches!(error, WriteError::Failed { cause, .. } if cause.code() == Some(NAMED[0]) && !cause.is_strange())
}

/// The classes that PostgreSQL has (documentation, appendix A); it never raises others by itself.
const KNOWN: [&str; 44] = [
    "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23",
    "24", "25", "26", "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "44",
    "53", "54", "55", "57", "58", "72", "F0", "HV", "P0", "XX",
];

/// SQLSTATE to class (PostgreSQL documentation, appendix A).
fn class_of(code: &str) -> Class {
    match code {
        // 21000: two rows of one statement whose keys only the server calls equal. Apart they are fine.
        "23505" | "23P01" | "21000" => Class::Unique,
        "23503" | "23001" => Class::ForeignKey,
        "23502" => Class::NotNull,
        "P0001" => Class::Raised,
        "40001" | "40P01" | "55P03" => Class::Contention,
        "57014" | "25P03" => Class::Cancelled,
        READ_ONLY => Class::ReadOnly,
        "42501" => Class::Permission,
        "54000" => Class::TooLarge, // an index row that does not fit a page
        "57P01" | "57P02" | "57P03" | "57P05" => Class::Connection,
        ABORTED => Class::Connection, // a session that somebody left so: not to be used
        _ => match code.get(..2).unwrap_or_default() {
            "08" => Class::Connection,
            "22" => Class::Data,
            "23" | "44" => Class::Check,
            "28" => Class::Permission,
            "42" | "3F" | "0A" | "26" => Class::Schema,
            "40" => Class::Contention,
            "53" => Class::Resource,
            "P0" => Class::Raised,
            class if !KNOWN.contains(&class) => Class::Raised, // made up by whoever wrote the trigger
            _ => Class::Other,
        },
    }
}

/// Messages of class 22 contain the value at fault, quoted as the server's language has it, or as numbers and bytes: what stands between
/// the first quote and the last goes, since a value's own quotes are not doubled, and of the rest every word that begins with a digit.
fn redacted(message: &str) -> String {
    let mut quotes = message.char_indices().filter(|&(at, c)| is_quote(message, at, c));
    match (quotes.next(), quotes.next_back()) {
        (Some((first, opening)), Some((last, closing))) => {
            let after = &message[last + closing.len_utf8()..];
            format!("{}{opening}…{closing}{}", without_numbers(&message[..first]), without_numbers(after))
        }
        (Some((first, opening)), None) => format!("{}{opening}…", without_numbers(&message[..first])),
        (None, _) => without_numbers(message),
    }
}

/// Quotes of all languages that the server speaks, and apostrophes unless they are within a word.
fn is_quote(message: &str, at: usize, c: char) -> bool {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    match c {
        '\'' | '’' => {
            let (before, after) = (&message[..at], &message[at + c.len_utf8()..]);
            !(letter(before.chars().next_back()) && letter(after.chars().next()))
        }
        _ => "\"`´«»‹›“”„‟‘‚‛「」『』〈〉《》＂＇".contains(c),
    }
}

fn without_numbers(text: &str) -> String {
    let begins =
        |word: &str| word.trim_start_matches(|c: char| !c.is_alphanumeric()).starts_with(char::is_numeric);
    let kept = |word: &str| match begins(word) {
        true => format!("…{}", &word[word.trim_end().len()..]),
        false => word.to_owned(),
    };
    text.split_inclusive(char::is_whitespace).map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_leave_messages() {
        let text = r#"invalid input syntax for type numeric: "4111-1111""#;
        assert_eq!(redacted(text), r#"invalid input syntax for type numeric: "…""#);
        assert_eq!(redacted("division by zero"), "division by zero");
        assert_eq!(redacted(r#"value "1 " 2" is out of range"#), r#"value "…" is out of range"#);
        assert_eq!(redacted(r#"invalid input: "{"card":"4111"}""#), r#"invalid input: "…""#);
        assert_eq!(redacted(r#"invalid input: "4111"#), r#"invalid input: "…"#);
    }

    #[test]
    fn values_leave_messages_in_every_language() {
        let messages = [
            (
                "ungültige Eingabesyntax für Typ numeric: »4111-1111«",
                "ungültige Eingabesyntax für Typ numeric: »…«",
            ),
            (
                "syntaxe en entrée invalide pour l'entier : « 4111 » n'est pas",
                "syntaxe en entrée invalide pour l'entier : «…» n'est pas",
            ),
            ("neplatná syntaxe pro typ integer: „4111“", "neplatná syntaxe pro typ integer: „…“"),
            ("значение «4111» вне диапазона", "значение «…» вне диапазона"),
            ("型integerの入力構文が不正です: 「4111」", "型integerの入力構文が不正です: 「…」"),
            ("can't read 'O'Brien' as a number", "can't read '…' as a number"),
            ("value ‘4111’ and “4112”", "value ‘…”"),
        ];
        for (message, kept) in messages {
            assert_eq!(redacted(message), kept);
        }
    }

    #[test]
    fn bytes_and_numbers_leave_messages_and_types_stay() {
        let bytes = r#"character with byte sequence 0xe2 0x82 0xac in encoding "UTF8" has no equivalent in encoding "LATIN1""#;
        assert_eq!(redacted(bytes), r#"character with byte sequence … … … in encoding "…""#);
        assert_eq!(
            redacted(r#"invalid byte sequence for encoding "UTF8": 0xe9 0x20"#),
            r#"invalid byte sequence for encoding "…": … …"#
        );
        assert_eq!(redacted("date field value out of range: 2026-13-41"), "date field value out of range: …");
        let types = "value too long for type character varying(3) of int4[]";
        assert_eq!(redacted(types), types);
    }
}
