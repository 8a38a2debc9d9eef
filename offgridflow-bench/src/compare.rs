use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::stats::{Interval, ratio_of_medians};
use crate::{Error, Measurement, MeasurementSource};

/// How two recordings are compared.
#[derive(Debug, Clone)]
pub struct Options {
    /// Ratios closer to 1 than this do not matter. Default: 0.02 (2 %).
    pub threshold: f64,
    /// Confidence of each interval, before it is divided over the suite. Default: 0.99.
    pub confidence: f64,
    /// Seed of the bootstrap. Default: 1.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { threshold: 0.02, confidence: 0.99, seed: 1 }
    }
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        let refuse = |option, value: f64, hint| Err(Error::Option { option, value: value.to_string(), hint });
        if !(0.0..10.0).contains(&self.threshold) {
            return refuse("threshold", self.threshold, "a share from 0 to below 10, such as 0.02");
        }
        if !(self.confidence > 0.5 && self.confidence < 1.0) {
            return refuse("confidence", self.confidence, "between 0.5 and 1, such as 0.99");
        }
        Ok(())
    }
}

/// What a comparison says of one benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The whole interval lies above 1 + threshold.
    Slower,
    /// The whole interval lies below 1 / (1 + threshold).
    Faster,
    /// The whole interval lies between the two.
    Unchanged,
    /// The interval reaches across a boundary: more samples, or a quieter machine, would tell.
    Undecided,
}

/// One benchmark on both sides.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The benchmark's full name.
    pub name: String,
    /// Time of the new side over the base's.
    pub ratio: Interval,
    /// What follows from it.
    pub effect: Effect,
    /// Samples of the base and of the new side.
    pub samples: (usize, usize),
}

impl Comparison {
    /// Compares two measurements of the same benchmark.
    ///
    /// # Errors
    /// Fewer than ten samples on a side, samples that are no durations, or options that make no sense.
    pub fn of(base: &Measurement, new: &Measurement, options: &Options) -> Result<Self, Error> {
        options.check()?;
        let (base_ln, new_ln) = (base.logarithms()?, new.logarithms()?);
        let ratio = ratio_of_medians(&base_ln, &new_ln, options.confidence, options.seed);
        let ratio =
            ratio.ok_or_else(|| Error::Samples { name: new.name.clone(), reason: "there are no samples" })?;
        let effect = effect_of(ratio, options.threshold);
        Ok(Self { name: new.name.clone(), ratio, effect, samples: (base_ln.len(), new_ln.len()) })
    }
}

/// By name.
fn each_once(measurements: Vec<Measurement>) -> Result<BTreeMap<String, Measurement>, Error> {
    let mut by_name = BTreeMap::new();
    for one in measurements {
        if let Some(Measurement { name, .. }) = by_name.insert(one.name.clone(), one) {
            return Err(Error::Samples { name, reason: "it is recorded twice" });
        }
    }
    Ok(by_name)
}

fn effect_of(ratio: Interval, threshold: f64) -> Effect {
    let (slower, faster) = (1.0 + threshold, 1.0 / (1.0 + threshold));
    match ratio {
        Interval { low, .. } if low > slower => Effect::Slower,
        Interval { high, .. } if high < faster => Effect::Faster,
        Interval { low, high, .. } if low >= faster && high <= slower => Effect::Unchanged,
        _ => Effect::Undecided,
    }
}

/// Every benchmark of two recordings; `Display` prints a table.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Benchmarks on both sides, ordered by name.
    pub comparisons: Vec<Comparison>,
    /// Benchmarks that only the base has: not measured any more, and so not judged.
    pub missing: Vec<String>,
    /// Benchmarks that only the new side has.
    pub added: Vec<String>,
    /// The threshold used.
    pub threshold: f64,
}

/// Compares every benchmark that both sources have. The confidence is shared out over the suite (Bonferroni), so that the
/// chance of *any* wrong claim about medians is at most `1 − confidence`, as far as the samples stand for the machine.
///
/// # Errors
/// When a source cannot be read, a benchmark cannot be compared, or an option makes no sense.
pub fn compare(
    base: &impl MeasurementSource,
    new: &impl MeasurementSource,
    options: &Options,
) -> Result<Report, Error> {
    options.check()?;
    let mut left = each_once(base.measurements()?)?;
    let mut pairs = Vec::new();
    let mut added = Vec::new();
    for measurement in each_once(new.measurements()?)?.into_values() {
        match left.remove(&measurement.name) {
            Some(before) => pairs.push((before, measurement)),
            None => added.push(measurement.name),
        }
    }
    let confidence = 1.0 - (1.0 - options.confidence) / pairs.len().max(1) as f64;
    let each = Options { confidence, ..options.clone() };
    let comparisons =
        pairs.iter().map(|(base, new)| Comparison::of(base, new, &each)).collect::<Result<_, _>>()?;
    Ok(Report { comparisons, missing: left.into_keys().collect(), added, threshold: options.threshold })
}

impl Report {
    /// Exit status of a command that judges by this report: 1 when anything is slower, 4 when a benchmark is missing or
    /// there was nothing to compare, 3 when anything is undecided, else 0.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let any = |effect| self.comparisons.iter().any(|comparison| comparison.effect == effect);
        match () {
            () if any(Effect::Slower) => 1,
            () if !self.missing.is_empty() || self.comparisons.is_empty() => 4,
            () if any(Effect::Undecided) => 3,
            () => 0,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .comparisons
            .iter()
            .map(|comparison| comparison.name.chars().count())
            .max()
            .unwrap_or(0)
            .max(9);
        writeln!(f, "{:width$}  {:>7}  {:^17}  {:>9}  effect", "benchmark", "ratio", "interval", "samples")?;
        for Comparison { name, ratio, effect, samples } in &self.comparisons {
            let effect = match effect {
                Effect::Slower => "SLOWER",
                Effect::Faster => "faster",
                Effect::Unchanged => "unchanged",
                Effect::Undecided => "undecided",
            };
            let interval = format!("{:.3} to {:.3}", ratio.low, ratio.high);
            let samples = format!("{}/{}", samples.0, samples.1);
            writeln!(f, "{name:width$}  {:7.3}  {interval:^17}  {samples:>9}  {effect}", ratio.estimate)?;
        }
        for name in &self.missing {
            writeln!(f, "{name:width$}  missing on the new side")?;
        }
        for name in &self.added {
            writeln!(f, "{name:width$}  new")?;
        }
        let percent = self.threshold * 100.0;
        writeln!(f, "Ratios of medians, new over base; a change within {percent} % does not matter.")?;
        write!(
            f,
            "The sides were recorded apart: what else changed on the machine between them is in the ratio too."
        )
    }
}
