use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One measured number, with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured: `api: response p95`.
    pub name: String,
    /// What it came to.
    pub value: f64,
    /// Its unit: `ms`, `ns`, `%`, `MiB`, `1/s`; empty for a ratio.
    pub unit: String,
    /// Lower end of the interval; `None` where none can be stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// What it was counted over: operations, runs, rounds.
    pub n: u64,
    /// The commit measured.
    pub commit: String,
    /// Seconds since 1970.
    pub at: u64,
    /// What kind of machine it was.
    pub machine: String,
    /// What measured it, and how.
    pub from: String,
}

impl Figure {
    /// A value of which nothing more is known yet.
    #[must_use]
    pub fn new(name: impl Into<String>, value: f64, unit: impl Into<String>) -> Self {
        let nothing = String::new();
        let (commit, machine, from) = (nothing.clone(), nothing.clone(), nothing);
        Self {
            name: name.into(),
            value,
            unit: unit.into(),
            low: None,
            high: None,
            n: 0,
            commit,
            at: 0,
            machine,
            from,
        }
    }

    pub(super) fn between(self, interval: Option<(f64, f64)>) -> Self {
        let (low, high) = interval.unzip();
        Self { low, high, ..self }
    }

    /// The value with its unit, and its interval where one is stated.
    pub(super) fn words(&self) -> String {
        let value = with_unit(self.value, &self.unit);
        self.interval().map_or(value.clone(), |interval| format!("{value} ({interval})"))
    }

    pub(super) fn interval(&self) -> Option<String> {
        Some(format!("{} to {}", number(self.low?), number(self.high?)))
    }
}

/// The newest figure of each name; of two of the same moment the later line counts.
pub(super) fn newest(figures: &[Figure]) -> BTreeMap<&str, &Figure> {
    let mut newest: BTreeMap<&str, &Figure> = BTreeMap::new();
    for figure in figures {
        let known = newest.entry(&figure.name).or_insert(figure);
        if figure.at >= known.at {
            *known = figure;
        }
    }
    newest
}

pub(super) fn with_unit(value: f64, unit: &str) -> String {
    let number = number(value);
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

/// Four significant digits, without zeros at the end.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 12")]
    let decimals = (3.0 - value.abs().log10().floor()).clamp(0.0, 12.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_and_no_more() {
        let text = [0.0, 1.0, 1.5, 12.3456, 0.000_123_46, 99_999.4, 100.0].map(number);
        assert_eq!(text, ["0", "1", "1.5", "12.35", "0.0001235", "99999", "100"]);
    }

    #[test]
    fn the_newest_counts() {
        let of = |value: f64, at: u64| Figure { at, ..Figure::new("a", value, "ms") };
        assert_eq!(newest(&[of(1.0, 5), of(2.0, 9), of(3.0, 7)])["a"].value, 2.0);
        assert_eq!(newest(&[of(1.0, 5), of(2.0, 5)])["a"].value, 2.0, "of one moment, the later line");
    }
}
