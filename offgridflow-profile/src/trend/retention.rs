use super::spoken::Rate;
use super::{Shape, Verdict};

/// A share of the growth that decides where it is: what grows by less than this of it is not what grows.
const SHARE: f64 = 0.4;

impl Verdict {
    /// This verdict on memory in use, explained by those on what the allocator has handed out and on what it holds: where memory in use grows,
    /// what was handed out does not, and what is held does, the growth is the allocator's (free memory it keeps, in fragments that new objects
    /// do not fit into): [`Shape::Retention`], not a leak. Where neither grows, it is memory mapped past the allocator: still a
    /// leak, and said so.
    ///
    /// ```
    /// use std::time::Duration;
    /// use offgridflow_profile::{Sample, Series, Shape, TrendOptions};
    ///
    /// let noise = |s: u64| s.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 46;
    /// let series = |slope: u64| -> Series {
    ///     (0..1_800).map(|s| Sample { at: Duration::from_secs(s), bytes: 100_000_000 + slope * s + noise(s) }).collect()
    /// };
    /// let [in_use, allocated, held] = [8_192, 0, 8_192].map(|slope| series(slope).verdict(&TrendOptions::default()));
    /// let explained = in_use.explained(&allocated, &held);
    /// assert_eq!(explained.shape, Shape::Retention);
    /// assert!(explained.why.starts_with("retention, not leak: "));
    /// ```
    #[must_use]
    pub fn explained(self, allocated: &Self, held: &Self) -> Self {
        let (Shape::Leak, Some(grows), Some(handed_out), Some(kept)) =
            (self.shape, self.slope, allocated.slope, held.slope)
        else {
            return self;
        };
        if handed_out.high >= SHARE * grows.low {
            return self; // what was handed out grows, or may
        }
        let most = Rate(handed_out.high.max(0.0));
        if kept.low >= SHARE * grows.estimate {
            let why = format!(
                "retention, not leak: what the allocator has handed out grows by {most} at most, what it holds by {}; in use: {}",
                Rate(kept.estimate),
                self.why
            );
            return Self { shape: Shape::Retention, why, ..self };
        }
        if kept.high < SHARE * grows.low {
            let why = format!(
                "{}; mapped past the allocator: what it has handed out grows by {most} at most, what it holds by {}",
                self.why,
                Rate(kept.high.max(0.0))
            );
            return Self { why, ..self };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Sample, Series, TrendOptions};

    fn verdict(slope: u64, seed: u64) -> Verdict {
        let noise = |s: u64| (s ^ seed << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 46;
        let sample = |s| Sample { at: Duration::from_secs(s), bytes: 100_000_000 + slope * s + noise(s) };
        (0..1_800).map(sample).collect::<Series>().verdict(&TrendOptions::default())
    }

    fn explained(in_use: u64, allocated: u64, held: u64) -> Verdict {
        verdict(in_use, 1).explained(&verdict(allocated, 2), &verdict(held, 3))
    }

    #[test]
    fn growth_of_what_the_allocator_keeps_is_retention() {
        let verdict = explained(8_192, 0, 8_192);
        assert_eq!(verdict.shape, Shape::Retention, "{verdict}");
        assert!(verdict.why.contains("grows by") && verdict.why.contains("in use: leak"), "{verdict}");
    }

    #[test]
    fn growth_of_what_was_handed_out_stays_a_leak() {
        for (allocated, held) in [(8_192, 8_192), (8_192, 0), (5_000, 8_192)] {
            let verdict = explained(8_192, allocated, held);
            assert_eq!(verdict.shape, Shape::Leak, "{verdict}");
            assert!(verdict.why.starts_with("leak: "), "{verdict}");
        }
    }

    #[test]
    fn growth_past_the_allocator_stays_a_leak_and_is_said() {
        let verdict = explained(8_192, 0, 0);
        assert_eq!(verdict.shape, Shape::Leak);
        assert!(verdict.why.contains("mapped past the allocator"), "{verdict}");
    }

    #[test]
    fn what_does_not_leak_and_what_is_not_known_stay_as_they_are() {
        assert_eq!(explained(0, 0, 8_192).shape, Shape::Stable);
        let unknown = Series::default().verdict(&TrendOptions::default());
        let leak = verdict(8_192, 1);
        assert_eq!(leak.clone().explained(&unknown, &unknown), leak);
    }
}
