//! Which rows of a part were skipped, where only numbers tell, told by one statement.

use super::statement::{Parts, Subject, arguments, numbered};
use crate::backend::built;
use crate::chunk::Slice;
use crate::error::ConfigError;
use sqlx::{PgConnection, Row as _};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Pieces that a piece is cut into when some of its rows were skipped, and not all.
const CUT: usize = 16;
/// Pieces that a statement may have.
const MOST: usize = 1_024;

/// Inserts a part in pieces, all by one statement, and counts what was stored of each: what the server checks at the end of a statement, such as a
/// foreign key to a row that comes later, it checks for all of them together. Pieces that were stored in part are cut smaller, for another try.
pub(super) struct Pieces {
    parts: Parts,
    source: String,
    cut: Mutex<HashMap<usize, Vec<Range<usize>>>>, // by part
}

impl Pieces {
    pub(super) fn new(subject: &Subject<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            parts: Parts::new(subject, true)?,
            source: format!("SELECT * FROM {}", numbered(subject.shape)),
            cut: Mutex::default(),
        })
    }

    fn cut(&self) -> MutexGuard<'_, HashMap<usize, Vec<Range<usize>>>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another try makes no sense.
    pub(super) fn are_too_many(&self) -> bool {
        self.cut().values().map(Vec::len).sum::<usize>() > MOST
    }

    /// The positions of the rows that were skipped; `None` if smaller pieces have to tell.
    pub(super) async fn run(
        &self,
        conn: &mut PgConnection,
        slice: &Slice<'_>,
        part: usize,
    ) -> Result<Option<Vec<usize>>, sqlx::Error> {
        let pieces = self.cut().entry(part).or_insert_with(|| smaller(0..slice.len())).clone();
        let query = sqlx::query_with(built(self.text(&pieces)), arguments(slice)?).persistent(false);
        let mut stored = vec![0; pieces.len()];
        for row in query.fetch_all(conn).await? {
            let (piece, rows): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
            stored[piece.unsigned_abs() as usize] = usize::try_from(rows).unwrap_or(0);
        }
        let is_told = |(piece, &stored): (&Range<usize>, &usize)| stored == 0 || stored >= piece.len();
        if pieces.iter().zip(&stored).all(is_told) {
            let skipped = pieces.into_iter().zip(stored).filter(|(_, stored)| *stored == 0);
            return Ok(Some(skipped.flat_map(|(piece, _)| piece).collect()));
        }
        let cut = |(piece, stored): (Range<usize>, &usize)| match is_told((&piece, stored)) {
            true => Vec::from([piece]),
            false => smaller(piece),
        };
        let cut = pieces.into_iter().zip(&stored).flat_map(cut).collect();
        self.cut().insert(part, cut);
        Ok(None)
    }

    /// One INSERT a piece, in order.
    fn text(&self, pieces: &[Range<usize>]) -> String {
        let Parts { target, columns, values, clause, .. } = &self.parts;
        let (mut with, mut counts) = (format!("WITH s AS MATERIALIZED ({})", self.source), Vec::new());
        for (n, piece) in pieces.iter().enumerate() {
            with += &format!(
                ", p{n} AS (INSERT INTO {target} ({columns}) SELECT {values} FROM s WHERE ord BETWEEN {} AND {} ORDER BY ord{clause} RETURNING 1)",
                piece.start + 1,
                piece.end
            );
            counts.push(format!("SELECT {n}, count(*) FROM p{n}"));
        }
        format!("{with} {}", counts.join(" UNION ALL "))
    }
}

fn smaller(piece: Range<usize>) -> Vec<Range<usize>> {
    let step = piece.len().div_ceil(CUT).max(1);
    piece.clone().step_by(step).map(|start| start..(start + step).min(piece.end)).collect()
}
