//! What a reader should know beside the numbers.

use std::time::Duration;

use super::{
    Correction, Measured,
    gates::missed_deadline,
    seen::Seen,
    text::{operations, short},
};
use crate::{
    executor::Model,
    histogram::{as_f64, min_samples},
    outcome::FailKind,
    plan::Plan,
    threshold::Metric,
    verdict::{MAX_INFLATION, NEGLIGIBLE_LAG},
    warm_up::WarmUp,
};

/// The share of the host's time from which on stealing is worth a note.
const NOTABLE_STEAL: f64 = 0.02;
/// One failure in so many operations is worth a note.
const NOTABLE_FAILURES: u64 = 100;
/// The percentage of missed deadlines that is worth a note.
const NOTABLE_LATE: f64 = 1.0;
/// The inflation of p95 from which on it is worth a note.
const NOTABLE_INFLATION: Duration = Duration::from_micros(100);

/// What of the response times is the generator's own: how much of the p95, and from which percentile on more than a tenth.
fn own_part(measured: &Measured) -> Option<String> {
    let lag = measured.tally.lag.seen.answered().max()?;
    let raised = raised_p95(measured);
    let tail = own_tail(measured).map(|tail| format!("{tail} more than a tenth its own"));
    let parts: Vec<_> = [tail, raised].into_iter().flatten().collect();
    (!parts.is_empty())
        .then(|| format!("the generator itself was up to {} late: {}", short(lag), parts.join("; ")))
}

/// Which response times are partly the generator's, as the beginning of a sentence.
fn own_tail(measured: &Measured) -> Option<&'static str> {
    let response = measured.responses();
    let own = |q: f64| {
        let with = response.answered().quantile(q)?;
        let added = with.saturating_sub(measured.tally.undelayed.quantile(q)?);
        Some(added > NEGLIGIBLE_LAG && added.as_secs_f64() > MAX_INFLATION * with.as_secs_f64())
    };
    let tails = [
        (0.95, "response times from the p95 on are"),
        (0.99, "response times from the p99 on are"),
        (0.999, "response times from the p99.9 on are"),
        (1.0, "the longest response time is"),
    ];
    let told = |q| response.count() >= min_samples(q);
    tails.into_iter().find(|&(q, _)| told(q) && own(q) == Some(true)).map(|(_, tail)| tail)
}

/// By how much, if it is worth a word.
fn raised_p95(measured: &Measured) -> Option<String> {
    let generator = &measured.generator;
    let inflation = generator.inflation_p95.filter(|&inflation| inflation > NOTABLE_INFLATION)?;
    let unseen = generator.unseen_p95.map_or_else(String::new, |unseen| {
        format!(", and up to {} more may have come on the way back, which nobody measured", short(unseen))
    });
    Some(format!("it raised the p95 by {}{unseen}", short(inflation)))
}

/// What share failed, if it is worth a word, and how.
fn failures(measured: &Measured) -> Option<String> {
    let (failed, all) = measured
        .tally
        .routes()
        .fold((0, 0), |(failed, all), (_, route)| (failed + route.failed, all + route.ok + route.failed));
    let commonest = measured.commonest()?;
    (failed * NOTABLE_FAILURES >= all).then(|| {
        let share = as_f64(failed) * 100.0 / as_f64(all);
        format!("{share:.1} % of operations failed, mostly: {commonest}")
    })
}

/// Panics are faults of the workload, whatever the target did.
fn panics(measured: &Measured) -> Option<String> {
    let lines = || measured.tally.ledger.lines().iter().filter(|line| line.kind == FailKind::Panic);
    let first = lines().next()?;
    let count = operations(measured.panicked());
    Some(format!("the workload panicked in {count}, a fault of its own: {}", first.message))
}

/// What the workers of a closed loop left out.
fn omitted(Correction { interval, filled, longest_silence }: Correction) -> String {
    format!(
        "workers held up by slow answers left out {}, one every {} each, which are filled into the response times; nobody was answered for {} at the longest; a rate of its own (`--rate`) asks on and measures this",
        operations(filled),
        short(interval),
        short(longest_silence)
    )
}

/// A deadline that is missed, and that nothing judges.
fn missed(plan: &Plan, total: &Seen<'_>) -> Option<String> {
    let (deadline, _) = plan.deadline?;
    let share = missed_deadline(&total.record).filter(|&share| share >= NOTABLE_LATE)?;
    let is_judged = plan.thresholds.iter().any(|threshold| threshold.metric == Metric::LateRatio);
    (!is_judged).then(|| {
        format!(
            "{share:.1} % of operations were answered after their deadline of {}, or never, and no threshold judges that: `late_ratio <= 1%` would",
            short(deadline)
        )
    })
}

pub(super) fn notes(
    measured: &Measured,
    plan: &Plan,
    total: &Seen<'_>,
    correction: Option<Correction>,
) -> Vec<String> {
    let (recorder, generator) = (&measured.tally, &measured.generator);
    let mut notes = plan.notes.clone();
    if recorder.held > 0 {
        notes.push(format!(
            "{} waited for the cap of {} in flight; the wait counts as admission wait",
            operations(recorder.held),
            plan.max_in_flight
        ));
    }
    if plan.executor.model() == Model::Saturation {
        notes.push("response times are those of a closed loop at saturation: more workers make them longer, and they say nothing about how long a user waits; load at a rate for that".into());
    }
    notes.extend(correction.filter(|_| total.is_raised()).map(omitted));
    notes.extend(missed(plan, total));
    notes.extend(own_part(measured));
    notes.extend(failures(measured));
    notes.extend(panics(measured));
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
    if recorder.warm.operations > 0 && recorder.warm.failed * 2 > recorder.warm.operations {
        let share = as_f64(recorder.warm.failed) * 100.0 / as_f64(recorder.warm.operations);
        notes.push(format!("{share:.0} % of the warm-up's operations failed"));
    }
    notes
}
