//! Random gaps between arrivals, in exact integers.

use std::{fmt, sync::Arc};

use crate::{rate::OPERATION, rng::OpRng};

/// How long the gaps are, in the area under the rate; the mean is one operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Gap {
    /// Without memory: a Poisson process.
    Exponential,
    /// Gamma with this shape: the gaps' coefficient of variation is `1/√shape`.
    Gamma(f64),
}

/// A renewal process of unit rate in the area under the curve.
///
/// Gap `k` depends only on (seed, k). The sums before every [block](Gap::block) of arrivals are kept, so asking
/// for any arrival adds at most a block of gaps.
#[derive(Clone)]
pub(super) struct Renewal {
    gap: Gap,
    seed: u64,
    count: u64,
    sums: Arc<[u128]>, // sum of the gaps before block n
}

/// A process whose count reaches this has more arrivals than it can hold.
pub(super) const MAX_RANDOM: u64 = 1 << 28;

impl Renewal {
    /// The arrivals before `area` is full; none for an area that cannot be held.
    pub(super) fn new(gap: Gap, seed: u64, area: u128) -> Self {
        let (mut sums, mut sum, mut count) = (Vec::new(), 0_u128, 0_u64);
        loop {
            if count % gap.block() == 0 {
                sums.push(sum);
            }
            sum += gap.draw(seed, count);
            if sum >= area || count >= MAX_RANDOM {
                return Self { gap, seed, count, sums: sums.into() };
            }
            count += 1;
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The area before arrival `k`.
    pub(super) fn area(&self, k: u64) -> Option<u128> {
        if k >= self.count {
            return None;
        }
        let block = self.gap.block();
        let before = self.sums[usize::try_from(k / block).ok()?];
        Some(before + (k - k % block..=k).map(|index| self.gap.draw(self.seed, index)).sum::<u128>())
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal")
            .field("gap", &self.gap)
            .field("seed", &self.seed)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Gap {
    /// How many gaps are drawn again rather than kept: half a microsecond of them.
    const fn block(self) -> u64 {
        match self {
            Self::Exponential => 32,
            Self::Gamma(_) => 8,
        }
    }

    /// Gap `index`, in units of the area; `libm` gives the same bits everywhere.
    fn draw(self, seed: u64, index: u64) -> u128 {
        let operations = match self {
            Self::Exponential => -libm::log(1.0 - OpRng::new(seed ^ 0x706f_6973_736f_6e00, index).unit()),
            Self::Gamma(shape) => gamma(shape, &OpRng::new(seed ^ 0x6761_6d6d_6100, index)) / shape,
        };
        units(operations)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a gap is never negative, and far inside 128 bits"
)]
fn units(operations: f64) -> u128 {
    (operations * OPERATION as f64) as u128
}

/// A gamma variate of unit scale: G. Marsaglia and W. W. Tsang, *A simple method for generating gamma
/// variables*, ACM TOMS 26 (2000). Shapes below one by their §6: `gamma(shape + 1) · U^(1/shape)`.
fn gamma(shape: f64, rng: &OpRng) -> f64 {
    if shape < 1.0 {
        let boost = libm::pow(above_zero(rng), 1.0 / shape);
        return gamma(shape + 1.0, rng) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal(rng);
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        if libm::log(above_zero(rng)) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

/// A standard normal variate (G. E. P. Box and M. E. Muller, 1958), the cosine of the pair.
fn normal(rng: &OpRng) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(above_zero(rng)));
    radius * libm::cos(2.0 * std::f64::consts::PI * rng.unit())
}

fn above_zero(rng: &OpRng) -> f64 {
    1.0 - rng.unit()
}
