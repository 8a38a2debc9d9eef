//! Histograms as they are written down: the counters that hold something, and what is exact beside them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{Coarse, Distribution, Latencies, Observed, blocks::Blocks, counts::Counts};

/// A counter and what it holds.
pub(super) type Pair = (usize, u64);

#[derive(Serialize, Deserialize)]
pub(super) struct WrittenLatencies {
    pub(super) count: u64,
    pub(super) min_ns: u64,
    pub(super) max_ns: u64,
    pub(super) sum_ns: u128,
    pub(super) counters: Vec<Pair>,
}

#[derive(Serialize, Deserialize)]
struct WrittenDistribution {
    answered: Latencies,
    unanswered: Option<Latencies>,
}

#[derive(Serialize, Deserialize)]
struct WrittenObserved {
    seen: Distribution,
    blocks: Blocks,
}

/// Counters of a histogram that has `empty`'s layout; what does not fit is refused.
pub(super) fn counted(mut empty: Counts, pairs: &[Pair]) -> Result<(Counts, u64), String> {
    let mut sum = 0_u64;
    for &(index, n) in pairs {
        if index >= empty.len() {
            return Err(format!("there is no counter {index}"));
        }
        empty.add(index, n);
        sum = sum.saturating_add(n);
    }
    Ok((empty, sum))
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&WrittenLatencies::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for Distribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (answered, unanswered) = (self.answered().clone(), self.given_up().cloned());
        WrittenDistribution { answered, unanswered }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WrittenDistribution { answered, unanswered } = WrittenDistribution::deserialize(deserializer)?;
        Ok(Self::of(answered, unanswered))
    }
}

impl Serialize for Observed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (seen, blocks) = (self.seen.clone(), self.blocks().clone());
        WrittenObserved { seen, blocks }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Observed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WrittenObserved { seen, blocks } = WrittenObserved::deserialize(deserializer)?;
        Ok(Self::of(seen, blocks))
    }
}

impl Serialize for Blocks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Blocks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Vec::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for Coarse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let longest = u64::try_from(self.longest().unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        (longest, self.counters().collect::<Vec<Pair>>()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Coarse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (longest, pairs) = <(u64, Vec<Pair>)>::deserialize(deserializer)?;
        Self::read(Duration::from_nanos(longest), &pairs).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_back_counter_for_counter() {
        let mut observed = Observed::default();
        for n in 0..5_000_u64 {
            observed.record(usize::try_from(n / 100).expect("small"), Duration::from_nanos(n * n * 1_000));
        }
        observed.record_n_unanswered(63, Duration::from_secs(10), 7);
        let json = serde_json::to_string(&observed).expect("written");
        let read: Observed = serde_json::from_str(&json).expect("read");
        assert_eq!(read.seen, observed.seen);
        assert_eq!(read.interval(0.5), observed.interval(0.5));
        assert_eq!(serde_json::to_string(&read).expect("written"), json);
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let mut latencies = Latencies::new();
        latencies.record_n(Duration::from_millis(5), 3);
        let json = serde_json::to_string(&latencies).expect("written");
        let refused = |json: &str| serde_json::from_str::<Latencies>(json).expect_err("refused").to_string();
        assert!(refused(&json.replace("\"count\":3", "\"count\":4")).contains("3 are counted"), "{json}");
        let far = json.replace("\"counters\":[[", "\"counters\":[[9999999,1],[");
        assert!(refused(&far).contains("no counter 9999999"));
    }
}
