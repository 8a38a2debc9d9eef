use super::text::{Text, label};
use crate::tasks::{tasks, waits};
use crate::{MemoryStatus, Profiler};

/// Places of tasks and of waits that are told, the busiest first.
const PLACES: usize = 32;

impl Profiler {
    /// What it found, in Prometheus' text format, version 0.0.4. Costs about a millisecond, as [`memory`](Self::memory) does.
    ///
    /// | | labels |
    /// |---|---|
    /// | `offgridflow_profile_memory_verdict` | `verdict`: leak, warm-up, retention, step, stable, unknown; 1 for what the readings say |
    /// | `offgridflow_profile_memory_limit_bytes`, `offgridflow_profile_memory_in_use_bytes` | |
    /// | `offgridflow_profile_samples_total`, `offgridflow_profile_dropped_total`, `offgridflow_profile_overhead_ratio` | `kind`: cpu |
    /// | `offgridflow_profile_captures_total` | `outcome`: kept, missed, not_kept, not_pushed |
    /// | `offgridflow_profile_panics_total` | |
    /// | `offgridflow_profile_tasks` | `place`; the 32 with the most |
    /// | `offgridflow_profile_waits_total`, `offgridflow_profile_wait_seconds_total` | `place`; the 32 that waited longest |
    ///
    /// ```
    /// let profiler = offgridflow_profile::Profiler::builder().start()?;
    /// assert!(profiler.prometheus().contains("offgridflow_profile_memory_verdict{verdict=\"unknown\"} 1\n"));
    /// # Ok::<(), offgridflow_profile::ProfileError>(())
    /// ```
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut text = Text::default();
        memory(&mut text, &self.memory());
        self.sampling(&mut text);
        self.captures(&mut text);
        places(&mut text);
        text.into_string()
    }

    fn sampling(&self, text: &mut Text) {
        let tally = self.cpu_tally();
        let cpu = |value: f64| [(label("kind", "cpu"), value)];
        let (taken, dropped) = (count(tally.samples), count(tally.dropped));
        text.family("offgridflow_profile_samples_total", "counter", "Samples in profiles.", &cpu(taken));
        text.family(
            "offgridflow_profile_dropped_total",
            "counter",
            "Samples that are missing in profiles.",
            &cpu(dropped),
        );
        let help = "Share of the sampled CPU time that sampling took.";
        text.family("offgridflow_profile_overhead_ratio", "gauge", help, &cpu(tally.overhead()));
    }

    fn captures(&self, text: &mut Text) {
        let stats = self.stats();
        let outcomes = [
            ("kept", stats.captures),
            ("missed", stats.missed),
            ("not_kept", stats.not_kept),
            ("not_pushed", stats.not_pushed),
        ];
        let outcomes = outcomes.map(|(outcome, times)| (label("outcome", outcome), count(times)));
        let help = "Captures that triggers asked for, and windows that could not be kept.";
        text.family("offgridflow_profile_captures_total", "counter", help, &outcomes);
        let help = "Panics on the profiler's threads.";
        text.one("offgridflow_profile_panics_total", "counter", help, Some(count(stats.panics)));
    }
}

fn memory(text: &mut Text, status: &MemoryStatus) {
    let said = status.verdict.shape.name();
    let words = ["leak", "warm-up", "retention", "step", "stable", "unknown"];
    let verdicts = words.map(|word| (label("verdict", word), f64::from(u8::from(word == said))));
    let help = "1 for what the readings of memory say, 0 for what they do not.";
    text.family("offgridflow_profile_memory_verdict", "gauge", help, &verdicts);
    let in_use = count(status.reading.in_use_bytes());
    text.one(
        "offgridflow_profile_memory_in_use_bytes",
        "gauge",
        "Memory that counts against the limit.",
        Some(in_use),
    );
    let limit = status.limit.map(|limit| count(limit.bytes));
    text.one("offgridflow_profile_memory_limit_bytes", "gauge", "What memory must not exceed.", limit);
}

/// Places are named by the code that is watched; two of one name are one series.
fn places(text: &mut Text) {
    let live = by_name(tasks().into_iter().map(|site| (site.name, count(site.live))));
    text.family("offgridflow_profile_tasks", "gauge", "Tasks that are there, by who started them.", &live);
    let waited = waits();
    let times = by_name(waited.iter().map(|site| (site.name, count(site.waits))));
    text.family(
        "offgridflow_profile_waits_total",
        "counter",
        "Waits that ended, by what was waited for.",
        &times,
    );
    let took = by_name(waited.iter().map(|site| (site.name, site.waited.as_secs_f64())));
    text.family("offgridflow_profile_wait_seconds_total", "counter", "How long they took together.", &took);
}

fn by_name(sites: impl Iterator<Item = (&'static str, f64)>) -> Vec<(String, f64)> {
    let mut sums: Vec<(&str, f64)> = Vec::new();
    for (name, value) in sites {
        let full = sums.len() >= PLACES;
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += value,
            None if full => {}
            None => sums.push((name, value)),
        }
    }
    sums.into_iter().map(|(name, value)| (label("place", name), value)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "figures are floats there")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_one_name_are_one_series_and_there_are_at_most_so_many() {
        let names: Vec<&'static str> = (0..100).map(|n| &*format!("place {n}").leak()).collect();
        let sites = || names.iter().copied().chain(["place 1"]).map(|name| (name, 1.0));
        let series = by_name(sites());
        assert_eq!(series.len(), PLACES);
        assert_eq!(series[1], ("place=\"place 1\"".to_owned(), 2.0));
    }
}
