/// Which way a [`Betting`] test looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Tries the null hypothesis "the centre is at most the boundary".
    Above,
    /// Tries the null hypothesis "the centre is at least the boundary".
    Below,
}

/// Shares of the wealth that are staked; the wealth of the test is the mean over them, so none has to be the right one.
const BETS: [f64; 6] = [0.1, 0.25, 0.4, 0.6, 0.8, 0.95];

/// An anytime-valid test of where paired differences are centred, by betting on signed ranks.
///
/// Each value scores `sign(x) × rank(|x|) / n`, where x is its distance from the boundary and the rank is among the n values so far.
/// Under the null hypothesis no score is worth betting on: if each value is as likely as its mirror image *given all before it*
/// (a fair coin decided which side ran first, and the sides are exchangeable), the wealth is a non-negative supermartingale whatever
/// the noise, its drift or its dependence, and P(wealth ever reaches 1/α) ≤ α (Ville 1939). One may look after every value.
///
/// For a real effect up to the boundary the same holds if the noise is symmetric about the pseudomedian; how far skew bends it is
/// measured by `selftest adversary`.
///
/// Equal magnitudes share the highest of their ranks; a value on the boundary scores 0; NaN (as likely as its mirror image) scores 0;
/// infinities outrank everything finite. Adding costs O(n).
///
/// Sources: Wilcoxon 1945 (signed ranks); Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting*, JRSS-B
/// 86 (2024); Ramdas et al., *Admissible anytime-valid sequential inference must rely on nonnegative martingales* (2020), on symmetry.
///
/// ```
/// use offgridflow_bench::stats::{Betting, Tail};
/// let mut slower = Betting::new(Tail::Above, 1.02_f64.ln());
/// for _ in 0..20 {
///     slower.add(1.05_f64.ln());
/// }
/// assert!(slower.p() < 0.001);
/// ```
#[derive(Debug, Clone)]
pub struct Betting {
    tail: Tail,
    boundary: f64,
    magnitudes: Vec<f64>, // ascending
    ln_wealth: [f64; BETS.len()],
    ln_highest: f64, // of the mean, over all moments; >= 0: one starts with 1
}

impl Betting {
    /// A test that looks beyond `boundary`, in the unit of the values.
    #[must_use]
    pub fn new(tail: Tail, boundary: f64) -> Self {
        Self { tail, boundary, magnitudes: Vec::new(), ln_wealth: [0.0; BETS.len()], ln_highest: 0.0 }
    }

    /// Takes one more value.
    pub fn add(&mut self, value: f64) {
        let score = self.score(value);
        for (ln_wealth, bet) in self.ln_wealth.iter_mut().zip(BETS) {
            *ln_wealth += (bet * score).ln_1p();
        }
        self.ln_highest = self.ln_highest.max(self.ln_wealth());
    }

    /// The score of `value`, −1 to 1, which from now on is one of those ranked.
    fn score(&mut self, value: f64) -> f64 {
        let beyond = match self.tail {
            Tail::Above => value - self.boundary,
            Tail::Below => self.boundary - value,
        };
        if beyond.is_nan() {
            return 0.0;
        }
        let magnitude = beyond.abs();
        let rank = self.magnitudes.partition_point(|other| *other <= magnitude);
        self.magnitudes.insert(rank, magnitude);
        let share = (rank + 1) as f64 / self.magnitudes.len() as f64;
        if beyond == 0.0 { 0.0 } else { share.copysign(beyond) }
    }

    /// Logarithm of the wealth now; it began as 0.
    #[must_use]
    pub fn ln_wealth(&self) -> f64 {
        let most = self.ln_wealth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.ln_wealth.iter().map(|ln_wealth| (ln_wealth - most).exp()).sum();
        most + (sum / BETS.len() as f64).ln()
    }

    /// The anytime-valid p-value: one over the highest wealth so far, at most 1. It only falls.
    #[must_use]
    pub fn p(&self) -> f64 {
        (-self.ln_highest).exp()
    }

    /// All values at once.
    pub fn extend(&mut self, values: impl IntoIterator<Item = f64>) {
        values.into_iter().for_each(|value| self.add(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn p_of(tail: Tail, boundary: f64, values: &[f64]) -> f64 {
        let mut test = Betting::new(tail, boundary);
        test.extend(values.iter().copied());
        test.p()
    }

    /// All 2ⁿ ways the coins can fall, each equally likely: the mean wealth is exactly 1, with ties, zeros and NaN among the values,
    /// and less when the boundary lies above zero.
    #[test]
    fn the_mean_wealth_over_all_coins_is_one() {
        let magnitudes = [0.3, 0.1, 0.3, 0.0, 2.0, f64::NAN, 0.1, 0.7, f64::INFINITY, 0.2];
        let mean_wealth =
            |boundary: f64| {
                let wealth_of =
                    |coins: u32| {
                        let mut test = Betting::new(Tail::Above, boundary);
                        test.extend(magnitudes.iter().enumerate().map(|(nth, magnitude)| {
                            if coins >> nth & 1 == 1 { -magnitude } else { *magnitude }
                        }));
                        test.ln_wealth().exp()
                    };
                (0..1_u32 << magnitudes.len()).map(wealth_of).sum::<f64>() / f64::from(1 << magnitudes.len())
            };
        assert!((mean_wealth(0.0) - 1.0).abs() < 1e-12, "{}", mean_wealth(0.0));
        assert!(mean_wealth(0.15) < 1.0);
    }

    /// Ville's bound itself, by enumeration: the share of coin sequences that ever reach 1/α is at most α.
    #[test]
    fn the_bound_holds_over_all_coins() {
        let magnitudes: Vec<f64> = (0..14).map(|n| f64::from(n * 5 % 7)).collect();
        for alpha in [0.5, 0.1, 0.05, 0.01] {
            let alarms = (0..1_u32 << 14).filter(|coins| {
                let sign = |nth: usize| if coins >> nth & 1 == 1 { -1.0 } else { 1.0 };
                let values: Vec<f64> = magnitudes.iter().enumerate().map(|(nth, m)| sign(nth) * m).collect();
                p_of(Tail::Above, 0.0, &values) <= alpha
            });
            assert!(alarms.count() as f64 <= alpha * f64::from(1 << 14), "α = {alpha}");
        }
    }

    #[test]
    fn equal_values_and_values_on_the_boundary_are_scored_exactly() {
        // Zero variance: every score is 1, so the wealth after n rounds is the mean of (1 + bet)ⁿ.
        let expected = BETS.iter().map(|bet| (1.0 + bet).powi(9)).sum::<f64>() / BETS.len() as f64;
        assert!((1.0 / p_of(Tail::Above, 0.02, &[0.05; 9]) - expected).abs() < 1e-9 * expected);
        assert_eq!(p_of(Tail::Above, 0.02, &[0.02; 50]).to_bits(), 1.0_f64.to_bits());
        assert_eq!(p_of(Tail::Below, 0.02, &[f64::NAN; 50]).to_bits(), 1.0_f64.to_bits());
        assert!(p_of(Tail::Below, 0.02, &[f64::NEG_INFINITY; 20]) < 1e-3);
    }

    proptest! {
        /// The two tails are mirror images, and neither unit nor origin matters.
        #[test]
        fn tails_mirror_and_units_do_not_matter(values in proptest::collection::vec(-100_i32..100, 0..60), boundary in -5_i32..5, unit in 1_i32..9) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let boundary = f64::from(boundary);
            let mirrored: Vec<f64> = values.iter().map(|value| -value).collect();
            let moved: Vec<f64> = values.iter().map(|value| (value + 3.0) * f64::from(unit)).collect();
            let p = p_of(Tail::Above, boundary, &values);
            prop_assert_eq!(p.to_bits(), p_of(Tail::Below, -boundary, &mirrored).to_bits());
            prop_assert_eq!(p.to_bits(), p_of(Tail::Above, (boundary + 3.0) * f64::from(unit), &moved).to_bits());
            prop_assert!(p > 0.0 && p <= 1.0);
        }

        /// Evidence is never taken back, and the same slow-downs against a higher boundary show less.
        #[test]
        fn p_only_falls(values in proptest::collection::vec(-1.0..1.0_f64, 1..80)) {
            let mut test = Betting::new(Tail::Above, 0.0);
            let mut before = 1.0;
            for value in &values {
                test.add(*value);
                prop_assert!(test.p() <= before);
                before = test.p();
            }
        }
    }
}
