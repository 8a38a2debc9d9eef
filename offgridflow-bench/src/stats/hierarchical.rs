use rand_pcg::Pcg64;

use super::bootstrap::{at, below};
use super::{Interval, hodges_lehmann};

const STREAM: u128 = 2;
/// Resamples drawn; the ends of a 95 % interval then rest on 25 of them.
const RESAMPLES: usize = 1_000;
/// Fewer values than this have too few distinct resamples for an interval.
const LEAST: usize = 6;

/// The pseudomedian of all values with its percentile interval from a hierarchical bootstrap.
///
/// `groups` are the highest level at which chance had a say: link layouts, or one group when there is one. With several, groups are
/// drawn with replacement and keep their values; with one, its values (processes) are drawn. What varies further down is within the
/// values already and is not drawn again (Davison and Hinkley, *Bootstrap Methods*, §3.8: resampling every level counts the lower
/// ones twice). Samples of one process are never taken for independent.
///
/// Same `seed`, same answer. `None` with fewer than six values or when one is not finite. Costs 1 000 × n² for n values.
///
/// ```
/// let rounds: Vec<f64> = (0..40).map(|n| 0.05 + f64::from(n % 5 - 2) / 100.0).collect();
/// let interval = offgridflow_bench::stats::hierarchical(&[&rounds], 0.95, 1).unwrap();
/// assert!(interval.low < 0.05 && 0.05 < interval.high && interval.high - interval.low < 0.02);
/// ```
#[must_use]
pub fn hierarchical(groups: &[&[f64]], confidence: f64, seed: u64) -> Option<Interval> {
    let all = groups.concat();
    if all.len() < LEAST || all.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mut rng = Pcg64::new(u128::from(seed), STREAM);
    let mut drawn = Vec::with_capacity(all.len());
    let mut centres: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            draw(groups, &mut rng, &mut drawn);
            hodges_lehmann(&drawn)
        })
        .collect();
    centres.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Some(Interval {
        estimate: hodges_lehmann(&all)?,
        low: at(&centres, tail)?,
        high: at(&centres, 1.0 - tail)?,
    })
}

fn draw(groups: &[&[f64]], rng: &mut Pcg64, drawn: &mut Vec<f64>) {
    drawn.clear();
    match groups {
        [only] => drawn.extend((0..only.len()).map(|_| only[below(only.len(), rng)])),
        _ => (0..groups.len()).for_each(|_| drawn.extend_from_slice(groups[below(groups.len(), rng)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::Dice;

    /// 95 % intervals of 15 heavy-tailed rounds hold the truth; what takes three samples of a process for three processes does not.
    #[test]
    fn intervals_cover_and_pooled_samples_do_not() {
        let mut dice = Dice::new(7);
        let (mut covered, mut pooled) = (0, 0);
        for seed in 0..60 {
            let processes: Vec<f64> =
                (0..15).map(|_| dice.normal() * if dice.unit() < 0.1 { 0.06 } else { 0.01 }).collect();
            let samples: Vec<f64> = processes
                .iter()
                .flat_map(|process| [*process; 3])
                .map(|centre| centre + 0.001 * dice.normal())
                .collect();
            let holds = |values: &[f64]| {
                let interval = hierarchical(&[values], 0.95, seed).unwrap();
                u32::from((interval.low..=interval.high).contains(&0.0))
            };
            covered += holds(&processes);
            pooled += holds(&samples);
        }
        assert!(covered >= 53, "{covered} of 60");
        assert!(pooled < 50, "the control covers {pooled} of 60");
    }

    #[test]
    fn layouts_are_the_unit_when_there_are_several() {
        let layout = |centre: f64| -> Vec<f64> { (0..20).map(|n| centre + f64::from(n % 3) / 1e4).collect() };
        let (one, two, three) = (layout(0.0), layout(0.05), layout(-0.05));
        let apart = hierarchical(&[&one, &two, &three], 0.95, 1).unwrap();
        let pooled = hierarchical(&[&[one, two, three].concat()], 0.95, 1).unwrap();
        assert!(apart.high - apart.low > 2.0 * (pooled.high - pooled.low));
    }

    #[test]
    fn what_cannot_be_told_is_not_told() {
        assert_eq!(hierarchical(&[&[1.0; 5]], 0.95, 1), None);
        assert_eq!(hierarchical(&[], 0.95, 1), None);
        assert_eq!(hierarchical(&[&[f64::NAN; 9]], 0.95, 1), None);
        let still = hierarchical(&[&[0.1; 9]], 0.95, 1).unwrap();
        assert_eq!((still.low, still.estimate, still.high), (0.1, 0.1, 0.1));
    }
}
