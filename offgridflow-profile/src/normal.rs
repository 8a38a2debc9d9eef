/// P(Z > z) of the standard normal, to a relative error of 1.2 × 10⁻⁷.
/// Source: the Chebyshev fit of erfc in Press et al., *Numerical Recipes*, 2nd ed., §6.2.
pub(crate) fn upper_tail(z: f64) -> f64 {
    const FIT: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let fit = FIT.iter().rev().fold(0.0, |sum, coefficient| sum * t + coefficient);
    let half = 0.5 * t * (-x * x + fit).exp();
    if z >= 0.0 { half } else { 1.0 - half }
}

/// The z with P(Z > z) = `tail`, by bisection.
#[cfg(any(feature = "trend", feature = "heap"))]
pub(crate) fn upper_quantile(tail: f64) -> f64 {
    let (mut low, mut high) = (-10.0_f64, 10.0_f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if upper_tail(middle) > tail { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_agree_with_the_table() {
        for (z, tail) in
            [(0.0, 0.5), (1.0, 0.158_655_25), (1.96, 0.024_997_9), (2.326_348, 0.01), (-1.0, 0.841_344_75)]
        {
            assert!((upper_tail(z) - tail).abs() < 1e-6, "{z}");
        }
    }

    #[cfg(any(feature = "trend", feature = "heap"))]
    #[test]
    fn quantiles_agree_with_the_table() {
        assert!((upper_quantile(0.005) - 2.575_829).abs() < 1e-4);
    }
}
