use std::time::Duration;

use super::Sample;

/// The lowest reading of each stretch of time: what stays in use between the peaks, at a bounded pace.
#[derive(Debug, Clone)]
pub(super) struct Thinned {
    stretch: Duration,
    lowest: Option<Sample>, // of the stretch under way, at its first reading
}

impl Thinned {
    pub(super) fn new(stretch: Duration) -> Self {
        Self { stretch, lowest: None }
    }

    /// Takes a reading, in time order; with the first one of a stretch, what the stretch before has.
    pub(super) fn push(&mut self, sample: Sample) -> Option<Sample> {
        match &mut self.lowest {
            Some(lowest) if sample.at.saturating_sub(lowest.at) < self.stretch => {
                lowest.bytes = lowest.bytes.min(sample.bytes);
                None
            }
            lowest => lowest.replace(sample),
        }
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
        assert_eq!(kept.len(), 49);
        assert!(kept.iter().all(|sample| sample.bytes == 1_000 && sample.at.as_secs().is_multiple_of(4)));
    }
}
