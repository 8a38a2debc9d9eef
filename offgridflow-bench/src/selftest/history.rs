use super::{Dice, Rate};
use crate::history::{Finding, HistoryOptions, Series, findings};

/// Commits of a full series.
const COMMITS: usize = 200;
/// Commits after a step at which it should have been found.
const SOON: usize = 5;
const STEP: f64 = 0.05;

/// How findings in synthetic histories agree with the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryRates {
    /// Wrong ones among all findings.
    pub wrong: Rate,
    /// Steps of 5 % found, within 5 commits and where they are (±1 at a spread of 1.5 %, ±2 at 2 %).
    pub found: Rate,
    /// What "the newest value is 5 % above the mean of the ten before it" gets wrong among its findings, on the same series.
    pub threshold_wrong: Rate,
}

/// A family of `size` series with noise of `spread`, three in ten with a step of 5 % that is five commits old; the others quiet, some with
/// heavy tails, a single spike, or a new runner in the middle, which a ratio does not see.
#[must_use]
pub fn history_rates(size: usize, spread: f64, tolerance: usize, seed: u64) -> HistoryRates {
    let mut dice = Dice::new(seed);
    let all: Vec<(Series, Option<usize>)> = (0..size).map(|nth| synthetic(nth, spread, &mut dice)).collect();
    let series: Vec<Series> = all.iter().map(|(series, _)| series.clone()).collect();
    let found = findings(&series, &[], &HistoryOptions { seed, ..HistoryOptions::default() });
    let mut rates = HistoryRates::default();
    for (series, step) in &all {
        let own: Vec<&Finding> = found.iter().filter(|finding| finding.bench == series.bench).collect();
        let right = |finding: &&&Finding| {
            step.is_some_and(|step| finding.at.abs_diff(step) <= tolerance && finding.ln_change > 0.0)
        };
        own.iter().for_each(|finding| rates.wrong.count(!right(&finding)));
        if step.is_some() {
            rates.found.count(own.iter().any(|finding| right(&finding)));
        }
        for at in alarms_of_threshold(&series.values) {
            rates.threshold_wrong.count(step.is_none_or(|step| at.abs_diff(step) > tolerance));
        }
    }
    rates
}

fn synthetic(nth: usize, spread: f64, dice: &mut Dice) -> (Series, Option<usize>) {
    let length = COMMITS - dice.below(COMMITS / 2);
    let mut values: Vec<f64> = (0..length).map(|_| spread * dice.normal()).collect();
    let step = (nth % 10 < 3).then_some(length - SOON);
    match (step, nth % 10) {
        (Some(step), _) => values[step..].iter_mut().for_each(|value| *value += STEP),
        (None, 3) => values[length / 3] += 0.3,
        (None, 4) => values.iter_mut().for_each(|value| *value *= dice.exponential()),
        // A runner 30 % slower takes both sides of each ratio with it: what is left is its noise.
        (None, 5) => values[length / 2..].iter_mut().for_each(|value| *value *= 1.3),
        _ => {}
    }
    let commits = (0..length).map(|nth| nth.to_string()).collect();
    (Series { bench: nth.to_string(), commits, weights: vec![1.0; length], values }, step)
}

/// The control: what most dashboards do.
fn alarms_of_threshold(values: &[f64]) -> Vec<usize> {
    let exceeds = |at: &usize| {
        let before = &values[at - 10..*at];
        values[*at] - before.iter().sum::<f64>() / 10.0 > STEP.ln_1p()
    };
    (10..values.len()).filter(exceeds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b7_steps_are_found_soon_and_quiet_series_are_left_alone() {
        let rates = history_rates(60, 0.015, 1, 3);
        assert!(rates.found.events + 2 >= rates.found.trials, "{rates:?}");
        assert!(rates.wrong.events <= 3, "{rates:?}");
        assert!(rates.threshold_wrong.share() > 0.3, "the control: {rates:?}");
    }
}
