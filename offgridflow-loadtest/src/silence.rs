//! How long a target answered nobody.

use std::time::Duration;

/// The longest stretch without an answer on one shard, as far as it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Silence {
    #[cfg_attr(feature = "serde", serde(with = "crate::report::nanos"))]
    heard: Duration, // the last answer
    #[cfg_attr(feature = "serde", serde(with = "crate::report::nanos"))]
    from: Duration,
    #[cfg_attr(feature = "serde", serde(with = "crate::report::nanos"))]
    to: Duration,
}

impl Silence {
    /// Something was answered at `at`; what came before `since` is not asked about.
    pub(crate) fn answer(&mut self, at: Duration, since: Duration) {
        let from = self.heard.max(since);
        if at.saturating_sub(from) > self.length() {
            (self.from, self.to) = (from, at);
        }
        self.heard = self.heard.max(at);
    }

    /// The longest up to `end`, when nothing more was asked.
    pub(crate) fn until(mut self, end: Duration, since: Duration) -> Self {
        self.answer(end, since);
        self
    }

    /// What both shards were silent in of their longest stretches: at least so long nobody was answered on either.
    pub(crate) fn overlap(self, other: Self) -> Self {
        let (from, to) = (self.from.max(other.from), self.to.min(other.to));
        Self { from, to: to.max(from), ..self }
    }

    pub(crate) fn length(self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_was_silent_where_all_of_its_shards_were() {
        let ms = Duration::from_millis;
        let heard = |at: &[u64]| {
            let mut silence = Silence::default();
            at.iter().for_each(|&at| silence.answer(ms(at), ms(100)));
            silence
        };
        let one = heard(&[50, 150, 1_000, 1_010]); // from 150 to 1 000
        assert_eq!(one.length(), ms(850));
        assert_eq!(heard(&[50, 120]).length(), ms(20), "what came before 100 ms is not asked about");
        assert_eq!(one.until(ms(2_000), ms(100)).length(), ms(990));
        assert_eq!(one.overlap(heard(&[500, 1_200])).length(), ms(500), "up to 1 000");
        assert_eq!(one.overlap(heard(&[110, 120])).length(), ms(0));
    }
}
