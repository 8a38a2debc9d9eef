use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// Seeded random numbers of the shapes that noise has.
#[derive(Debug)]
pub struct Dice(Pcg64);

impl Dice {
    /// Same seed, same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Pcg64::new(u128::from(seed), 5))
    }

    /// Uniform, strictly between 0 and 1.
    pub fn unit(&mut self) -> f64 {
        const STEPS: f64 = 9_007_199_254_740_992.0; // 2⁵³
        ((self.0.next_u64() >> 11) as f64 + 0.5) / STEPS
    }

    /// A fair coin: 1 or −1.
    pub fn coin(&mut self) -> f64 {
        if self.0.next_u64() >> 63 == 0 { 1.0 } else { -1.0 }
    }

    /// A whole number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        crate::stats::below(bound, &mut self.0)
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }

    /// Pareto: at least 1, P(X > x) = x^−shape.
    pub fn pareto(&mut self, shape: f64) -> f64 {
        self.unit().powf(-1.0 / shape)
    }
}
