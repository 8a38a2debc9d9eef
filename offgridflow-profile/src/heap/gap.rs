/// Distances between samples, in bytes: exponential, which makes the samples a Poisson process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap(u64);

impl Gap {
    /// `const`, so that a thread can have one without a destructor.
    pub(super) const fn seeded(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    /// The next distance, with a mean of `rate` bytes.
    pub(super) fn next(&mut self, rate: f64) -> f64 {
        // SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let uniform = (((bits ^ (bits >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -uniform.ln() * rate
    }
}
