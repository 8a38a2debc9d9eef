//! How the run went over time: rates, the map of response times, the generator's lag, one above the other.

use std::time::Duration;

use super::{
    axis::{Linear, LogAxis, Seconds},
    heat,
    plot::{Plot, block, key, steps},
    words::grouped,
};
use crate::{
    control::Event,
    histogram::{Quantile, as_f64},
    report::{Report, Stretch, text},
    units::measured_rate,
    verdict::MAX_LAG_P99,
    window::per_sec,
};

/// The most pauses and the most changes that are drawn; the table has more.
const MARKS: usize = 40;

pub(super) fn section(report: &Report) -> String {
    let stretches = &report.timeline.stretches;
    let Some(last) = stretches.last() else { return String::new() };
    let over = Over { report, seconds: Seconds::up_to(last.to) };
    let seconds = stretches[0].length().as_secs_f64();
    format!(
        "<section><h2>Over time</h2><p class=\"small\">In stretches of {seconds:.0} s, by when operations ended; the plots share their seconds. Percentiles here are to about 6 %.</p>\
         {}{}{}{}</section>",
        rates(&over),
        heat::figure(&over),
        lag(&over),
        table(stretches)
    )
}

/// A run and its seconds.
pub(super) struct Over<'a> {
    pub(super) report: &'a Report,
    seconds: Seconds,
}

impl<'a> Over<'a> {
    pub(super) fn stretches(&self) -> &'a [Stretch] {
        &self.report.timeline.stretches
    }

    pub(super) fn x(&self, at: Duration) -> f64 {
        Plot::x(self.seconds.share(at))
    }

    /// A plot with the seconds under it, the warm-up set off and the end of the plan marked.
    pub(super) fn plot(&self, height: f64) -> Plot {
        let mut plot = Plot::new(height);
        let (warm, planned) = (self.report.measured_from, self.report.planned);
        if !warm.is_zero() {
            plot.shade(self.seconds.share(warm), "warm-up");
        }
        plot.columns(self.seconds.ticks());
        let end = self.seconds.share(planned);
        if end < 0.995 {
            plot.mark(end, "end of the plan");
        }
        for (from, to) in self.pauses() {
            plot.field(self.seconds.share(from), self.seconds.share(to), "paused");
        }
        let rates = self.report.annotations.iter().filter(|one| matches!(one.what, Event::Rate { .. }));
        for changed in rates.take(MARKS) {
            plot.mark(self.seconds.share(changed.at), "rate");
        }
        plot
    }

    /// From when to when it was paused.
    fn pauses(&self) -> impl Iterator<Item = (Duration, Duration)> + '_ {
        let all = &self.report.annotations;
        let paused = all.iter().enumerate().filter(|(_, one)| one.what == Event::Paused);
        paused.take(MARKS).map(|(at, one)| {
            let resumed = all[at..].iter().find(|later| later.what == Event::Resumed);
            (one.at, resumed.map_or(self.report.elapsed, |later| later.at))
        })
    }

    /// What holds in each stretch, as a line of steps.
    pub(super) fn steps(&self, y: impl Fn(&Stretch) -> Option<f64>) -> String {
        steps(self.stretches().iter().map(|one| (self.x(one.from), self.x(one.to), y(one))))
    }
}

fn done(one: &Stretch) -> f64 {
    per_sec(one.ok + one.failed, one.length())
}

fn offered(one: &Stretch) -> Option<f64> {
    one.offered.map(|offered| per_sec(offered, one.length()))
}

/// Offered against achieved.
fn rates(over: &Over<'_>) -> String {
    let all = over.stretches();
    let most = all.iter().map(|one| done(one).max(offered(one).unwrap_or(0.0))).fold(0.0, f64::max);
    let axis = Linear::up_to(most);
    let mut plot = over.plot(170.0);
    plot.rows(axis.ticks());
    let fields = |plot: &Plot, from: fn(&Stretch) -> f64, to: fn(&Stretch) -> f64| {
        let mut d = String::new();
        for one in all.iter().filter(|one| to(one) > from(one)) {
            let (left, right) = (over.x(one.from), over.x(one.to));
            let (bottom, top) = (plot.y(axis.share(from(one))), plot.y(axis.share(to(one))));
            block(&mut d, (left, top), (right - left, bottom - top));
        }
        d
    };
    let ok = |one: &Stretch| per_sec(one.ok, one.length());
    let (good, bad) = (fields(&plot, |_| 0.0, ok), fields(&plot, ok, done));
    plot.path("okay", &good);
    plot.path("fail", &bad);
    let wanted = over.steps(|one| offered(one).map(|rate| plot.y(axis.share(rate))));
    plot.path("ink", &wanted);
    let mut keys = vec![("okay", "ended well")];
    if !bad.is_empty() {
        keys.push(("fail", "failed"));
    }
    if !wanted.is_empty() {
        keys.insert(0, ("ink", "offered"));
    }
    let told = format!(
        "At most {} a second ended; offered were {} in all, {} ended well, {} failed.",
        measured_rate(all.iter().map(done).fold(0.0, f64::max)),
        over.report.offered,
        over.report.total.ok,
        over.report.total.failed
    );
    let svg = plot.svg("rates", "Operations a second over time", &told);
    format!(
        "<figure><figcaption>Operations a second: {}</figcaption><div class=\"wide\">{svg}</div></figure>",
        key(&keys)
    )
}

/// How late the generator itself was.
fn lag(over: &Over<'_>) -> String {
    let all = over.stretches();
    let lags = all.iter().flat_map(|one| [one.lag_p50, one.lag_p99, one.lag_max]);
    let Some(axis) = LogAxis::over(lags.flatten()) else { return String::new() };
    let mut plot = over.plot(150.0);
    plot.rows(axis.ticks());
    let line = |plot: &Plot, of: fn(&Stretch) -> Option<Duration>| {
        over.steps(|one| of(one).map(|lag| plot.y(axis.share(lag))))
    };
    let longest = all.iter().filter_map(|one| one.lag_max).max().unwrap_or_default();
    if longest >= MAX_LAG_P99 {
        let limit = steps([(Plot::x(0.0), Plot::x(1.0), Some(plot.y(axis.share(MAX_LAG_P99))))].into_iter());
        plot.path("limit", &limit);
    }
    for (class, of) in [
        ("thin dotted", (|one| one.lag_max) as fn(&Stretch) -> Option<Duration>),
        ("other", |one| one.lag_p99),
        ("main", |one| one.lag_p50),
    ] {
        let d = line(&plot, of);
        plot.path(class, &d);
    }
    let mut keys = vec![("main", "p50"), ("other", "p99"), ("thin dotted", "longest")];
    if longest >= MAX_LAG_P99 {
        keys.push(("limit", "a p99 beyond it makes a run invalid"));
    }
    let told = format!("The longest was {}.", text::short(longest));
    let svg = plot.svg("lag", "The generator's own lag over time", &told);
    format!(
        "<figure><figcaption>Dispatch lag, the generator's own lateness: {}</figcaption><div class=\"wide\">{svg}</div></figure>",
        key(&keys)
    )
}

fn table(stretches: &[Stretch]) -> String {
    format!(
        "<details><summary>The figures</summary><div class=\"wide\"><table class=\"course\"><thead><tr><th class=\"n\">from</th><th class=\"n\">to</th><th class=\"n\">offered</th>\
         <th class=\"n\">ok</th><th class=\"n\">failed</th><th class=\"n\">unanswered</th><th class=\"n\">in flight</th><th class=\"n\">p50</th><th class=\"n\">p95</th><th class=\"n\">p99</th>\
         <th class=\"n\">lag p50</th><th class=\"n\">lag p99</th><th class=\"n\">longest lag</th></tr></thead><tbody>{}</tbody></table></div></details>",
        stretches.iter().map(row).collect::<String>()
    )
}

fn row(one: &Stretch) -> String {
    let quantile = |quantile: Option<Quantile>| quantile.map_or_else(|| "–".into(), text::quantile);
    let time = |time: Option<Duration>| time.map_or_else(|| "–".into(), text::short);
    let [p50, p95, p99] = [one.p50, one.p95, one.p99].map(quantile);
    let [lag_p50, lag_p99, lag_max] = [one.lag_p50, one.lag_p99, one.lag_max].map(time);
    let counts = [one.ok, one.failed, one.unanswered, one.in_flight].map(grouped);
    let [ok, failed, unanswered, in_flight] = counts;
    let offered = one.offered.map_or_else(|| "–".into(), grouped);
    let (from, to) = (seconds(one.from), seconds(one.to));
    let cells =
        [from, to, offered, ok, failed, unanswered, in_flight, p50, p95, p99, lag_p50, lag_p99, lag_max];
    format!("<tr>{}</tr>", cells.map(|cell| format!("<td class=\"n\">{cell}</td>")).concat())
}

/// To tenths where there are any.
fn seconds(at: Duration) -> String {
    let digits = usize::from(at.subsec_millis() >= 50);
    format!("{:.digits$} s", at.as_secs_f64())
}

/// The largest of counts, as a number.
pub(super) fn most(counts: impl Iterator<Item = u64>) -> f64 {
    as_f64(counts.max().unwrap_or(0))
}
