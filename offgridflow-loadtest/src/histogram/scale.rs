//! Which counter a value belongs to: linear at the small end, then a fixed number of steps an octave.

/// A logarithmic scale with `2^bits` steps an octave, exact below `2^(bits + 1)`: the layout of `HdrHistogram`
/// (Gil Tene), so that a bucket is never wider than its value divided by `2^bits`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    bits: u32,
}

impl Scale {
    pub(crate) const fn new(bits: u32) -> Self {
        Self { bits }
    }

    /// How many counters reach up to `highest`.
    pub(crate) const fn counters(self, highest: u64) -> usize {
        self.index(highest) + 1
    }

    /// The counter of `value`.
    #[expect(clippy::cast_possible_truncation, reason = "below 64 × 2^bits")]
    pub(crate) const fn index(self, value: u64) -> usize {
        let octave = self.octave(value);
        ((octave as usize) << self.bits) + (value >> octave) as usize
    }

    /// The highest value of a counter.
    #[expect(clippy::cast_possible_truncation, reason = "an octave is below 64")]
    pub(crate) const fn highest(self, index: usize) -> u64 {
        let steps = 1_usize << self.bits;
        if index < 2 * steps {
            return index as u64;
        }
        let octave = (index / steps - 1) as u32;
        let step = (index % steps + steps) as u64;
        (step << octave) + ((1 << octave) - 1)
    }

    /// The lowest value of a counter.
    pub(crate) const fn lowest(self, index: usize) -> u64 {
        match index.checked_sub(1) {
            Some(before) => self.highest(before) + 1,
            None => 0,
        }
    }

    /// How far a value is shifted until it fits the steps.
    const fn octave(self, value: u64) -> u32 {
        (u64::BITS - value.leading_zeros()).saturating_sub(self.bits + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_gapless_and_as_narrow_as_promised() {
        for bits in [4, 10] {
            let scale = Scale::new(bits);
            let mut lowest = 0;
            for index in 0..scale.counters(1 << 45) {
                let highest = scale.highest(index);
                assert_eq!(
                    (scale.index(lowest), scale.index(highest), scale.lowest(index)),
                    (index, index, lowest),
                    "{lowest}..={highest}"
                );
                assert!(highest - lowest <= lowest >> bits, "{lowest}..={highest}");
                lowest = highest + 1;
            }
        }
    }
}
