//! In which order and company the rows of a flush are sent.

use crate::chunk::Slice;
use crate::shape::Shape;
use std::collections::HashMap;
use std::ops::Range;

/// Rows that are stored together or not at all; most units are one row.
pub(crate) type Unit = Range<usize>;

/// Splits the units of a flush into runs that are written one after the other.
///
/// Without updates everything is one run. With updates a group of several rows is a run of its own, so that sorting
/// and superseding never cross the border of a group.
pub(crate) fn runs(units: &[Unit], updates: bool) -> Vec<Range<usize>> {
    if !updates {
        return Some(0..units.len()).filter(|all| !all.is_empty()).into_iter().collect();
    }
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, unit) in units.iter().enumerate() {
        let single = unit.len() == 1;
        match runs.last_mut() {
            Some(run) if single && units[run.start].len() == 1 => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// The rows to send for an update, and for every row that is not sent the one that supersedes it.
#[derive(Debug, PartialEq)]
pub(crate) struct Deduplicated {
    /// Rows to send, in key order, keyless ones (a NULL in the key) last; or all as they came.
    pub(crate) order: Vec<usize>,
    /// (superseded, by whom), in the order the rows came.
    pub(crate) superseded: Vec<(usize, usize)>,
}

impl Deduplicated {
    /// Of every row that supersedes others, the first of these.
    pub(crate) fn firsts(&self) -> HashMap<usize, usize> {
        let mut firsts = HashMap::new();
        for &(row, winner) in &self.superseded {
            firsts.entry(winner).or_insert(row);
        }
        firsts
    }
}

/// The rows of a group in turns: the first of each key, then the second ones, and so on, each turn as the rows came. Rows with a NULL in their
/// key have no second.
pub(crate) fn turns(all: &Slice<'_>, shape: &Shape, rows: &[usize]) -> Vec<Vec<usize>> {
    let key = shape.key_positions();
    let (mut turns, mut seen): (Vec<Vec<usize>>, HashMap<Vec<u8>, usize>) = (Vec::new(), HashMap::new());
    for &row in rows {
        let mut bytes = Vec::new();
        let turn = match all.key_bytes(row, &key, &mut bytes) {
            true => *seen.entry(bytes).and_modify(|turn| *turn += 1).or_insert(0),
            false => 0,
        };
        turns.resize_with(turns.len().max(turn + 1), Vec::new);
        turns[turn].push(row);
    }
    turns
}

/// Sorts `rows` by the shape's key and keeps the last of each key. Sorting keeps writers that overlap from taking row
/// locks in opposite orders. Where the database may call keys equal that are not (`exact` is false), rows are sent as they
/// came, so that the newest wins whatever it calls equal. Rows with a NULL in their key are never merged.
pub(crate) fn deduplicate(all: &Slice<'_>, shape: &Shape, rows: &[usize], exact: bool) -> Deduplicated {
    let key = shape.key_positions();
    let mut keyed: Vec<(Vec<u8>, usize)> = Vec::with_capacity(rows.len());
    let mut keyless = Vec::new();
    for &row in rows {
        let mut bytes = Vec::new();
        if all.key_bytes(row, &key, &mut bytes) {
            keyed.push((bytes, row));
        } else {
            keyless.push(row);
        }
    }
    keyed.sort(); // by key, then by arrival
    let mut last: HashMap<&[u8], usize> = HashMap::with_capacity(keyed.len());
    for (bytes, row) in &keyed {
        last.insert(bytes, *row);
    }
    let (mut order, mut superseded) = (Vec::with_capacity(rows.len()), Vec::new());
    for (bytes, row) in &keyed {
        match last[bytes.as_slice()] {
            winner if winner == *row => order.push(*row),
            winner => superseded.push((*row, winner)),
        }
    }
    superseded.sort_unstable();
    order.extend(keyless);
    if !exact {
        order.sort_unstable();
    }
    Deduplicated { order, superseded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Chunk;
    use crate::shape::{Column, Kind};
    use proptest::prelude::*;

    #[test]
    fn groups_of_updates_run_alone() {
        let units = [0..1, 1..2, 2..5, 5..6, 6..8, 8..9, 9..10];
        let everything = 0..7;
        assert_eq!(runs(&units, false), [everything]);
        assert_eq!(runs(&units, true), [0..2, 2..3, 3..4, 4..5, 5..7]);
    }

    proptest! {
        #[test]
        fn the_last_of_each_key_is_sent_and_every_row_is_accounted_for(keys in prop::collection::vec(prop::option::of(0i64..8), 0..60)) {
            let shape = Shape::new("t", [Column::nullable("k", Kind::Int8)]).key(["k"]);
            let mut chunk = Chunk::new(shape.clone());
            for key in &keys {
                chunk.push(|w| match key { Some(k) => w.i64(*k), None => w.null() }).unwrap();
            }
            let rows: Vec<usize> = (0..keys.len()).collect();
            let plan = deduplicate(&chunk.slice(0..keys.len()), &shape, &rows, true);
            let vague = deduplicate(&chunk.slice(0..keys.len()), &shape, &rows, false);
            prop_assert!(vague.order.is_sorted(), "as they came");
            prop_assert_eq!(&vague.superseded, &plan.superseded);
            let mut seen: Vec<usize> = plan.order.iter().copied().chain(plan.superseded.iter().map(|s| s.0)).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, rows);
            for (loser, winner) in &plan.superseded {
                prop_assert!(loser < winner && keys[*loser] == keys[*winner] && plan.order.contains(winner));
            }
            let sent: Vec<i64> = plan.order.iter().filter_map(|&row| keys[row]).collect();
            prop_assert!(sent.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
