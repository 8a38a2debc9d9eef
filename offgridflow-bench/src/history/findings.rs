use serde::Serialize;

use super::{Blessing, Series};
use crate::stats::{benjamini_hochberg, drift, likeliest_split, middle_of};

/// How a history is judged.
#[derive(Debug, Clone)]
pub struct HistoryOptions {
    /// Expected share of findings in series that did not move. Default: 0.03; what is found a commit too far off comes on top.
    pub wrong_share: f64,
    /// Changes smaller than this share do not matter. Default: 0.01 (1 %).
    pub floor: f64,
    /// Seed of the permutations. Default: 1.
    pub seed: u64,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self { wrong_share: 0.03, floor: 0.01, seed: 1 }
    }
}

/// How a series moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Movement {
    /// From one commit to the next.
    Step,
    /// Slowly, over all of it.
    Drift,
}

/// A movement of one benchmark that chance does not explain. It names suspects; an A/B of the two commits convicts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The benchmark.
    pub bench: String,
    /// How it moved.
    pub movement: Movement,
    /// The last commit of the old level; of a drift, the first commit.
    pub before: String,
    /// The first commit of the new level; of a drift, the last commit.
    pub after: String,
    /// Place of `after` in the series.
    pub at: usize,
    /// ln of the new level over the old.
    pub ln_change: f64,
    /// p-value, the search for the place paid for, adjusted over all series (Benjamini and Hochberg).
    pub p: f64,
    /// The reason, when somebody has accepted it.
    pub blessed: Option<String>,
}

/// Every series counts in the family, not only the ones with something to show: steps first, then drift among the series without one.
/// A fifth of `wrong_share` is kept for drift. A blessing covers the step of its benchmark at its commit or the two after it.
#[must_use]
pub fn findings(all: &[Series], blessings: &[Blessing], options: &HistoryOptions) -> Vec<Finding> {
    let (step_share, drift_share) = (0.8 * options.wrong_share, 0.2 * options.wrong_share);
    let permutations = permutations(all.len(), step_share);
    let splits: Vec<f64> = all.iter().map(|series| p_of_split(series, permutations, options.seed)).collect();
    let adjusted = benjamini_hochberg(&splits);
    let cutoff = splits
        .iter()
        .zip(&adjusted)
        .filter(|(_, adjusted)| **adjusted <= step_share)
        .map(|(p, _)| *p)
        .fold(0.0, f64::max);
    let drifts: Vec<f64> =
        all.iter().map(|series| drift(&series.values).map_or(1.0, |drift| drift.p)).collect();
    let adjusted_drifts = benjamini_hochberg(&drifts);
    let mut found = Vec::new();
    for (nth, series) in all.iter().enumerate() {
        if adjusted[nth] <= step_share {
            found.extend(moved(series, &Search { permutations, cutoff, p: adjusted[nth], options }));
        } else if adjusted_drifts[nth] <= drift_share {
            found.extend(slow(series, adjusted_drifts[nth], options.floor));
        }
    }
    for finding in &mut found {
        let series = all.iter().find(|series| series.bench == finding.bench);
        finding.blessed = series.and_then(|series| blessing(finding, series, blessings));
    }
    found
}

/// So many that the smallest possible p can pass the first threshold of the family.
fn permutations(series: usize, share: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive whole number"
    )]
    let needed = (series as f64 / share).ceil() as usize;
    needed.clamp(999, 200_000)
}

fn p_of_split(series: &Series, permutations: usize, seed: u64) -> f64 {
    likeliest_split(&series.values, &series.weights, permutations, seed).map_or(1.0, |split| split.p)
}

struct Search<'a> {
    permutations: usize,
    cutoff: f64, // largest p that the family rejects
    p: f64,      // adjusted p of the series
    options: &'a HistoryOptions,
}

/// The accepted steps of one series, each as the difference of the levels next to it; a series that slides has one drift instead.
fn moved(series: &Series, search: &Search<'_>) -> Vec<Finding> {
    let mut places = Vec::new();
    split(series, 0..series.values.len(), search, &mut places);
    if slides(&series.values, &places) {
        return slow(series, search.p, search.options.floor).into_iter().collect();
    }
    let bounds: Vec<usize> = std::iter::once(0).chain(places).chain([series.values.len()]).collect();
    bounds.windows(3).filter_map(|around| step(series, around, search)).collect()
}

/// Binary segmentation (Vostrikova 1981): each side of an accepted split is searched again. Places come in order.
fn split(series: &Series, range: std::ops::Range<usize>, search: &Search<'_>, places: &mut Vec<usize>) {
    let (values, weights) = (&series.values[range.clone()], &series.weights[range.clone()]);
    let found = likeliest_split(values, weights, search.permutations, search.options.seed);
    if let Some(found) = found.filter(|found| found.p <= search.cutoff) {
        let at = range.start + found.at;
        split(series, range.start..at, search, places);
        places.push(at);
        split(series, at..range.end, search, places);
    }
}

/// The step at the middle one of three bounds, if it is large enough to matter.
fn step(series: &Series, around: &[usize], search: &Search<'_>) -> Option<Finding> {
    let (from, at, to) = (around[0], around[1], around[2]);
    let level = |range: std::ops::Range<usize>| middle_of(&mut series.values[range].to_vec());
    let ln_change = level(at..to)? - level(from..at)?;
    (ln_change.abs() >= search.options.floor.ln_1p()).then(|| Finding {
        bench: series.bench.clone(),
        movement: Movement::Step,
        before: series.commits[at - 1].clone(),
        after: series.commits[at].clone(),
        at,
        ln_change,
        p: search.p,
        blessed: None,
    })
}

/// Whether one straight line fits the values better than levels that change at `places`.
fn slides(values: &[f64], places: &[usize]) -> bool {
    let Some(trend) = drift(values) else { return false };
    let misfit = |residuals: Vec<f64>| {
        let centre = middle_of(&mut residuals.clone()).unwrap_or(0.0);
        residuals.iter().map(|residual| (residual - centre).abs()).sum::<f64>()
    };
    let line = values.iter().enumerate().map(|(nth, value)| value - trend.slope * nth as f64).collect();
    let bounds: Vec<usize> = std::iter::once(0).chain(places.iter().copied()).chain([values.len()]).collect();
    let levels: f64 = bounds.windows(2).map(|ends| misfit(values[ends[0]..ends[1]].to_vec())).sum();
    misfit(line) < levels
}

fn slow(series: &Series, p: f64, floor: f64) -> Option<Finding> {
    let last = series.values.len().checked_sub(1)?;
    let ln_change = drift(&series.values)?.slope * last as f64;
    (ln_change.abs() >= floor.ln_1p()).then(|| Finding {
        bench: series.bench.clone(),
        movement: Movement::Drift,
        before: series.commits[0].clone(),
        after: series.commits[last].clone(),
        at: last,
        ln_change,
        p,
        blessed: None,
    })
}

fn blessing(finding: &Finding, series: &Series, blessings: &[Blessing]) -> Option<String> {
    let covers = |blessing: &&Blessing| {
        let given = series.commits.iter().position(|commit| *commit == blessing.commit);
        blessing.bench == finding.bench
            && finding.ln_change <= blessing.slowdown.ln_1p() * 1.25
            && given.is_some_and(|given| (given..=given + 2).contains(&finding.at))
    };
    blessings.iter().find(covers).map(|blessing| blessing.reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::Dice;

    fn quiet(bench: &str, n: usize, dice: &mut Dice) -> Series {
        Series {
            bench: bench.to_owned(),
            commits: (0..n).map(|nth| format!("c{nth}")).collect(),
            values: (0..n).map(|_| 0.015 * dice.normal()).collect(),
            weights: vec![1.0; n],
        }
    }

    #[test]
    fn steps_drifts_and_nothing_have_their_names() {
        let mut dice = Dice::new(1);
        let mut all: Vec<Series> = (0..10).map(|nth| quiet(&format!("b{nth}"), 80, &mut dice)).collect();
        all[1].values[40..].iter_mut().for_each(|value| *value += 0.05);
        all[1].values[60..].iter_mut().for_each(|value| *value -= 0.05);
        all[2].values.iter_mut().enumerate().for_each(|(nth, value)| *value += 0.001 * nth as f64);
        all[3].values[50] += 0.4;
        let found = findings(&all, &[], &HistoryOptions::default());
        let told: Vec<_> = found.iter().map(|one| (one.bench.as_str(), one.movement)).collect();
        assert_eq!(told, [("b1", Movement::Step), ("b1", Movement::Step), ("b2", Movement::Drift)]);
        assert!(found[0].at.abs_diff(40) <= 1 && found[1].at.abs_diff(60) <= 1);
        assert!((found[0].ln_change - 0.05).abs() < 0.01 && found[1].ln_change < 0.0);
        assert_eq!(
            (found[0].before.as_str(), found[0].after.as_str()),
            (format!("c{}", found[0].at - 1).as_str(), format!("c{}", found[0].at).as_str())
        );
    }

    #[test]
    fn a_blessing_covers_its_step_and_no_other() {
        let mut dice = Dice::new(2);
        let mut all = vec![quiet("b", 60, &mut dice), quiet("other", 60, &mut dice)];
        for series in &mut all {
            series.values[30..].iter_mut().for_each(|value| *value += 0.09);
        }
        let blessed = |commit: &str, slowdown: f64| {
            let blessing = Blessing {
                bench: "b".to_owned(),
                slowdown,
                reason: "checked".to_owned(),
                commit: commit.to_owned(),
            };
            let found = findings(&all, &[blessing], &HistoryOptions::default());
            found.iter().map(|one| one.blessed.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(blessed("c29", 0.1), [true, false]);
        assert_eq!(blessed("c10", 0.1), [false, false], "long before");
        assert_eq!(blessed("c29", 0.03), [false, false], "less than it became");
    }

    #[test]
    fn short_and_still_series_say_nothing() {
        let mut still = quiet("b", 50, &mut Dice::new(3));
        still.values.fill(0.1);
        let mut short = quiet("s", 4, &mut Dice::new(4));
        short.values[3] = 5.0;
        assert_eq!(findings(&[still, short], &[], &HistoryOptions::default()), []);
        assert_eq!(findings(&[], &[], &HistoryOptions::default()), []);
    }
}
