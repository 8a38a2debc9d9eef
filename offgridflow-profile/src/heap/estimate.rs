//! From samples to bytes: sampling by a Poisson process over allocated bytes, unbiased sample by sample.

use crate::normal::upper_quantile;

/// How many objects, or bytes, with the range that sampling leaves open.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Estimate {
    /// The unbiased estimate.
    pub value: f64,
    /// Lower end at 95 % confidence.
    pub low: f64,
    /// Upper end at 95 % confidence.
    pub high: f64,
}

/// Chance that an object of `size` bytes is sampled at one sample in `rate` bytes: that no point of the process falls into it
/// has chance e^(−size/rate).
pub(super) fn chance(size: usize, rate: f64) -> f64 {
    -(-(size.max(1) as f64) / rate).exp_m1()
}

/// Sums of sampled objects, from which an [`Estimate`] follows (Horvitz & Thompson, JASA 47, 1952): an object that had the chance p
/// stands for 1/p of its kind.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) samples: u64,
    value: f64,
    variance: f64,
    heaviest: f64,
}

impl Sums {
    /// An object that counts `each`, sampled with chance `p`.
    pub(super) fn add(&mut self, each: f64, p: f64) {
        let [value, variance, heaviest] = Self::terms(each, p);
        self.samples += 1;
        self.value += value;
        self.variance += variance;
        self.heaviest = self.heaviest.max(heaviest);
    }

    /// What one object adds to the value and to the variance, and what the heaviest is compared with.
    pub(super) fn terms(each: f64, p: f64) -> [f64; 3] {
        [each / p, each * each * (1.0 - p) / (p * p), each * (1.0 - p) / p]
    }

    /// These and those of another place together.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            value: self.value + other.value,
            variance: self.variance + other.variance,
            heaviest: self.heaviest.max(other.heaviest),
        }
    }

    pub(super) fn of(samples: u64, value: f64, variance: f64, heaviest: f64) -> Self {
        Self { samples, value, variance, heaviest }
    }

    /// The interval is that of a weighted sum of Poisson counts (Fay & Feuer, *Statistics in Medicine* 16, 1997): from gamma
    /// quantiles, so that few samples have a long tail upwards, where what was not sampled hides.
    pub(super) fn estimate(&self) -> Estimate {
        if self.variance <= 0.0 {
            return Estimate { value: self.value, low: self.value, high: self.value };
        }
        let z = upper_quantile(0.025);
        let scaled = |value: f64, variance: f64, z: f64| {
            variance / value * gamma_quantile(value * value / variance, z)
        };
        // An object sampled by chance or not: of the next one, half counts (the mid-P interval), which keeps the interval near 95 %.
        let (above, wider) =
            (self.value + 0.5 * self.heaviest, self.variance + 0.5 * self.heaviest * self.heaviest);
        Estimate {
            value: self.value,
            low: scaled(self.value, self.variance, -z),
            high: scaled(above, wider, z),
        }
    }
}

/// The quantile of a gamma distribution of that shape and scale 1, at the standard normal's z (Wilson & Hilferty, PNAS 17, 1931).
fn gamma_quantile(shape: f64, z: f64) -> f64 {
    let ninth = 1.0 / (9.0 * shape);
    shape * (1.0 - ninth + z * ninth.sqrt()).max(0.0).powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::gap::Gap;

    const RATE: f64 = 524_288.0;

    /// Allocates `objects` of each of the sizes, and returns the estimate of the bytes.
    fn estimated(sizes: &[usize], objects: usize, seed: u64) -> Estimate {
        let (mut gap, mut sums) = (Gap::seeded(seed), Sums::default());
        let mut left = gap.next(RATE);
        for size in sizes.iter().copied().cycle().take(objects) {
            left -= size as f64;
            if left < 0.0 {
                sums.add(size as f64, chance(size, RATE));
                left = gap.next(RATE);
            }
        }
        sums.estimate()
    }

    /// Sites from one sample in twenty to thousands, of small, mixed and large objects.
    fn sites() -> Vec<(Vec<usize>, usize)> {
        let sizes: [&[usize]; 6] =
            [&[64], &[16, 4_096], &[100, 1_000, 10_000], &[65_536], &[400_000], &[24, 1 << 20]];
        let each = |sizes: &&[usize]| {
            let mean = sizes.iter().sum::<usize>() / sizes.len();
            [3_usize, 10, 20, 40, 100, 200, 400, 800, 1_600]
                .map(|samples| (sizes.to_vec(), samples * 524_288 / mean))
        };
        sizes.iter().flat_map(each).collect()
    }

    #[test]
    fn p4_estimates_are_unbiased_and_intervals_cover() {
        let seeds: u64 = if cfg!(debug_assertions) { 40 } else { 200 };
        let (mut means, mut few, mut many) = (Vec::new(), Vec::new(), Vec::new());
        for (site, (sizes, objects)) in (0..).zip(sites()) {
            let truth = sizes.iter().cycle().take(objects).sum::<usize>() as f64;
            let expected: f64 = sizes.iter().cycle().take(objects).map(|size| chance(*size, RATE)).sum();
            let all: Vec<Estimate> =
                (0..seeds).map(|seed| estimated(&sizes, objects, site * 1_000 + seed)).collect();
            means.push(all.iter().map(|one| one.value).sum::<f64>() / seeds as f64 / truth);
            let covered = all.iter().filter(|one| one.low <= truth && truth <= one.high).count();
            if expected >= 20.0 { &mut many } else { &mut few }.push(covered as f64 / seeds as f64);
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        println!(
            "P4 sites={} mean={:.4} covered>=20:{:.4} covered<20:{:.4}",
            means.len(),
            mean(&means),
            mean(&many),
            mean(&few)
        );
        assert!((0.98..=1.02).contains(&mean(&means)), "{means:?}");
        assert!((0.93..=0.98).contains(&mean(&many)), "{many:?}");
        assert!(mean(&few) >= 0.93, "{few:?}");
    }

    /// The control: counting each sample as `rate` bytes, as if every object were small.
    #[test]
    fn p4_without_unbiasing_large_objects_are_counted_wrong() {
        let (mut gap, mut samples) = (Gap::seeded(1), 0);
        let mut left = gap.next(RATE);
        for _ in 0..10_000 {
            left -= 400_000.0;
            if left < 0.0 {
                samples += 1;
                left = gap.next(RATE);
            }
        }
        let naive = f64::from(samples) * RATE / (10_000.0 * 400_000.0);
        assert!((naive - 1.0).abs() > 0.2, "{naive}");
    }

    #[test]
    fn what_is_larger_than_many_gaps_is_exact() {
        let sums = (0..10).fold(Sums::default(), |mut sums, _| {
            sums.add(1e9, chance(1_000_000_000, RATE));
            sums
        });
        assert_eq!(sums.estimate(), Estimate { value: 1e10, low: 1e10, high: 1e10 });
    }
}
