use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{GateReport, Judged, Statistic, Verdict};
use crate::history::Record;

/// Half the width of a 95 % interval, in standard errors.
const HALF_WIDTH: f64 = 1.96;

impl GateReport {
    /// One line of history a benchmark that was measured or is identical: its ratio to the base, which is the anchor.
    ///
    /// Empty where the environment is suspect, and where the head holds changes that no commit has.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        if self.environment_suspect || self.dirty {
            return Vec::new();
        }
        let (machine, at) = (machine(), now());
        self.benches.iter().filter_map(|one| self.record(one, &machine, at)).collect()
    }

    fn record(&self, one: &Judged, machine: &str, at: u64) -> Option<Record> {
        let (ln_ratio, spread) = match one.verdict {
            Verdict::Identical => (0.0, None),
            Verdict::Regressed
            | Verdict::LayoutSensitive
            | Verdict::Improved
            | Verdict::NoRegression
            | Verdict::Undecided => {
                let figures = one.figures.as_ref()?;
                let spread = figures.ratio.map(|ratio| (ratio.high / ratio.low).ln() / (2.0 * HALF_WIDTH));
                (figures.centre?.ln(), spread.filter(|spread| spread.is_finite() && *spread > 0.0))
            }
            Verdict::New | Verdict::Missing | Verdict::Retired | Verdict::Broken => return None,
        };
        Some(Record {
            commit: self.head.clone(),
            anchor: self.base.clone(),
            bench: one.bench.clone(),
            ln_ratio,
            spread,
            nanoseconds: self.nanoseconds(one),
            machine: machine.to_owned(),
            at,
        })
    }

    /// Median over the head's processes.
    fn nanoseconds(&self, one: &Judged) -> Option<f64> {
        let statistic = one.statistic?;
        let rounds = self.raw.iter().filter(|round| round.bench == one.bench && !round.control);
        let heads: Vec<f64> = rounds.map(|round| statistic.of(&round.head)).collect();
        Some(Statistic::Median.of(&heads)).filter(|median| median.is_finite())
    }
}

/// The kind of machine: architecture, processors and their model, nothing that tells one machine from its twin.
fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown", |(_, model)| model.trim());
    format!("{} {processors} × {model}", std::env::consts::ARCH)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
