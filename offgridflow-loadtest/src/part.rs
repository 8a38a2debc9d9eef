//! One process of several that run a load test together.

use std::{sync::Arc, time::Duration};

use crate::{
    error::ConfigError,
    executor::{Closed, Executor},
    histogram::as_f64,
    schedule::ArrivalProcess,
};

/// One of `of` equal parts of a load test: every `of`th operation, from `index` on. Together they are the whole, bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Part {
    pub(crate) index: u64,
    pub(crate) of: u64,
}

/// The most parts.
pub(crate) const MOST_PARTS: u64 = 10_000;

impl Default for Part {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Part {
    pub(crate) fn is_whole(self) -> bool {
        self.of == 1
    }

    pub(crate) fn validate(self) -> Result<(), ConfigError> {
        let refused = |hint: String| Err(ConfigError::new("shard", hint));
        if !(1..=MOST_PARTS).contains(&self.of) {
            return refused(format!("a run has 1 to {MOST_PARTS} shards, not {}", self.of));
        }
        if self.index >= self.of {
            let last = self.of - 1;
            return refused(format!(
                "shards count from 0: the last of {} is {last}, not {}",
                self.of, self.index
            ));
        }
        Ok(())
    }

    /// Which operation of the whole its `k`th is.
    pub(crate) fn of_whole(self, k: u64) -> u64 {
        k.saturating_mul(self.of).saturating_add(self.index)
    }

    /// Its share of so many; those of all parts differ by at most one and sum to the whole.
    pub(crate) fn share(self, whole: u64) -> u64 {
        (whole + self.of - 1).saturating_sub(self.index) / self.of
    }

    pub(crate) fn share_of(self, whole: usize) -> usize {
        let whole = u64::try_from(whole).unwrap_or(u64::MAX);
        usize::try_from(self.share(whole)).unwrap_or(usize::MAX)
    }

    /// Its operations, or its workers.
    pub(crate) fn executor(self, whole: &Executor) -> Executor {
        match whole {
            whole if self.is_whole() => whole.clone(),
            Executor::Open(arrivals) => {
                Executor::Open(Arc::new(Every { whole: Arc::clone(arrivals), part: self }))
            }
            Executor::Closed(closed) => {
                let (workers, among) = (self.share_of(closed.workers), (self, closed.workers));
                let iterations = closed.iterations.map(|all| self.share(all));
                Executor::Closed(Closed { workers, iterations, among: Some(among), ..closed.clone() })
            }
        }
    }
}

/// Every `of`th arrival of a schedule.
#[derive(Debug)]
struct Every {
    whole: Arc<dyn ArrivalProcess>,
    part: Part,
}

impl ArrivalProcess for Every {
    fn intended(&self, k: u64) -> Option<Duration> {
        self.whole.intended(self.part.of_whole(k))
    }

    fn operations(&self) -> u64 {
        self.part.share(self.whole.operations())
    }

    fn duration(&self) -> Duration {
        self.whole.duration()
    }

    fn rate_at(&self, at: Duration) -> f64 {
        self.whole.rate_at(at) / as_f64(self.part.of)
    }

    fn peak_rate(&self) -> f64 {
        self.whole.peak_rate() / as_f64(self.part.of)
    }

    fn remarks(&self) -> Vec<String> {
        self.whole.remarks()
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.whole.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schedule;
    use crate::rate::Rate;

    #[test]
    fn l6_parts_of_a_schedule_are_the_schedule_bit_for_bit() {
        let rate = Rate::ramp(10.0, 500.0, Duration::from_secs(3)).hold(Duration::from_secs(2));
        for whole in [Executor::open(rate.clone()), Schedule::poisson(rate, 7).into()] {
            let arrivals = whole.arrivals().expect("open");
            let all: Vec<_> = (0..).map_while(|k| arrivals.intended(k)).collect();
            for of in [1, 2, 4, 8] {
                let mut union = vec![None; all.len()];
                for index in 0..of {
                    let part = Part { index, of };
                    let executor = part.executor(&whole);
                    let mine = executor.arrivals().expect("open");
                    let count =
                        (0..).map_while(|k| mine.intended(k).map(|at| (k, at))).inspect(|&(k, at)| {
                            let place = usize::try_from(part.of_whole(k)).expect("small");
                            assert_eq!(union[place].replace(at), None, "each once");
                        });
                    assert_eq!(count.count() as u64, mine.operations());
                }
                assert!(union.iter().map(|at| at.expect("all of them")).eq(all.iter().copied()));
            }
        }
    }

    #[test]
    fn shares_sum_to_the_whole() {
        for whole in [0, 1, 7, 8, 9, 1_000] {
            for of in 1..=9 {
                let shares: Vec<_> = (0..of).map(|index| Part { index, of }.share(whole)).collect();
                assert_eq!(shares.iter().sum::<u64>(), whole);
                assert!(shares[0] - shares[shares.len() - 1] <= 1);
            }
        }
        assert_eq!(Part { index: 8, of: 8 }.validate().expect_err("from 0").field, "shard");
        assert!(Part { index: 0, of: 0 }.validate().is_err() && Part { index: 7, of: 8 }.validate().is_ok());
    }
}
