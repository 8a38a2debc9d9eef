use statrs::distribution::{ContinuousCDF, StudentsT};

use super::Rate;

/// The verdict of criterion's own rule on one process a side, "regressed" or "improved": p < 5 %, and the 95 % interval of the change of the
/// mean beyond 1 %. With Student's distribution in place of its bootstraps.
///
/// Source: criterion 0.8, `report.rs` (`compare_to_threshold`) and `analysis/compare.rs`.
#[must_use]
pub fn criterion_sees_a_change(base: &[f64], head: &[f64]) -> bool {
    const SIGNIFICANCE: f64 = 0.05;
    const NOISE: f64 = 0.01;
    let ((before, before_error), (now, now_error)) = (mean_and_error(base), mean_and_error(head));
    let error = before_error.hypot(now_error);
    let freedom = (base.len() + head.len()).saturating_sub(2).max(1) as f64;
    let Ok(student) = StudentsT::new(0.0, 1.0, freedom) else { return false };
    let p = 2.0 * student.sf(((now - before) / error).abs());
    let (change, width) = (now / before - 1.0, 1.96 * error / before);
    p < SIGNIFICANCE && (change - width > NOISE || change + width < -NOISE)
}

/// Whether critcmp at a threshold of 5 % shows the means as different.
#[must_use]
pub fn critcmp_shows(base: &[f64], head: &[f64]) -> bool {
    let (before, now) = (mean_and_error(base).0, mean_and_error(head).0);
    before.max(now) / before.min(now) > 1.05
}

/// A rule that others judge by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// [`criterion_sees_a_change`].
    Criterion,
    /// [`critcmp_shows`].
    Critcmp,
}

/// How a rule does on rounds of identical programs, one process a side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RivalRates {
    /// Pairs in which it sees a change: always wrongly.
    pub wrong: Rate,
    /// Rounds of all benchmarks in which it sees one in any of them.
    pub suites: Rate,
    /// Pairs whose head was made 5 % slower in which it sees a change.
    pub caught: Rate,
}

/// What the rules say of one pair of processes, as it is and with the head made slower.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    criterion: (bool, bool),
    critcmp: (bool, bool),
}

/// By what the head is made slower.
const SLOWER: f64 = 1.05;

impl Seen {
    pub(super) fn between(base: &[f64], head: &[f64]) -> Self {
        let slower: Vec<f64> = head.iter().map(|sample| sample * SLOWER).collect();
        let both = |rule: fn(&[f64], &[f64]) -> bool| (rule(base, head), rule(base, &slower));
        Self { criterion: both(criterion_sees_a_change), critcmp: both(critcmp_shows) }
    }

    pub(super) fn of(&self, rival: Rival) -> (bool, bool) {
        match rival {
            Rival::Criterion => self.criterion,
            Rival::Critcmp => self.critcmp,
        }
    }
}

/// Mean and its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::Dice;

    /// Independent samples it judges well; a process that is slower as a whole, which no change of the code made, it does not.
    #[test]
    fn criterions_rule_is_right_about_samples_and_wrong_about_processes() {
        let mut dice = Dice::new(1);
        let mut share = |process: f64| {
            let changed = (0..400).filter(|_| {
                let side = |dice: &mut Dice| -> Vec<f64> {
                    let centre = 100.0 * (1.0 + process * dice.normal());
                    (0..50).map(|_| centre * (1.0 + 0.02 * dice.normal())).collect()
                };
                criterion_sees_a_change(&side(&mut dice), &side(&mut dice))
            });
            changed.count() as f64 / 400.0
        };
        let (alike, apart) = (share(0.0), share(0.03));
        assert!(alike < 0.05 && apart > 0.4, "{alike} {apart}");
        let by = |ratio: f64| critcmp_shows(&[100.0; 5], &[100.0 * ratio; 5]);
        assert!(by(1.06) && by(0.94) && !by(1.04));
    }
}
