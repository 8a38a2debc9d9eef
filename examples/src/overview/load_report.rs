use std::fs;
use std::path::Path;
use std::time::SystemTime;

use offgridflow_loadtest::{Quantile, Report, ThresholdStatus};

use super::{Judgement, LoadTestView};

/// Largest report that is read, in bytes.
const LARGEST: u64 = 8 << 20;

/// The report in the file at `path`, as [`Report`] writes it; `None` where there is none that can be read.
pub(super) fn read(path: &Path) -> Option<LoadTestView> {
    let about = fs::metadata(path).ok().filter(|about| about.is_file() && about.len() <= LARGEST)?;
    let report: Report = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let written = about.modified().ok()?;
    let age_secs = SystemTime::now().duration_since(written).unwrap_or_default().as_secs();
    Some(view(&report, age_secs))
}

fn view(report: &Report, age_secs: u64) -> LoadTestView {
    let (name, total) = (report.verdict.name().to_owned(), &report.total);
    let broken = report.thresholds.iter().any(|one| one.status == ThresholdStatus::Broken);
    let verdict = match (name == "Valid", broken) {
        (true, false) => Judgement::Good(name),
        (true, true) => Judgement::Bad("Valid, a threshold is broken".to_owned()),
        (false, _) if report.verdict.is_valid() => Judgement::Bad(name),
        (false, _) => Judgement::Open(name),
    };
    let threshold = |one: &offgridflow_loadtest::ThresholdResult| {
        let outcome = match one.status {
            ThresholdStatus::Met => Judgement::Good("met".to_owned()),
            ThresholdStatus::Broken => Judgement::Bad("broken".to_owned()),
            _ => Judgement::Open("not judged".to_owned()),
        };
        (one.threshold.clone(), outcome, one.measured.clone())
    };
    LoadTestView {
        target: report.target.clone(),
        load: report.load.clone(),
        verdict,
        ok: total.ok,
        failed: total.failed,
        rate_per_sec: total.rate_per_sec,
        p95: words(total.response.p95),
        thresholds: report.thresholds.iter().map(threshold).collect(),
        age_secs,
    }
}

fn words(quantile: Quantile) -> String {
    let millis = |took: std::time::Duration| format!("{:.2} ms", took.as_secs_f64() * 1e3);
    match quantile {
        Quantile::Value(took) => millis(took),
        Quantile::AtLeast(took) => format!("at least {}", millis(took)),
        Quantile::Needs(samples) => format!("needs {samples} samples"),
    }
}
