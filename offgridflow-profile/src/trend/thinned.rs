use std::time::Duration;

use super::Sample;

/// The lowest reading of each stretch of time: what stays in use between the peaks, at a bounded pace.
#[derive(Debug, Clone)]
pub(super) struct Thinned {
    stretch: Duration,
    lowest: Option<Sample>, // of the stretch under way, at its first reading
    newest: Option<Duration>,
}

impl Thinned {
    pub(super) fn new(stretch: Duration) -> Self {
        Self { stretch, lowest: None, newest: None }
    }

    /// Takes a reading, in time order; with the last one of a stretch, what the stretch has. It is the last one if another would be too late,
    /// should it come as long after as this came after the one before.
    pub(super) fn push(&mut self, sample: Sample) -> Option<Sample> {
        let gap =
            self.newest.replace(sample.at).map_or(Duration::ZERO, |newest| sample.at.saturating_sub(newest));
        let lowest = self.lowest.get_or_insert(sample);
        lowest.bytes = lowest.bytes.min(sample.bytes);
        let ends = sample.at.saturating_sub(lowest.at).saturating_add(gap);
        if ends >= self.stretch { self.lowest.take() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_has_its_lowest_reading() {
        let mut thinned = Thinned::new(Duration::from_secs(4));
        let readings = (0..200).map(|s| Sample { at: Duration::from_secs(s), bytes: 1_000 + s % 4 });
        let kept: Vec<Sample> = readings.filter_map(|sample| thinned.push(sample)).collect();
        assert_eq!(kept.len(), 50);
        assert!(kept.iter().all(|sample| sample.bytes == 1_000 && sample.at.as_secs().is_multiple_of(4)));
    }

    #[test]
    fn a_reading_that_fills_its_stretch_does_not_wait_for_the_next() {
        let mut thinned = Thinned::new(Duration::from_secs(1));
        let kept = |s: u64| Sample { at: Duration::from_secs(s), bytes: s };
        assert_eq!(thinned.push(kept(0)), None, "how often readings come is not known yet");
        assert_eq!(thinned.push(kept(1)), Some(kept(0)), "the lowest of the two");
        assert!((2..9).all(|s| thinned.push(kept(s)) == Some(kept(s))));
    }
}
