use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

use super::bootstrap::below;
use super::{Betting, Tail, hodges_lehmann};

const STREAM: u128 = 3;
const REPLICAS: usize = 200;
const POWER: f64 = 0.9;
/// Steps of the bisection: the answer is then within 1/500 of the range searched.
const STEPS: usize = 9;

/// The smallest effect, in the unit of `values`, that the betting test at level `alpha` would find with a chance of 90 % in `rounds`
/// rounds whose noise is that of `values`: residuals about their pseudomedian, drawn with replacement and mirrored by a coin.
///
/// Same `seed`, same answer. `None` with fewer than six finite values, or when even an effect of `most` beyond the boundary would not
/// be found. Costs some 2 000 tests of `rounds` values.
#[must_use]
pub fn minimum_detectable(
    values: &[f64],
    boundary: f64,
    alpha: f64,
    rounds: usize,
    most: f64,
    seed: u64,
) -> Option<f64> {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if finite.len() < 6 {
        return None;
    }
    let centre = hodges_lehmann(&finite)?;
    let residuals: Vec<f64> = finite.iter().map(|value| value - centre).collect();
    let found = |effect: f64| power(&residuals, effect, boundary, alpha, rounds, seed) >= POWER;
    let (mut low, mut high) = (boundary, boundary + most);
    if !found(high) {
        return None;
    }
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if found(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// Share of replicas in which the test finds `effect`.
fn power(residuals: &[f64], effect: f64, boundary: f64, alpha: f64, rounds: usize, seed: u64) -> f64 {
    let mut rng = Pcg64::new(u128::from(seed), STREAM);
    let found = (0..REPLICAS).filter(|_| {
        let mut test = Betting::new(Tail::Above, boundary);
        (0..rounds).any(|_| {
            let noise = residuals[below(residuals.len(), &mut rng)];
            test.add(effect + if rng.next_u32() & 1 == 1 { noise } else { -noise });
            test.p() <= alpha
        })
    });
    found.count() as f64 / REPLICAS as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::Dice;

    /// What it says is found is found: fresh normal noise of the same spread, 90 % within what 200 runs can tell.
    #[test]
    fn an_effect_of_the_stated_size_is_found_nine_times_in_ten() {
        let mut dice = Dice::new(3);
        let noise: Vec<f64> = (0..200).map(|_| 0.02 * dice.normal()).collect();
        let effect = minimum_detectable(&noise, 0.02, 0.001, 60, 1.0, 1).unwrap();
        let found = (0..200).filter(|_| {
            let mut test = Betting::new(Tail::Above, 0.02);
            (0..60).for_each(|_| test.add(effect + 0.02 * dice.normal()));
            test.p() <= 0.001
        });
        let found = found.count();
        assert!((160..=198).contains(&found), "{found} of 200 at {effect}");
    }

    #[test]
    fn noise_and_few_rounds_hide_more() {
        let of = |spread: f64, rounds: usize| {
            let noise: Vec<f64> = (-10..=10).map(|n| f64::from(n) * spread / 6.0).collect();
            minimum_detectable(&noise, 0.02, 0.001, rounds, 1.0, 1)
        };
        assert!(of(0.01, 60) < of(0.05, 60) && of(0.01, 150) < of(0.01, 30));
        assert_eq!(of(0.01, 5), None, "five rounds cannot reach a thousand to one");
        assert!(of(0.0, 60).unwrap() < 0.025, "without noise anything beyond the boundary is found");
        assert_eq!(minimum_detectable(&[0.0; 5], 0.0, 0.01, 60, 1.0, 1), None);
    }
}
