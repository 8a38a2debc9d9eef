use std::time::Duration;

use super::spoken::{Bytes, Spoken};
use super::thinned::Thinned;
use super::{Sample, Shape, Verdict};

/// Share of a rise whose loss ends it, if it is also more than so many of the differences that neighbouring levels usually have.
const GIVEN_BACK: f64 = 0.5;
const NOISE: f64 = 6.0;
/// Weight of the newest difference in the usual one; a larger one than four times that counts as that.
const NEWEST: f64 = 1.0 / 32.0;
const OUTLYING: f64 = 4.0;
/// A window that holds so many of the longest rises has seen them come back by itself.
const SEEN: u32 = 3;
/// A rise so many times as long, or as high, as every one that was given back is something new.
const NEW: u32 = 2;
/// Rises remembered.
const MOST: usize = 16;

/// How memory has risen and come back so far: of a cycle longer than any window, the second rise is known again. Holds a few hundred bytes, however
/// long it goes on.
#[derive(Debug, Clone)]
pub(super) struct Rises {
    levels: Thinned,
    before: Option<u64>,
    differs: Option<f64>, // bytes, the usual difference of neighbours
    under_way: Option<Rise>,
    given_back: Vec<Rise>, // none of them both shorter and lower than another
}

#[derive(Debug, Clone, Copy)]
struct Rise {
    began: Duration,
    lasted: Duration, // to its highest
    low: u64,
    high: u64,
}

impl Rise {
    fn at(sample: Sample) -> Self {
        Self { began: sample.at, lasted: Duration::ZERO, low: sample.bytes, high: sample.bytes }
    }

    fn bytes(&self) -> u64 {
        self.high - self.low
    }
}

impl Rises {
    /// Looks at the lowest reading of each such stretch: peaks that are shorter are not memory that stays in use.
    pub(super) fn new(stretch: Duration) -> Self {
        Self {
            levels: Thinned::new(stretch),
            before: None,
            differs: None,
            under_way: None,
            given_back: Vec::new(),
        }
    }

    /// Takes a reading, in time order.
    pub(super) fn push(&mut self, sample: Sample) {
        if let Some(level) = self.levels.push(sample) {
            self.take(level);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "memory below 2^53 bytes is exact")]
    fn take(&mut self, level: Sample) {
        if let Some(before) = self.before.replace(level.bytes) {
            let difference = level.bytes.abs_diff(before) as f64;
            let usual = self.differs.unwrap_or(difference);
            self.differs = Some(usual + NEWEST * (difference.min(OUTLYING * usual) - usual));
        }
        let noise = NOISE * self.differs.unwrap_or(0.0);
        let rise = self.under_way.get_or_insert(Rise::at(level));
        let fell = rise.high.saturating_sub(level.bytes) as f64;
        if level.bytes >= rise.high {
            (rise.high, rise.lasted) = (level.bytes, level.at.saturating_sub(rise.began));
        } else if level.bytes < rise.low || fell > noise.max(GIVEN_BACK * rise.bytes() as f64) {
            let rise = std::mem::replace(rise, Rise::at(level));
            if fell > noise {
                self.remember(rise);
            }
        }
    }

    fn remember(&mut self, rise: Rise) {
        let covers = |a: &Rise, b: &Rise| a.lasted >= b.lasted && a.bytes() >= b.bytes();
        if self.given_back.iter().any(|known| covers(known, &rise)) {
            return;
        }
        self.given_back.retain(|known| !covers(&rise, known));
        if self.given_back.len() == MOST {
            self.given_back.remove(0);
        }
        self.given_back.push(rise);
    }

    /// The verdict on a window of that length, unless it calls a leak what has risen as far and as long before, and came back.
    pub(super) fn known_again(&self, window: Duration, verdict: Verdict) -> Verdict {
        let (Shape::Leak, Some(now)) = (verdict.shape, self.under_way) else { return verdict };
        let like = |known: &&Rise| {
            window < known.lasted.saturating_mul(SEEN)
                && now.lasted < known.lasted.saturating_mul(NEW)
                && now.bytes() < known.bytes().saturating_mul(u64::from(NEW))
        };
        let Some(known) = self.given_back.iter().find(like) else { return verdict };
        let needs = known.lasted.saturating_mul(NEW).saturating_sub(now.lasted);
        #[expect(clippy::cast_precision_loss, reason = "memory below 2^53 bytes is exact")]
        let height = Bytes(known.bytes() as f64);
        let why = format!(
            "unknown (needs {} more): it rose by {height} in {} before, and came back; now: {}",
            Spoken(needs),
            Spoken(known.lasted),
            verdict.why
        );
        Verdict { shape: Shape::Unknown { needs }, time_to_limit: None, why, ..verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(1_800);

    fn fed(seconds: u64, bytes: impl Fn(u64) -> u64) -> Rises {
        let mut rises = Rises::new(Duration::from_secs(30));
        (0..seconds).for_each(|s| rises.push(Sample { at: Duration::from_secs(s), bytes: bytes(s) }));
        rises
    }

    fn leak() -> Verdict {
        let why = "leak: grows".to_owned();
        Verdict { shape: Shape::Leak, p: 0.0, slope: None, time_to_limit: None, effective_n: 48.0, why }
    }

    #[test]
    fn the_second_rise_of_a_cycle_is_known_again() {
        let sawtooth = |s: u64| 1_000_000 + 1_000 * (s % 7_200);
        assert_eq!(
            fed(6_000, sawtooth).known_again(WINDOW, leak()).shape,
            Shape::Leak,
            "the first rise is like no other"
        );
        let verdict = fed(7_200 + 6_000, sawtooth).known_again(WINDOW, leak());
        assert!(matches!(verdict.shape, Shape::Unknown { .. }), "{verdict}");
        assert!(verdict.why.contains("came back; now: leak: grows"), "{verdict}");
    }

    #[test]
    fn a_rise_that_goes_on_for_twice_as_long_is_a_leak() {
        let cycle_then_leak = |s: u64| 1_000_000 + 1_000 * if s < 7_200 { s } else { s - 7_200 };
        assert_eq!(fed(7_200 + 15_000, cycle_then_leak).known_again(WINDOW, leak()).shape, Shape::Leak);
    }

    #[test]
    fn a_hundred_cycles_are_remembered_in_little_room() {
        let rises = fed(400_000, |s| 1_000_000 + (s / 4_000 + 1) * (s % 4_000));
        assert!(rises.given_back.len() <= MOST);
        assert!(matches!(rises.known_again(WINDOW, leak()).shape, Shape::Unknown { .. }));
    }
}
