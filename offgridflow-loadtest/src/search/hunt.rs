//! What a search knows, and what it asks next: a pure function of the answers so far.

use super::{Found, LimitedBy, Observation, Purpose, Search, Step, Trial, trial::Leaning};

/// How many steps in a row the generator may decide: where it cannot keep any rate, more of them say no more.
const MOST_LIMITED: usize = 3;

/// How far apart rates are tried until there is one on either side.
const STRIDE: f64 = 4.0;

pub(super) struct Hunt<'a> {
    search: &'a Search,
    meets: Vec<f64>, // rising
    breaks: Option<f64>,
    unsure: Vec<f64>, // rising, between the last of `meets` and `breaks`
    confirmed: Option<bool>,
    limited: usize, // steps in a row that the generator decided
    steps: Vec<Step>,
}

impl<'a> Hunt<'a> {
    pub(super) fn new(search: &'a Search) -> Self {
        Self {
            search,
            meets: Vec::new(),
            breaks: None,
            unsure: Vec::new(),
            confirmed: None,
            limited: 0,
            steps: Vec::new(),
        }
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The next rate, unless the search is over.
    pub(super) fn next(&self) -> Option<(f64, Purpose)> {
        let left = self.search.max_steps.saturating_sub(self.steps.len());
        if left == 0 {
            return None;
        }
        let confirmation = self.confirmation();
        if left == 1 && confirmation.is_some() || self.limited >= MOST_LIMITED {
            return confirmation;
        }
        let next = match (self.meets.last(), self.breaks) {
            (Some(&low), Some(high)) => self.middle(low, high).map(|rate| (rate, Purpose::Narrow)),
            (_, None) => self.higher().map(|rate| (rate, Purpose::Bracket)),
            (None, Some(high)) => self.lower(high).map(|rate| (rate, Purpose::Bracket)),
        };
        next.or(confirmation)
    }

    fn confirmation(&self) -> Option<(f64, Purpose)> {
        let wanted = !self.search.confirm.is_zero() && self.confirmed.is_none();
        self.meets.last().filter(|_| wanted).map(|&rate| (rate, Purpose::Confirm))
    }

    fn higher(&self) -> Option<f64> {
        let known = self.unsure.last().or(self.meets.last());
        let Some(&known) = known else { return Some(self.search.from) };
        (known < self.search.to).then(|| (known * STRIDE).min(self.search.to))
    }

    fn lower(&self, breaks: f64) -> Option<f64> {
        let known = self.unsure.first().copied().unwrap_or(breaks);
        (known > super::LOWEST).then(|| (known / STRIDE).max(super::LOWEST))
    }

    /// The middle, in ratio, of the wider of the two gaps around what is open; none if both are narrow enough.
    fn middle(&self, low: f64, high: f64) -> Option<f64> {
        let below = (low, self.unsure.first().copied().unwrap_or(high));
        let above = (self.unsure.last().copied().unwrap_or(low), high);
        let (from, to) = if below.1 / below.0 >= above.1 / above.0 { below } else { above };
        (to / from > 1.0 + self.search.tolerance).then(|| libm::sqrt(from * to))
    }

    /// Takes what a trial said; the last one of a step decides.
    pub(super) fn take(&mut self, trial: &Trial, seen: Observation, decided: bool) {
        let leaning = seen.leaning;
        let at = (*trial, seen);
        if let Some(step) = self.steps.last_mut().filter(|step| step.number == trial.step) {
            step.trials.push(at);
        } else {
            self.steps.push(Step { number: trial.step, rate: trial.rate, trials: vec![at] });
        }
        if decided {
            self.learn(trial.rate, trial.purpose, leaning);
        }
    }

    fn learn(&mut self, rate: f64, purpose: Purpose, leaning: Leaning) {
        let confirms = purpose == Purpose::Confirm;
        self.limited = if leaning == Leaning::Limited { self.limited + 1 } else { 0 };
        match leaning {
            Leaning::Meets if confirms => self.confirmed = Some(true),
            // The generator kept this rate before: what it could not do now is no news of the target.
            Leaning::Unsure | Leaning::Limited if confirms => self.confirmed = Some(false),
            Leaning::Meets => {
                self.meets.push(rate);
                self.unsure.retain(|&open| open > rate);
            }
            Leaning::Unsure => {
                self.unsure.push(rate);
                self.unsure.sort_by(f64::total_cmp);
            }
            Leaning::Breaks | Leaning::Limited => {
                self.breaks = Some(rate);
                self.unsure.retain(|&open| open < rate);
                self.meets.retain(|&met| met < rate);
            }
        }
        self.meets.sort_by(f64::total_cmp);
    }

    pub(super) fn found(self) -> Found {
        let (at_least, below) = (self.meets.last().copied(), self.breaks);
        let rate = match (at_least, below) {
            (Some(low), Some(high)) => {
                // What stays open is nearer to the limit than what is decided.
                let open = self.unsure.first().zip(self.unsure.last());
                let (from, to) = open.map_or((low, high), |(first, last)| (*first, *last));
                Some(libm::sqrt(from * to))
            }
            (low, _) => low,
        };
        let confirmed = self.confirmed == Some(true);
        let limited_by = self.limited_by();
        Found { rate, at_least, below, confirmed, limited_by, steps: self.steps }
    }

    fn limited_by(&self) -> LimitedBy {
        let Some(breaks) = self.breaks else { return LimitedBy::NotReached };
        let step = self.steps.iter().rev().find(|step| step.rate.total_cmp(&breaks).is_eq());
        let said = step.and_then(|step| step.trials.last()).map(|(_, seen)| (seen.leaning, seen.why.clone()));
        match said {
            Some((Leaning::Limited, why)) => LimitedBy::Generator(why),
            Some((_, why)) => LimitedBy::Target(why),
            None => LimitedBy::NotReached,
        }
    }
}
