//! Batches with bad rows in them, and what must become of each row.

use std::collections::BTreeSet;

use offgridflow_query::{Class, row};

use crate::dice::Dice;

/// One row of a table with every kind of constraint.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) id: i64,
    pub(crate) parent: Option<i64>,
    pub(crate) name: Option<String>,
    pub(crate) weight: i32,
}
row!(Part in "parts" { id, parent, name, weight } key { id });

/// For PostgreSQL; SQLite takes the same with its own length check.
pub(crate) const POSTGRES: &str = "CREATE TABLE parts (id INT8 PRIMARY KEY, parent INT8 REFERENCES parts, name VARCHAR(8) NOT NULL, \
    weight INT4 CHECK (weight >= 0))";
pub(crate) const SQLITE: &str = "CREATE TABLE parts (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parts, name TEXT NOT NULL, \
    weight INTEGER CHECK (weight >= 0))";

/// What a database with the rows `stored` must answer to a row: the class of its refusal, or nothing.
pub(crate) struct Expected {
    stored: BTreeSet<i64>,
    /// PostgreSQL refuses text that is too long, or holds a NUL; SQLite takes any.
    pub(crate) strict_text: bool,
}

impl Expected {
    pub(crate) fn new(strict_text: bool) -> Self {
        Self { stored: BTreeSet::new(), strict_text }
    }

    /// The answer to the next row, which is stored if it is good.
    pub(crate) fn judge(&mut self, part: &Part) -> Option<Class> {
        let name = part.name.as_deref();
        let too_long = |name: &str| name.chars().count() > 8 || name.contains('\0');
        let class = match part {
            Part { name: None, .. } => Some(Class::NotNull),
            _ if self.strict_text && name.is_some_and(too_long) => Some(Class::Data),
            Part { weight, .. } if *weight < 0 => Some(Class::Check),
            Part { id, .. } if self.stored.contains(id) => Some(Class::Unique),
            Part { parent: Some(parent), id, .. } if parent != id && !self.stored.contains(parent) => {
                Some(Class::ForeignKey)
            }
            _ => None,
        };
        if class.is_none() {
            self.stored.insert(part.id);
        }
        class
    }

    pub(crate) fn stored(&self) -> &BTreeSet<i64> {
        &self.stored
    }
}

/// A batch of `rows` rows from `first` on, each bad with a chance of one in `rarity`, in one way only.
pub(crate) fn batch(dice: &mut Dice, first: i64, rows: i64, rarity: u64) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for id in first..first + rows {
        let mut part = Part { id, parent: None, name: Some("part".into()), weight: 1 };
        if dice.once_in(rarity) {
            match dice.below(6) {
                0 => part.name = None,
                1 => part.weight = -1,
                2 if id > first => part.id = first, // its neighbour's
                3 => part.parent = Some(-1 - id),   // nobody's
                4 => part.name = Some("much too long".into()),
                _ => part.name = Some("a\0b".into()),
            }
        } else if id > first && dice.once_in(10) {
            part.parent = Some(part.id); // its own
        }
        parts.push(part);
    }
    parts
}
