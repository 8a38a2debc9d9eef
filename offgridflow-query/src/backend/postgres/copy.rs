//! COPY in binary format, written from the chunk piece by piece.

use super::errors::failed;
use super::wire::put_copied;
use crate::chunk::Slice;
use crate::error::{Cause, Class};
use crate::write::WriteError;
use sqlx::PgConnection;
use sqlx::postgres::{PgCopyIn, PgDatabaseError};

/// Signature, flags, and the length of a header extension that is not there.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// numeric_value_out_of_range: what the server says of a number that its binary form cannot show.
const OUT_OF_RANGE: &str = "22003";
const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
/// What is encoded between two sends. Small enough that the server works while the next piece is encoded.
const PIECE_BYTES: usize = 128 << 10;

/// Rows on their way into a COPY statement.
pub(super) struct Copy<'a> {
    pub(super) slice: &'a Slice<'a>,
    pub(super) types: &'a [u32], // of the columns, as the catalog has them
    pub(super) ordinals: bool,   // whether each row ends with its ordinal, counted from 1
}

impl Copy<'_> {
    /// Runs `statement`, which copies into `table`; how many rows the server counts.
    ///
    /// Fails with the row that is named by the server's error, which is a hint and no proof.
    pub(super) async fn run(
        &self,
        conn: &mut PgConnection,
        statement: &str,
        table: &str,
    ) -> Result<u64, WriteError> {
        let mut copy = conn.copy_in_raw(statement).await.map_err(|error| failed(&error))?;
        if let Err(error) = self.send(&mut copy).await {
            // An abort answers with an error of its own if the link is gone; the first error says more.
            return match error {
                Stopped::Row(row, cause) => match copy.abort("a row cannot be encoded").await {
                    Ok(()) => Err(WriteError::Failed { row: Some(row), cause }),
                    Err(error) => Err(failed(&error)),
                },
                Stopped::Link(error) => Err(failed(&error)),
            };
        }
        copy.finish().await.map_err(|error| self.refused(&error, table))
    }

    async fn send(&self, copy: &mut PgCopyIn<&mut PgConnection>) -> Result<(), Stopped> {
        let mut piece = Vec::with_capacity(PIECE_BYTES + (PIECE_BYTES >> 2));
        piece.extend_from_slice(HEADER);
        for row in 0..self.slice.len() {
            self.put_row(row, &mut piece)?;
            if piece.len() >= PIECE_BYTES {
                copy.send(piece.as_slice()).await.map_err(Stopped::Link)?;
                piece.clear();
            }
        }
        piece.extend_from_slice(&TRAILER);
        copy.send(piece.as_slice()).await.map_err(Stopped::Link)?;
        Ok(())
    }

    fn put_row(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Stopped> {
        let fields = self.types.len() + usize::from(self.ordinals);
        out.extend_from_slice(&i16::try_from(fields).unwrap_or(i16::MAX).to_be_bytes()); // 1 600 at most
        for (column, &kind) in self.types.iter().enumerate() {
            put_copied(out, self.slice.value(row, column), kind).ok_or_else(|| {
                let name = self.slice.shape().columns()[column].name();
                let what = format!("a value for column {name:?} is out of range");
                Stopped::Row(row, Cause::new(Class::Data, what).with_code(OUT_OF_RANGE))
            })?;
        }
        if self.ordinals {
            let ordinal = i64::try_from(row + 1).unwrap_or(i64::MAX);
            out.extend_from_slice(&8i32.to_be_bytes());
            out.extend_from_slice(&ordinal.to_be_bytes());
        }
        Ok(())
    }

    fn refused(&self, error: &sqlx::Error, table: &str) -> WriteError {
        let context = error
            .as_database_error()
            .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
            .and_then(PgDatabaseError::r#where);
        let line = context.and_then(|context| line_in(context, table));
        let row = line.and_then(|line| line.checked_sub(1)).filter(|&row| row < self.slice.len());
        match failed(error) {
            WriteError::Failed { cause, .. } => WriteError::Failed { row, cause },
            other => other,
        }
    }
}

enum Stopped {
    Row(usize, Cause),
    Link(sqlx::Error),
}

/// The line that the context of a COPY error names, in whatever language: the first number behind, or failing that in
/// front of, the table's name in the first line that has both.
fn line_in(context: &str, table: &str) -> Option<usize> {
    context.lines().filter(|line| line.contains("COPY")).find_map(|line| {
        let (before, after) = line.split_once(table)?;
        first_number(after).or_else(|| first_number(before))
    })
}

fn first_number(text: &str) -> Option<usize> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let digits = text[start..].split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_in_any_language() {
        for context in [
            "COPY t2, line 41, column watts: \"-1\"",
            "COPY t2, Zeile 41",
            "PL/pgSQL-Funktion f() Zeile 3 bei RAISE\nCOPY t2, Zeile 41",
            "t2のCOPY、行 41",
        ] {
            assert_eq!(line_in(context, "t2"), Some(41), "{context}");
        }
        assert_eq!(line_in("SQL statement \"SELECT 1\"", "t2"), None);
        assert_eq!(line_in("COPY t2", "t2"), None);
    }
}
