use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::GateError;
use crate::document::{Goals, Target, Trigger};

/// What a file `bench.toml` says of the gate; what it leaves out has its default, and the command line goes before it.
///
/// ```
/// use offgridflow_bench::gate::Settings;
/// let settings = Settings::parse("bench.toml", r#"
///     [gate]
///     budget = 240
///     [[gate.bench]]
///     name = "benches/cache: miss/*"
///     slowdown = 5.0
/// "#)?;
/// assert_eq!(settings.slowdowns(), [("benches/cache: miss/*".to_owned(), 0.05)]);
/// let error = Settings::parse("bench.toml", "[gate]\nslowdown = -3.0").unwrap_err().to_string();
/// assert_eq!(error, "bench.toml, line 2: `slowdown = -3`: a percentage from 0 to below 1000, such as 2.0");
/// # Ok::<(), offgridflow_bench::gate::GateError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Settings {
    table: GateTable,
    document: DocumentTable,
    targets: Vec<Target>,
    triggers: Vec<Trigger>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    gate: GateTable,
    #[serde(default)]
    document: DocumentTable,
    #[serde(default)]
    target: Vec<Target>,
    #[serde(default)]
    trigger: Vec<Trigger>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct DocumentTable {
    page: Option<PathBuf>,
    records: Option<PathBuf>,
    promises: Option<PathBuf>,
    judgements: Option<PathBuf>,
    max_age_days: Option<Spanned<i64>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct GateTable {
    alpha: Option<Spanned<f64>>,
    slowdown: Option<Spanned<f64>>,
    budget: Option<Spanned<i64>>,
    rounds: Option<Spanned<i64>>,
    layouts: Option<Spanned<i64>>,
    process_limit: Option<Spanned<i64>>,
    filter: Option<String>,
    cargo: Option<Vec<String>>,
    stamp_env: Vec<String>,
    allow_missing: Vec<String>,
    blessings: Option<PathBuf>,
    history: Option<PathBuf>,
    bench: Vec<Bench>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bench {
    name: Spanned<String>,
    slowdown: Spanned<f64>,
}

/// The longest time that can be asked for, in seconds: a week.
pub(crate) const LONGEST: u64 = 604_800;
/// Most rounds of a benchmark, and most link orders.
pub(crate) const MOST_ROUNDS: usize = 1_000;
pub(crate) const MOST_LAYOUTS: usize = 32;
/// The oldest that a figure may be allowed to be, in days.
const OLDEST: u64 = 36_500;
const PERCENT: &str = "a percentage from 0 to below 1000, such as 2.0";

impl Settings {
    /// Reads `path`; `None` when no such file is there.
    ///
    /// # Errors
    /// It cannot be read, or says something that makes no sense: the message names the file, the line, the field, and what would.
    pub fn read(path: &Path) -> Result<Option<Self>, GateError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&path.display().to_string(), &text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(GateError::read(path, &error)),
        }
    }

    /// The settings in `text`, which errors call `file`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(file: &str, text: &str) -> Result<Self, GateError> {
        let parsed: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, &span));
            let field = text.lines().nth(line - 1).unwrap_or_default().trim();
            GateError::Usage(format!("{file}, line {line}: `{field}`: {}", error.message()))
        })?;
        let File { gate: table, document, target: targets, trigger: triggers } = parsed;
        let settings = Self { table, document, targets, triggers };
        match settings.fault() {
            Some((span, what)) => {
                Err(GateError::Usage(format!("{file}, line {}: {what}", line_of(text, &span))))
            }
            None => Ok(settings),
        }
    }

    fn fault(&self) -> Option<(Range<usize>, String)> {
        let table = &self.table;
        let percent = |field: &str, value: &Spanned<f64>, sound: bool, hint: &str| {
            (!sound).then(|| (value.span(), format!("`{field} = {}`: {hint}", value.get_ref())))
        };
        let slowdown = |value: &Spanned<f64>| {
            percent("slowdown", value, (0.0..1_000.0).contains(value.get_ref()), PERCENT)
        };
        let alpha = |value: &Spanned<f64>| {
            let sound = *value.get_ref() > 0.0 && *value.get_ref() < 50.0;
            percent("alpha", value, sound, "a percentage above 0 and below 50, such as 1.0")
        };
        let whole = |field: &str, value: &Spanned<i64>, most: u64| {
            let given = *value.get_ref();
            let sound = u64::try_from(given).is_ok_and(|given| (1..=most).contains(&given));
            (!sound).then(|| (value.span(), format!("`{field} = {given}`: a whole number from 1 to {most}")))
        };
        let nameless = |bench: &Bench| {
            let fault = || {
                (bench.name.span(), "`name = \"\"`: the name as the gate prints it, or with `*`".to_owned())
            };
            bench.name.get_ref().is_empty().then(fault)
        };
        (table.alpha.iter().find_map(alpha))
            .or_else(|| table.slowdown.iter().find_map(slowdown))
            .or_else(|| table.budget.iter().find_map(|value| whole("budget", value, LONGEST)))
            .or_else(|| table.rounds.iter().find_map(|value| whole("rounds", value, MOST_ROUNDS as u64)))
            .or_else(|| table.layouts.iter().find_map(|value| whole("layouts", value, MOST_LAYOUTS as u64)))
            .or_else(|| table.process_limit.iter().find_map(|value| whole("process-limit", value, LONGEST)))
            .or_else(|| table.bench.iter().find_map(|bench| slowdown(&bench.slowdown)))
            .or_else(|| table.bench.iter().find_map(nameless))
            .or_else(|| {
                self.document.max_age_days.iter().find_map(|value| whole("max-age-days", value, OLDEST))
            })
            .or_else(|| {
                let said = |target: &Target| {
                    Some((
                        target.name.span(),
                        format!("target `{}`: {}", target.name.get_ref(), target.fault()?),
                    ))
                };
                self.targets.iter().find_map(said)
            })
    }

    /// What is asked of figures.
    #[must_use]
    pub fn goals(&self) -> Goals<'_> {
        Goals { targets: &self.targets, triggers: &self.triggers }
    }

    /// Where the page of measurements stands.
    #[must_use]
    pub fn page(&self) -> Option<&Path> {
        self.document.page.as_deref()
    }

    /// Where its figures are kept.
    #[must_use]
    pub fn records(&self) -> Option<&Path> {
        self.document.records.as_deref()
    }

    /// Where promises are listed that the page speaks of.
    #[must_use]
    pub fn promises(&self) -> Option<&Path> {
        self.document.promises.as_deref()
    }

    /// Where what measurements of promises said is kept.
    #[must_use]
    pub fn judgements(&self) -> Option<&Path> {
        self.document.judgements.as_deref()
    }

    /// Days after which a figure is too old to be shown.
    #[must_use]
    pub fn max_age_days(&self) -> Option<u64> {
        whole(self.document.max_age_days.as_ref())
    }

    /// Chance that identical programs are called regressed, in percent.
    #[must_use]
    pub fn alpha_percent(&self) -> Option<f64> {
        self.table.alpha.as_ref().map(|value| *value.get_ref())
    }

    /// Slow-downs up to this do not matter, in percent.
    #[must_use]
    pub fn slowdown_percent(&self) -> Option<f64> {
        self.table.slowdown.as_ref().map(|value| *value.get_ref())
    }

    /// Seconds for measuring.
    #[must_use]
    pub fn budget_seconds(&self) -> Option<u64> {
        whole(self.table.budget.as_ref())
    }

    /// Most rounds of a benchmark.
    #[must_use]
    pub fn rounds(&self) -> Option<usize> {
        whole(self.table.rounds.as_ref()).and_then(|rounds| usize::try_from(rounds).ok())
    }

    /// Link orders that rounds go through.
    #[must_use]
    pub fn layouts(&self) -> Option<usize> {
        whole(self.table.layouts.as_ref()).and_then(|layouts| usize::try_from(layouts).ok())
    }

    /// Longest a benchmark process may take, in seconds.
    #[must_use]
    pub fn process_limit_seconds(&self) -> Option<u64> {
        whole(self.table.process_limit.as_ref())
    }

    /// Only benchmarks whose name contains this.
    #[must_use]
    pub fn filter(&self) -> Option<&str> {
        self.table.filter.as_deref()
    }

    /// Arguments for `cargo bench`.
    #[must_use]
    pub fn cargo(&self) -> Option<&[String]> {
        self.table.cargo.as_deref()
    }

    /// Environment variables that hold a build stamp.
    #[must_use]
    pub fn stamps(&self) -> &[String] {
        &self.table.stamp_env
    }

    /// Benchmarks that may be gone, by name, `*` for any text.
    #[must_use]
    pub fn allow_missing(&self) -> &[String] {
        &self.table.allow_missing
    }

    /// Where accepted slow-downs stand.
    #[must_use]
    pub fn blessings(&self) -> Option<&Path> {
        self.table.blessings.as_deref()
    }

    /// Where what was measured is kept.
    #[must_use]
    pub fn history(&self) -> Option<&Path> {
        self.table.history.as_deref()
    }

    /// Benchmarks with a limit of their own: their name, `*` for any text, and the share that does not matter.
    #[must_use]
    pub fn slowdowns(&self) -> Vec<(String, f64)> {
        let of = |bench: &Bench| (bench.name.get_ref().clone(), bench.slowdown.get_ref() / 100.0);
        self.table.bench.iter().map(of).collect()
    }
}

fn whole(value: Option<&Spanned<i64>>) -> Option<u64> {
    value.and_then(|value| u64::try_from(*value.get_ref()).ok())
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_file_line_field_and_what_would_do() {
        let said = |text: &str| Settings::parse("b.toml", text).unwrap_err().to_string();
        for (text, words) in [
            (
                "[gate]\nslowdwn = 2.0",
                &["b.toml, line 2", "`slowdwn = 2.0`", "unknown field", "`slowdown`"][..],
            ),
            ("[gate]\n\nalpha = \"x\"", &["line 3", "`alpha = \"x\"`", "invalid type"]),
            ("[gate]\nalpha = 0.0", &["line 2", "`alpha = 0`", "above 0 and below 50"]),
            ("[gate]\nbudget = 0", &["line 2", "`budget = 0`", "a whole number from 1 to 604800"]),
            ("[gate]\nrounds = -4", &["line 2", "`rounds = -4`"]),
            ("[gate]\nrounds = 1001", &["line 2", "`rounds = 1001`", "from 1 to 1000"]),
            ("[gate]\nbudget = 9223372036854775807", &["line 2", "from 1 to 604800"]),
            ("[gate]\nprocess-limit = 9223372036854775807", &["line 2", "from 1 to 604800"]),
            ("[gate]\nlayouts = 33", &["line 2", "from 1 to 32"]),
            ("[document]\nmax-age-days = 9223372036854775807", &["line 2", "from 1 to 36500"]),
            ("[[gate.bench]]\nname = \"a\"\nslowdown = 1000.0", &["line 3", "below 1000"]),
            ("[[gate.bench]]\nname = \"\"\nslowdown = 3.0", &["line 2", "as the gate prints it"]),
            ("[[gate.bench]]\nname = \"a\"", &["line 1", "missing field `slowdown`"]),
            ("[gate\n", &["line 1"]),
        ] {
            let said = said(text);
            assert!(words.iter().all(|word| said.contains(word)), "{text:?}: {said}");
        }
    }

    #[test]
    fn what_is_not_there_is_no_error_and_what_is_empty_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Settings::read(&folder.path().join("bench.toml")).unwrap().is_none());
        let settings = Settings::parse("b.toml", "").unwrap();
        assert!(settings.alpha_percent().is_none() && settings.slowdowns().is_empty());
    }
}
