use serde::Deserialize;
use serde_json::Value;

use super::Figure;
use crate::gate::{GateReport, Judged, Statistic};
use crate::selftest::Rate;
use crate::stats::quantile_bounds;

/// The schema of the load test's reports.
const LOADTEST: &str = "offgridflow-loadtest.report/1";
const NANOS_A_MS: f64 = 1e6;

/// Why no figure can be taken from a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It is of no kind that is known, or lacks what its kind has.
    #[error("{0}")]
    Format(String),
    /// It says itself that its numbers are not to be believed.
    #[error("{0}")]
    Invalid(String),
}

/// A number anywhere in a JSON document, by RFC 6901.
#[derive(Debug, Clone, PartialEq)]
pub struct Pointer {
    /// What the figure is called.
    pub name: String,
    /// Where its value is: `/memory/reading/rss_bytes`.
    pub value: String,
    /// What the value is multiplied with.
    pub times: f64,
    /// The unit it then has.
    pub unit: String,
    /// Where the number is that it was counted over.
    pub n: String,
    /// Whether it is a share of that number, and so has an exact interval (Clopper and Pearson 1934).
    pub is_share: bool,
}

/// What the head's benchmarks took, and their ratios to the base, of a gate that was not suspect. Of a head with changes that are not committed,
/// nothing.
#[must_use]
pub fn from_gate(report: &GateReport) -> Vec<Figure> {
    if report.environment_suspect || report.dirty {
        return Vec::new();
    }
    let of = |one: &Judged| {
        let (time, ratio) = (time(report, one), ratio(report, one));
        [time, ratio].into_iter().flatten().collect::<Vec<_>>()
    };
    report.benches.iter().flat_map(of).collect()
}

/// Median over the head's processes, with the order statistics that bound it.
fn time(report: &GateReport, one: &Judged) -> Option<Figure> {
    let statistic = one.statistic?;
    let rounds = report.raw.iter().filter(|round| round.bench == one.bench && !round.control);
    let mut heads: Vec<f64> = rounds.map(|round| statistic.of(&round.head)).collect();
    heads.sort_by(f64::total_cmp);
    let median = Some(Statistic::Median.of(&heads)).filter(|median| median.is_finite())?;
    let bounds = quantile_bounds(heads.len(), 0.5, 0.975);
    let interval = bounds.lower.zip(bounds.upper).map(|(low, high)| (heads[low], heads[high]));
    let figure = Figure::new(format!("{}: time", one.bench), median, "ns").between(interval);
    Some(of_gate(report, figure, heads.len(), "gate: an iteration, median over processes"))
}

fn ratio(report: &GateReport, one: &Judged) -> Option<Figure> {
    let figures = one.figures.as_ref()?;
    let interval = figures.ratio.map(|ratio| (ratio.low, ratio.high));
    let figure = Figure::new(format!("{}: over its base", one.bench), figures.centre?, "").between(interval);
    Some(of_gate(
        report,
        figure,
        one.rounds,
        &format!("gate: {} over {:.12}", one.verdict.word(), report.base),
    ))
}

fn of_gate(report: &GateReport, figure: Figure, n: usize, from: &str) -> Figure {
    let (commit, machine) = (report.head.clone(), report.machine.clone());
    Figure { n: n as u64, commit, at: report.at, machine, from: from.to_owned(), ..figure }
}

/// Figures of a load test's report, or of probes as the service gives them (alone, or as the field `probes`), each name beginning with `label`;
/// where `pointers` name numbers, those and nothing else. Commit, moment and machine are the caller's to fill in.
///
/// # Errors
/// Of no known kind and without pointers; a load test that was interrupted or is not valid; a pointer that leads nowhere.
pub fn from_json(json: &Value, label: &str, pointers: &[Pointer]) -> Result<Vec<Figure>, SourceError> {
    if !pointers.is_empty() {
        return pointers.iter().map(|pointer| pointer.read(json, label)).collect();
    }
    let figures = match json.get("schema").and_then(Value::as_str) {
        Some(LOADTEST) => from_loadtest(json, label)?,
        Some(other) => {
            return Err(SourceError::Format(format!("its schema is `{other}`; {LOADTEST} is known")));
        }
        None => from_probes(json.get("probes").unwrap_or(json), label),
    };
    if figures.is_empty() {
        let hint = "it is neither a report of the gate, nor of the load test, nor of probes with enough runs: name its numbers with --value NAME=/POINTER";
        return Err(SourceError::Format(hint.to_owned()));
    }
    Ok(figures)
}

#[derive(Debug, Deserialize)]
struct LoadReport {
    ending: String,
    verdict: Value,
    load: String,
    total: LoadRow,
}

#[derive(Debug, Deserialize)]
struct LoadRow {
    ok: u64,
    failed: u64,
    answered: u64,
    rate_per_sec: f64,
    response: Value,
}

fn from_loadtest(json: &Value, label: &str) -> Result<Vec<Figure>, SourceError> {
    let report: LoadReport = serde_json::from_value(json.clone())
        .map_err(|error| SourceError::Format(format!("it is no report of {LOADTEST}: {error}")))?;
    let validity = report.verdict.pointer("/validity/is").and_then(Value::as_str).unwrap_or("unknown");
    if report.ending != "completed" || validity != "valid" {
        let (ending, why) = (&report.ending, report.verdict.pointer("/validity/cause"));
        let why = why.and_then(Value::as_str).map_or(String::new(), |why| format!(": {why}"));
        return Err(SourceError::Invalid(format!(
            "the load test is {ending} and {validity}{why}; its numbers are no figures"
        )));
    }
    let from = format!("load test: {}", report.load);
    let total = &report.total;
    let mut figures: Vec<Figure> = ["p50", "p95", "p99"]
        .iter()
        .filter_map(|quantile| {
            let value = total.response.pointer(&format!("/{quantile}/value"))?.as_f64()?;
            let end = |end: &str| {
                total.response.pointer(&format!("/intervals/{quantile}/stated/{end}")).and_then(Value::as_f64)
            };
            let interval = end("low_ns").zip(end("high_ns"));
            let interval = interval.map(|(low, high)| (low / NANOS_A_MS, high / NANOS_A_MS));
            Some(Figure::new(format!("response {quantile}"), value / NANOS_A_MS, "ms").between(interval))
        })
        .collect();
    figures.push(Figure::new("answered", total.rate_per_sec, "1/s"));
    let failed = Rate { events: total.failed, trials: total.ok + total.failed };
    figures.push(share("failed", failed));
    let finish = |figure: Figure| Figure {
        name: labelled(label, &figure.name),
        n: if figure.n == 0 { total.answered } else { figure.n },
        from: from.clone(),
        ..figure
    };
    Ok(figures.into_iter().map(finish).collect())
}

/// A share in percent, with its exact interval.
fn share(name: &str, rate: Rate) -> Figure {
    let (low, high) = rate.interval();
    let figure = Figure::new(name, 100.0 * rate.share(), "%").between(Some((100.0 * low, 100.0 * high)));
    Figure { n: rate.trials, ..figure }
}

#[derive(Debug, Deserialize)]
struct ProbeLine {
    name: String,
    samples: u64,
    objective: ProbeObjective,
    at_quantile: Option<Span>,
    interval: Option<[Span; 2]>,
}

#[derive(Debug, Deserialize)]
struct ProbeObjective {
    quantile: f64,
}

/// A duration as serde writes it.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Span {
    secs: u64,
    nanos: u32,
}

impl Span {
    fn milliseconds(self) -> f64 {
        self.secs as f64 * 1e3 + f64::from(self.nanos) / NANOS_A_MS
    }
}

/// The probes that have enough runs for their quantile; what is no list of probes has none.
fn from_probes(json: &Value, label: &str) -> Vec<Figure> {
    let probes: Vec<ProbeLine> = serde_json::from_value(json.clone()).unwrap_or_default();
    let of = |probe: ProbeLine| {
        let (value, quantile) = (probe.at_quantile?.milliseconds(), 100.0 * probe.objective.quantile);
        let interval = probe.interval.map(|[low, high]| (low.milliseconds(), high.milliseconds()));
        let name = labelled(label, &format!("{} p{}", probe.name, super::figure::number(quantile)));
        let figure = Figure::new(name, value, "ms").between(interval);
        Some(Figure { n: probe.samples, from: "probe in the running service".to_owned(), ..figure })
    };
    probes.into_iter().filter_map(of).collect()
}

impl Pointer {
    fn read(&self, json: &Value, label: &str) -> Result<Figure, SourceError> {
        let at = |pointer: &str| {
            json.pointer(pointer).and_then(Value::as_f64).ok_or_else(|| {
                SourceError::Format(format!("{}: there is no number at `{pointer}`", self.name))
            })
        };
        let (value, n) = (at(&self.value)?, at(&self.n)?);
        let refuse = |what: String| Err(SourceError::Format(format!("{}: {what}", self.name)));
        if n < 0.0 {
            return refuse(format!("{n} is no count: it is below 0"));
        }
        if self.is_share && !(0.0..=1.0).contains(&value) {
            return refuse(format!("{value} is no share: it is not from 0 to 1"));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating is right")]
        let (events, trials) = ((value * n).round() as u64, n as u64);
        let interval = self.is_share.then(|| {
            let (low, high) = Rate { events, trials }.interval();
            (low * self.times, high * self.times)
        });
        let name = labelled(label, &self.name);
        let figure = Figure::new(name, value * self.times, self.unit.clone()).between(interval);
        Ok(Figure { n: trials, from: format!("the service's own count, `{}`", self.value), ..figure })
    }
}

fn labelled(label: &str, name: &str) -> String {
    if label.is_empty() { name.to_owned() } else { format!("{label}: {name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn load(validity: &str, ending: &str) -> Value {
        json!({
            "schema": LOADTEST, "ending": ending, "load": "1000/s for 30 s",
            "verdict": {"validity": {"is": validity, "cause": "late"}, "limit": {"is": "not_reached"}},
            "total": {"route": "", "ok": 990, "failed": 10, "answered": 1000, "rate_per_sec": 999.5, "response": {
                "p50": {"value": 2_000_000}, "p95": {"value": 5_500_000}, "p99": {"needs": 299},
                "intervals": {"p50": {"refused": {"needs": null}},
                              "p95": {"stated": {"low_ns": 5_000_000, "high_ns": 6_000_000}}}}}
        })
    }

    #[test]
    fn a_load_test_gives_what_it_measured_and_nothing_where_it_is_not_valid() {
        let figures = from_json(&load("valid", "completed"), "api", &[]).unwrap();
        let of = |name: &str| figures.iter().find(|one| one.name == name).unwrap();
        let p95 = of("api: response p95");
        assert_eq!((p95.value, p95.low, p95.high, p95.n), (5.5, Some(5.0), Some(6.0), 1_000));
        assert_eq!((of("api: response p50").low, of("api: answered").value), (None, 999.5));
        let failed = of("api: failed");
        assert!((failed.value - 1.0).abs() < 1e-9 && failed.low.unwrap() < 0.6 && failed.high.unwrap() > 1.7);
        assert!(!figures.iter().any(|one| one.name.contains("p99")), "a percentile that was refused is none");
        for (validity, ending) in [("generator_bound", "completed"), ("valid", "interrupted")] {
            let refused = from_json(&load(validity, ending), "", &[]);
            assert!(matches!(refused, Err(SourceError::Invalid(_))), "{validity} {ending}");
        }
    }

    #[test]
    fn probes_and_numbers_by_pointer_are_figures() {
        let probe = |name: &str, at: Value| {
            json!({"name": name, "samples": 80, "objective": {"quantile": 0.95, "limit": {"secs": 0, "nanos": 1}},
                "at_quantile": at, "interval": [{"secs": 0, "nanos": 1_000_000}, {"secs": 1, "nanos": 0}]})
        };
        let json = json!({"probes": [probe("ping", json!({"secs": 0, "nanos": 2_500_000})), probe("few", Value::Null)],
            "cache": {"hits": 0.9, "asked": 1_000}});
        let pointer = |value: &str| Pointer {
            name: "hit ratio".to_owned(),
            value: value.to_owned(),
            times: 100.0,
            unit: "%".to_owned(),
            n: "/cache/asked".to_owned(),
            is_share: true,
        };
        let figures = from_json(&json, "", &[]).unwrap();
        let names: Vec<&str> = figures.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["ping p95"]);
        assert_eq!((figures[0].value, figures[0].low, figures[0].high), (2.5, Some(1.0), Some(1_000.0)));
        let figures = from_json(&json, "", &[pointer("/cache/hits")]).unwrap();
        let [ratio] = &figures[..] else { panic!("{figures:?}") };
        assert!(ratio.value == 90.0 && (87.5..89.0).contains(&ratio.low.unwrap()), "{ratio:?}");
        assert!(matches!(from_json(&json, "", &[pointer("/cache/none")]), Err(SourceError::Format(_))));
        let odd = json!({"cache": {"hits": 1.5, "fewer": -0.1, "asked": -3, "nobody": 0}});
        let refused = |value: &str, n: &str| {
            let pointer = Pointer { n: n.to_owned(), ..pointer(value) };
            from_json(&odd, "", &[pointer]).unwrap_err().to_string()
        };
        assert!(refused("/cache/hits", "/cache/nobody").contains("1.5 is no share: it is not from 0 to 1"));
        assert!(refused("/cache/fewer", "/cache/nobody").contains("is no share"));
        assert!(refused("/cache/hits", "/cache/asked").contains("-3 is no count"));
        assert!(matches!(from_json(&json!({"a": 1}), "", &[]), Err(SourceError::Format(_))));
        assert!(matches!(from_json(&json!({"schema": "x/1"}), "", &[]), Err(SourceError::Format(_))));
    }
}
