//! What a reader should know beside the numbers.

use std::time::Duration;

use super::{Measured, text::short};
use crate::{histogram::as_f64, plan::Plan, warm_up::WarmUp};

/// The share of the host's time from which on stealing is worth a note.
const NOTABLE_STEAL: f64 = 0.02;
/// The inflation of p95 from which on it is worth a note.
const NOTABLE_INFLATION: Duration = Duration::from_micros(100);

pub(super) fn notes(measured: &Measured, plan: &Plan) -> Vec<String> {
    let (recorder, generator) = (&measured.recorder, &measured.generator);
    let mut notes = plan.notes.clone();
    if recorder.held > 0 {
        notes.push(format!(
            "{} operations waited for the cap of {} in flight; the wait counts as admission wait",
            recorder.held, plan.max_in_flight
        ));
    }
    if plan.warm_up == WarmUp::Auto && !measured.settled {
        notes.push(
            "the response times did not become steady in the first half: the second was measured".into(),
        );
    }
    if measured.trend == Some(true) {
        notes.push("the response times still rose or fell while they were measured: percentiles depend on when and how long".into());
    }
    if let Some(share) = generator.stolen_share.filter(|&share| share > NOTABLE_STEAL) {
        notes.push(format!("the host took {:.1} % of this machine's CPU time away", share * 100.0));
    }
    if let Some(inflation) = generator.inflation_p95.filter(|&inflation| inflation > NOTABLE_INFLATION) {
        notes.push(format!(
            "the generator's own lag raised the p95 of the response time by {}",
            short(inflation)
        ));
    }
    if recorder.warm.operations > 0 && recorder.warm.failed * 2 > recorder.warm.operations {
        let share = as_f64(recorder.warm.failed) * 100.0 / as_f64(recorder.warm.operations);
        notes.push(format!("{share:.0} % of the warm-up's operations failed"));
    }
    notes
}
