use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
/// Minutes kept: those of the longest window.
const KEPT: u64 = 360;
/// Fewer runs in a window are no burn rate.
const LEAST: u64 = 10;
/// A rate that uses up a month's budget in two days.
const FAST: f64 = 14.4;
/// A rate that uses it up in five.
const SLOW: f64 = 6.0;

/// How fast an objective's budget of slow and failed runs is spent: 1 is exactly as fast as the objective allows, 5 of 100 for a p95. `None` with
/// fewer than ten runs in the window. Counted by the minute, so a window is up to a minute shorter than its name says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct BurnRates {
    /// Over the last 5 minutes.
    pub minutes_5: Option<f64>,
    /// Over the last 30 minutes.
    pub minutes_30: Option<f64>,
    /// Over the last hour.
    pub hours_1: Option<f64>,
    /// Over the last 6 hours.
    pub hours_6: Option<f64>,
    /// What the windows say together.
    pub alert: Option<BurnAlert>,
}

/// Two windows agree that the budget goes too fast: the long one that it matters, the short one that it goes on.
///
/// Source: Beyer and others, *The Site Reliability Workbook* (2018), chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BurnAlert {
    /// At 14.4 times what is allowed, over 1 hour and over 5 minutes: somebody should look now.
    Fast,
    /// At 6 times, over 6 hours and over 30 minutes: somebody should look today.
    Slow,
}

/// Runs by the minute: all of them, and those beyond the limit.
#[derive(Debug)]
pub(super) struct Budget {
    allowed: f64, // above 0, below 1
    began: Instant,
    minutes: VecDeque<Minute>, // in time order, none older than `KEPT`
}

#[derive(Debug)]
struct Minute {
    nth: u64,
    runs: u64,
    beyond: u64,
}

impl Budget {
    pub(super) fn new(quantile: f64, began: Instant) -> Self {
        Self { allowed: 1.0 - quantile, began, minutes: VecDeque::new() }
    }

    pub(super) fn push(&mut self, at: Instant, beyond: bool) {
        let nth = self.minute(at);
        if self.minutes.back().is_none_or(|last| last.nth != nth) {
            self.minutes.push_back(Minute { nth, runs: 0, beyond: 0 });
        }
        if let Some(last) = self.minutes.back_mut() {
            last.runs += 1;
            last.beyond += u64::from(beyond);
        }
        while self.minutes.front().is_some_and(|first| first.nth + KEPT <= nth) {
            self.minutes.pop_front();
        }
    }

    pub(super) fn rates(&self, now: Instant) -> BurnRates {
        let over = |minutes: u64| self.rate(self.minute(now), minutes);
        let mut rates = BurnRates {
            minutes_5: over(5),
            minutes_30: over(30),
            hours_1: over(60),
            hours_6: over(KEPT),
            alert: None,
        };
        let both = |long: Option<f64>, short: Option<f64>, level: f64| {
            long.is_some_and(|rate| rate >= level) && short.is_some_and(|rate| rate >= level)
        };
        rates.alert = match () {
            () if both(rates.hours_1, rates.minutes_5, FAST) => Some(BurnAlert::Fast),
            () if both(rates.hours_6, rates.minutes_30, SLOW) => Some(BurnAlert::Slow),
            () => None,
        };
        rates
    }

    fn rate(&self, now: u64, minutes: u64) -> Option<f64> {
        let within = self.minutes.iter().rev().take_while(|minute| minute.nth + minutes > now);
        let (runs, beyond) =
            within.fold((0, 0), |(runs, beyond), minute| (runs + minute.runs, beyond + minute.beyond));
        (runs >= LEAST).then(|| beyond as f64 / runs as f64 / self.allowed)
    }

    fn minute(&self, at: Instant) -> u64 {
        at.duration_since(self.began).as_secs() / MINUTE.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run every ten seconds, `beyond` of each twenty of them too slow, for so many minutes from `from` on.
    fn runs(budget: &mut Budget, began: Instant, from: u64, minutes: u64, beyond: u64) {
        for nth in from * 6..(from + minutes) * 6 {
            budget.push(began + Duration::from_secs(10 * nth), nth % 20 < beyond);
        }
    }

    #[test]
    fn a_budget_spent_as_allowed_burns_at_one() {
        let began = Instant::now();
        let mut budget = Budget::new(0.95, began);
        runs(&mut budget, began, 0, 400, 1);
        let rates = budget.rates(began + 400 * MINUTE - Duration::from_secs(1));
        for rate in [rates.minutes_30, rates.hours_1, rates.hours_6] {
            assert!((rate.unwrap() - 1.0).abs() < 0.15, "{rates:?}");
        }
        assert_eq!(rates.alert, None);
        assert!(budget.minutes.len() <= 360, "six hours are kept, and no more: {}", budget.minutes.len());
    }

    #[test]
    fn two_windows_have_to_agree() {
        let began = Instant::now();
        let alert = |calm: u64, bad: u64, beyond: u64, then_calm: u64| {
            let mut budget = Budget::new(0.95, began);
            runs(&mut budget, began, 0, calm, 0);
            runs(&mut budget, began, calm, bad, beyond);
            runs(&mut budget, began, calm + bad, then_calm, 0);
            let end = u32::try_from(calm + bad + then_calm).unwrap();
            budget.rates(began + end * MINUTE - Duration::from_secs(1)).alert
        };
        assert_eq!(alert(360, 50, 20, 0), Some(BurnAlert::Fast));
        assert_eq!(alert(360, 5, 20, 0), None, "five bad minutes are not yet an hour's matter");
        assert_eq!(alert(360, 60, 20, 6), None, "what is over is no alert");
        assert_eq!(alert(60, 300, 8, 0), Some(BurnAlert::Slow));
        assert_eq!(alert(0, 1, 20, 0), None, "six runs are no rate");
    }
}
