//! Numbers that are spread, not secret.

/// Mixes a number so that neighbours have nothing in common: `SplitMix64` (Steele, Lea & Flood 2014).
pub(crate) const fn mix(seed: u64) -> u64 {
    let mut draw = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    draw = (draw ^ (draw >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    draw = (draw ^ (draw >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    draw ^ (draw >> 31)
}

/// A share from 0 to below 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
pub(crate) fn share(seed: u64) -> f64 {
    (mix(seed) >> 11) as f64 / (1_u64 << 53) as f64
}
