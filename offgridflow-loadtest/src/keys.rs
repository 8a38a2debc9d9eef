//! Which of many keys an operation asks for.

use crate::rng::OpRng;

/// Keys that are asked for, by number from 0: all alike, or a few of them mostly, as in nature.
///
/// ```
/// use offgridflow_loadtest::{Keys, OpRng};
/// let keys = Keys::zipf(1_000, 1.0);
/// let first = (0..10_000).filter(|&n| keys.pick(&OpRng::new(7, n)) == 0).count();
/// assert!((1_250..1_420).contains(&first)); // one in 7.5: the thousandth harmonic number
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keys {
    count: u64,
    skew: f64,
}

impl Keys {
    /// So many keys (at least one), each as often as the others.
    #[must_use]
    pub fn uniform(count: u64) -> Self {
        Self::zipf(count, 0.0)
    }

    /// So many keys, the `k`th of which (from 1) is asked for in proportion to `1/k^skew`: 0 is uniform, 0.99 is YCSB's, larger is more uneven. A skew that is negative or no
    /// number is 0.
    #[must_use]
    pub fn zipf(count: u64, skew: f64) -> Self {
        Self { count: count.max(1), skew: if skew > 0.0 && skew.is_finite() { skew } else { 0.0 } }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The key of an operation, from its random numbers. O(1), without memory: rejection-inversion (Hörmann and Derflinger 1996).
    #[must_use]
    pub fn pick(&self, rng: &OpRng) -> u64 {
        if self.skew <= 0.0 {
            return rng.below(self.count);
        }
        let n = crate::histogram::as_f64(self.count);
        let (low, high) = (self.area(1.5) - 1.0, self.area(n + 0.5));
        loop {
            let area = high + rng.unit() * (low - high);
            let x = self.inverse(area);
            let k = libm::round(x).clamp(1.0, n);
            if area >= self.area(k + 0.5) - libm::pow(k, -self.skew) {
                return crate::histogram::to_count(k) - 1;
            }
        }
    }

    /// The integral of `x^-skew` from 1.
    fn area(&self, x: f64) -> f64 {
        let e = 1.0 - self.skew;
        if e.abs() < 1e-9 { libm::log(x) } else { (libm::pow(x, e) - 1.0) / e }
    }

    fn inverse(&self, area: f64) -> f64 {
        let e = 1.0 - self.skew;
        if e.abs() < 1e-9 {
            libm::exp(area)
        } else {
            libm::pow((1.0 + area * e).max(f64::MIN_POSITIVE), 1.0 / e)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pearson's χ² against the exact probabilities, over the first 50 keys and all others together.
    #[test]
    fn keys_are_as_frequent_as_their_law_says() {
        for skew in [0.0, 0.5, 0.99, 1.0, 1.5] {
            let (keys, n) = (Keys::zipf(10_000, skew), 200_000_u64);
            let mut seen = vec![0.0; 51];
            for index in 0..n {
                let key = usize::try_from(keys.pick(&OpRng::new(3, index))).expect("small");
                assert!(key < 10_000);
                seen[key.min(50)] += 1.0;
            }
            let weight = |k: u32| libm::pow(f64::from(k), -skew);
            let all: f64 = (1..=10_000).map(weight).sum();
            let mut expected: Vec<f64> = (1..=50).map(|k| weight(k) / all).collect();
            expected.push(1.0 - expected.iter().sum::<f64>());
            let expected = expected.iter().map(|share| share * crate::histogram::as_f64(n));
            let chi: f64 =
                seen.iter().zip(expected).map(|(seen, expected)| (seen - expected).powi(2) / expected).sum();
            assert!(chi < 90.0, "{skew}: {chi}"); // 50 degrees of freedom: 86.7 is one in a thousand
        }
    }

    #[test]
    fn what_is_no_skew_is_none() {
        for keys in [Keys::zipf(5, -1.0), Keys::zipf(5, f64::NAN), Keys::zipf(5, f64::INFINITY)] {
            assert_eq!(keys, Keys::uniform(5));
        }
        assert_eq!(Keys::uniform(0).pick(&OpRng::new(0, 0)), 0);
        assert_eq!(Keys::zipf(1, 2.0).pick(&OpRng::new(0, 0)), 0);
    }
}
