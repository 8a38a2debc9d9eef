//! Rows of data for operations: names, ids, searches.

mod table;

use std::{fmt, str::FromStr, sync::Arc};

use crate::{error::ConfigError, rng::OpRng};

/// A table of data, one row for each operation.
///
/// Which row an operation gets depends on its index and the run's seed only, so that every split over shards
/// hands out the same rows.
///
/// ```
/// use offgridflow_loadtest::{Feed, FeedMode};
/// let sites = Feed::new(["site", "year"], [["north", "2023"], ["south", "2024"]])?.mode(FeedMode::Random);
/// assert_eq!(sites.len(), 2);
/// assert!(Feed::new(["site"], [["north", "2023"]]).is_err());
/// # Ok::<(), offgridflow_loadtest::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Feed {
    columns: Arc<[String]>,
    cells: Arc<[String]>, // row by row
    mode: FeedMode,
}

/// In which order rows are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FeedMode {
    /// Row after row, from the start again after the last.
    #[default]
    Sequential,
    /// Each time one at random.
    Random,
    /// Each row once in the whole run, over all shards. A plan with more operations than rows is refused.
    Unique,
}

impl Feed {
    /// A table in memory.
    ///
    /// # Errors
    /// No column, no row, two columns of one name, or a row that is not as long as the columns.
    pub fn new<C: Into<String>, R: IntoIterator<Item = V>, V: Into<String>>(
        columns: impl IntoIterator<Item = C>,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Self, ConfigError> {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        let mut cells = Vec::new();
        for (index, row) in rows.into_iter().enumerate() {
            let before = cells.len();
            cells.extend(row.into_iter().map(Into::into));
            if cells.len() - before != columns.len() {
                let hint =
                    format!("row {} has {} cells, not {}", index + 1, cells.len() - before, columns.len());
                return Err(ConfigError::new("feed", hint));
            }
        }
        Self::of(columns, cells)
    }

    /// Of whole rows.
    fn of(columns: Vec<String>, cells: Vec<String>) -> Result<Self, ConfigError> {
        if let Some(twice) = crate::error::twice(&columns) {
            return Err(ConfigError::new(
                "feed",
                format!("there are two columns `{twice}`: name them apart"),
            ));
        }
        if cells.is_empty() {
            return Err(ConfigError::new("feed", "at least one column and one row are needed"));
        }
        Ok(Self { columns: columns.into(), cells: cells.into(), mode: FeedMode::default() })
    }

    /// What the columns are called.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The cells of column `at`, from 0, row after row.
    #[cfg(feature = "cli")]
    pub(crate) fn column(&self, at: usize) -> impl Iterator<Item = &str> {
        self.cells.iter().skip(at).step_by(self.columns.len()).map(String::as_str)
    }

    /// In which order rows are taken. Default: one after the other.
    #[must_use]
    pub fn mode(mut self, mode: FeedMode) -> Self {
        self.mode = mode;
        self
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len() / self.columns.len()
    }

    /// Whether there are none: never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows, and in which order.
    pub(crate) fn describe(&self) -> String {
        let rows = self.len();
        format!("{rows} row{}, {}", if rows == 1 { "" } else { "s" }, self.mode)
    }

    pub(crate) fn is_unique(&self) -> bool {
        self.mode == FeedMode::Unique
    }

    /// The row of operation `index` in a run with `seed`; `None` once unique rows ran out.
    pub(crate) fn row(&self, index: u64, seed: u64) -> Option<FeedRow<'_>> {
        let rows = u64::try_from(self.len()).unwrap_or(u64::MAX);
        let at = match self.mode {
            FeedMode::Sequential => index % rows,
            FeedMode::Random => OpRng::new(seed ^ 0x6665_6564, index).below(rows),
            FeedMode::Unique if index < rows => index,
            FeedMode::Unique => return None,
        };
        let from = usize::try_from(at).ok()? * self.columns.len();
        Some(FeedRow { columns: &self.columns, cells: &self.cells[from..from + self.columns.len()] })
    }
}

impl FromStr for FeedMode {
    type Err = ConfigError;

    /// `sequential`, `random` or `unique`.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "sequential" => Ok(Self::Sequential),
            "random" => Ok(Self::Random),
            "unique" => Ok(Self::Unique),
            _ => {
                let hint = format!("`{text}` is not known: write sequential, random or unique");
                Err(ConfigError::new("mode", hint))
            }
        }
    }
}

impl fmt::Display for FeedMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sequential => "sequential",
            Self::Random => "random",
            Self::Unique => "unique",
        })
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cells may be secrets.
        f.debug_struct("Feed")
            .field("columns", &self.columns)
            .field("rows", &self.len())
            .finish_non_exhaustive()
    }
}

/// One row of a [`Feed`].
#[derive(Clone, Copy)]
pub struct FeedRow<'a> {
    columns: &'a [String],
    cells: &'a [String],
}

impl<'a> FeedRow<'a> {
    /// The cell under a column's name.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&'a str> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.cells.get(at).map(String::as_str)
    }

    /// All cells, in the order of the columns.
    #[must_use]
    pub fn cells(&self) -> &'a [String] {
        self.cells
    }
}

impl fmt::Debug for FeedRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedRow").field("columns", &self.columns).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(mode: FeedMode) -> Feed {
        Feed::new(["n"], (0..10).map(|n| [n.to_string()])).expect("a table").mode(mode)
    }

    #[test]
    fn columns_are_told_apart_by_name() {
        let error = Feed::new(["site", "year", "site"], [["a", "b", "c"]]).expect_err("twice");
        assert!(error.hint.contains("two columns `site`"), "{error}");
    }

    #[test]
    fn rows_depend_on_index_and_seed_only() {
        let cell =
            |mode, index, seed| numbers(mode).row(index, seed).map(|row| row.get("n").map(str::to_owned));
        assert_eq!(cell(FeedMode::Sequential, 23, 0), Some(Some("3".into())));
        assert_eq!(cell(FeedMode::Random, 23, 7), cell(FeedMode::Random, 23, 7));
        let drawn: std::collections::HashSet<_> =
            (0..200).map(|index| cell(FeedMode::Random, index, 7)).collect();
        assert_eq!(drawn.len(), 10, "every row is drawn");
        assert_eq!(cell(FeedMode::Unique, 9, 0), Some(Some("9".into())));
        assert_eq!(cell(FeedMode::Unique, 10, 0), None);
        assert_eq!(
            numbers(FeedMode::Unique).row(0, 0).and_then(|row| row.get("other").map(str::to_owned)),
            None
        );
    }
}
