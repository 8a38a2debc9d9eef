use super::{Dice, Rate, Skew, Weather};
use crate::stats::{Betting, Tail};

/// Benchmarks of a simulated suite.
pub const BENCHES: usize = 100;
/// Rounds of each, the gate's own cap.
pub const ROUNDS: usize = 150;
/// Chance of a red suite that the gate promises not to exceed.
pub const ALPHA: f64 = 0.01;
/// How much of the noise all benchmarks of a suite share: the machine is one.
const SHARED: f64 = 0.7;

/// One kind of suite without a slow-down beyond `slowdown`: every red one is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// Both sides are the same program.
    Same {
        /// What the machine does.
        weather: Weather,
        /// The gate's δ.
        slowdown: f64,
    },
    /// All benchmarks are slower by exactly δ = 2 % in the pseudomedian, with skewed noise of 3 %.
    Boundary {
        /// The shape of the noise.
        skew: Skew,
    },
}

impl Cell {
    /// All cells of promise B4.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let same = |slowdown: f64| Weather::ALL.map(|weather| Self::Same { weather, slowdown });
        let boundary = Skew::ALL.map(|skew| Self::Boundary { skew });
        [same(0.0).as_slice(), &same(0.02), &boundary].concat()
    }

    /// What it is, in words.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Same { weather, slowdown } => {
                format!("same program, {}, δ = {} %", weather.name(), slowdown * 100.0)
            }
            Self::Boundary { skew } => format!("slower by δ, {}", skew.name()),
        }
    }

    /// The highest share of red suites that is promised.
    #[must_use]
    pub fn limit(&self) -> f64 {
        match self {
            Self::Same { .. } => ALPHA,
            Self::Boundary { .. } => 1.2 * ALPHA,
        }
    }

    /// How many of `suites` simulated ones are red.
    #[must_use]
    pub fn red_suites(&self, suites: u64, seed: u64) -> Rate {
        let mut dice = Dice::new(seed);
        let mut rate = Rate::default();
        match *self {
            Self::Same { weather, slowdown } => {
                (0..suites).for_each(|_| rate.count(same_suite_is_red(weather, slowdown, &mut dice)));
            }
            Self::Boundary { skew } => {
                let centre = skew.centres().1;
                (0..suites).for_each(|_| rate.count(boundary_suite_is_red(skew, centre, &mut dice)));
            }
        }
        rate
    }
}

/// Without a rejection Holm's procedure begins, and here ends, with Bonferroni's: whether *any* bench is red is the same question.
fn is_red(ln_ratios: impl Iterator<Item = f64>, slowdown: f64) -> bool {
    let mut test = Betting::new(Tail::Above, slowdown.ln_1p());
    test.extend(ln_ratios);
    test.p() * BENCHES as f64 <= ALPHA
}

fn same_suite_is_red(weather: Weather, slowdown: f64, dice: &mut Dice) -> bool {
    let shared = weather.pairs(ROUNDS, dice);
    let mut red = false;
    for _ in 0..BENCHES {
        let own = weather.pairs(ROUNDS, dice);
        let ln_ratios: Vec<f64> =
            shared.iter().zip(&own).map(|(shared, own)| dice.coin() * difference(shared, own)).collect();
        red |= is_red(ln_ratios.into_iter(), slowdown);
    }
    red
}

/// Second process over first, ln, with noise that the whole suite shares.
pub(super) fn difference(shared: &[f64; 2], own: &[f64; 2]) -> f64 {
    SHARED * (shared[1] - shared[0]) + (1.0 - SHARED) * (own[1] - own[0])
}

pub(super) fn boundary_suite_is_red(skew: Skew, centre: f64, dice: &mut Dice) -> bool {
    const SLOWDOWN: f64 = 0.02;
    const SPREAD: f64 = 0.03;
    let mut red = false;
    for _ in 0..BENCHES {
        let ln_ratios: Vec<f64> =
            (0..ROUNDS).map(|_| SLOWDOWN.ln_1p() + SPREAD * (skew.draw(dice) - centre)).collect();
        red |= is_red(ln_ratios.into_iter(), SLOWDOWN);
    }
    red
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small here; `selftest adversary` samples until the 99 % bound tells.
    #[test]
    fn b4_no_cell_is_red_more_often_than_promised() {
        for cell in Cell::all() {
            let rate = cell.red_suites(6, 21);
            assert!(rate.at_least() <= cell.limit(), "{}: {rate:?}", cell.name());
        }
    }
}
