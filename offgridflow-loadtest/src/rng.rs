//! Random numbers that depend on a seed and an index, and on nothing else.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A small generator, one for each operation: the same seed and index give the same numbers on every system,
/// in whatever order, on whatever shard the operation runs.
///
/// `SplitMix64` (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, 2014). Not for secrets.
///
/// Shared references draw, so that `op.route(if op.rng().chance(0.1) { … })` reads as it should.
#[derive(Debug)]
pub struct OpRng {
    state: AtomicU64, // never contended: one operation has it
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl OpRng {
    /// The generator of operation `index` in a run with `seed`.
    #[must_use]
    pub fn new(seed: u64, index: u64) -> Self {
        Self { state: mix(seed ^ mix(index.wrapping_add(GAMMA))).into() }
    }

    /// 64 random bits.
    #[must_use]
    pub fn next_u64(&self) -> u64 {
        mix(self.state.fetch_add(GAMMA, Relaxed).wrapping_add(GAMMA))
    }

    /// A whole number from 0 up to, but not including, `end`; 0 if `end` is 0. Bias below 2⁻³² for ends
    /// below 2³² (multiply and shift, Lemire 2019, without rejection).
    #[must_use]
    pub fn below(&self, end: u64) -> u64 {
        let product = u128::from(self.next_u64()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A number from 0 up to, but not including, 1, in steps of 2⁻⁵³.
    #[must_use]
    pub fn unit(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let bits = (self.next_u64() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }

    /// One of `items`; `None` if there are none.
    #[must_use]
    pub fn choose<'a, T>(&self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(u64::try_from(items.len()).unwrap_or(u64::MAX));
        items.get(usize::try_from(index).unwrap_or(usize::MAX))
    }

    /// One of several, in proportion to its weight; the first if all weigh nothing.
    #[cfg(any(feature = "redis", feature = "sql"))]
    pub(crate) fn weighted(&self, mut weights: impl Iterator<Item = u64> + Clone) -> usize {
        let mut at = self.below(weights.clone().sum());
        let is_it = |weight: u64| match at.checked_sub(weight) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        };
        weights.position(is_it).unwrap_or(0)
    }

    /// `true` with probability `p`.
    #[must_use]
    pub fn chance(&self, p: f64) -> bool {
        self.unit() < p
    }
}

impl Clone for OpRng {
    /// A generator that goes on from here with the same numbers.
    fn clone(&self) -> Self {
        Self { state: self.state.load(Relaxed).into() }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(any(feature = "redis", feature = "sql"))]
    fn weights_are_kept_in_proportion() {
        let pick = |n| OpRng::new(5, n).weighted([3, 0, 1].into_iter());
        let first = (0..4_000).filter(|&n| pick(n) == 0).count();
        assert!((2_900..3_100).contains(&first), "{first}");
        assert!((0..4_000).all(|n| pick(n) != 1));
        assert_eq!(OpRng::new(0, 0).weighted([0, 0].into_iter()), 0);
    }

    #[test]
    fn same_seed_and_index_give_the_same_numbers() {
        let draw = |seed, index| OpRng::new(seed, index).next_u64();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn draws_are_even_and_in_range() {
        let mut counts = [0_u32; 10];
        for index in 0..10_000 {
            let rng = OpRng::new(42, index);
            let at = usize::try_from(rng.below(10)).expect("below ten");
            counts[at] += 1;
            assert!((0.0..1.0).contains(&rng.unit()));
        }
        assert!(counts.iter().all(|&count| (850..1_150).contains(&count)), "{counts:?}");
        assert_eq!(OpRng::new(0, 0).below(0), 0);
        assert_eq!(OpRng::new(0, 0).choose::<u8>(&[]), None);
    }

    #[test]
    fn the_generator_is_splitmix64() {
        let rng = OpRng { state: 1_234_567.into() };
        // First outputs of the reference implementation for seed 1234567.
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }
}
