//! The curve of response times.

use std::{fmt::Write, time::Duration};

use super::{
    axis::{LogAxis, Nines},
    plot::{Plot, key, line},
    words::{interval, quantile},
};
use crate::{
    histogram::{Interval, Quantile},
    report::{Percentile, Report, text},
};

/// Points that are named in the plot.
const NAMED: [(f64, &str); 4] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9")];

pub(super) fn section(report: &Report) -> String {
    let points = &report.percentiles;
    let Some((plot, keys)) = points.last().and_then(|last| draw(points, last.share)) else {
        return String::new();
    };
    let filled = report.correction.filter(|correction| correction.filled > 0);
    let filled = if filled.is_some() {
        " Response times hold what workers of this closed loop left out while a slow answer held them up; service times do not."
    } else {
        ""
    };
    format!(
        "<section><h2>Response times</h2><p class=\"small\">How many operations took no longer than that; each step to the right is a tenth of what was left. \
         Both axes are logarithmic. The interval holds the percentile of other runs like this one in at least 93 of 100 cases; where it is missing, this run cannot carry one.{filled}</p>\
         <figure><div class=\"wide\">{plot}</div><figcaption>{keys}</figcaption></figure>{}</section>",
        table(points)
    )
}

/// The plot and its keys.
fn draw(points: &[Percentile], end: f64) -> Option<(String, String)> {
    let ends = points.iter().flat_map(|point| match point.interval {
        Interval::Stated { low, high } => [Some(low), high],
        Interval::Refused { .. } => [None, None],
    });
    let times = points.iter().flat_map(|point| [point.response.least(), point.service.least()]);
    let (across, up) = (Nines::up_to(end), LogAxis::over(ends.chain(times).flatten())?);
    let mut plot = Plot::new(340.0);
    plot.rows(up.ticks());
    plot.columns(across.ticks());
    let place =
        |plot: &Plot, share: f64, time: Duration| (Plot::x(across.share(share)), plot.y(up.share(time)));
    let band = band(points, |share, time| place(&plot, share, time.unwrap_or(Duration::MAX)));
    plot.path("band", &band);
    let through = |points: &[Percentile], time: fn(&Percentile) -> Option<Duration>| {
        line(points.iter().filter_map(|point| Some(place(&plot, point.share, time(point)?))))
    };
    let service = through(points, |point| point.service.value());
    let response = through(points, |point| point.response.value());
    let bound = through(bounds(points), |point| point.response.least());
    plot.path("other dashed", &service);
    plot.path("main", &response);
    plot.path("bound", &bound);
    name_points(&mut plot, points, |plot, share, time| place(plot, share, time));
    let mut keys = vec![
        ("main", "response, from the intended start"),
        ("other dashed", "service, from the moment it was sent"),
    ];
    if !band.is_empty() {
        keys.insert(1, ("band", "95 % interval"));
    }
    if !bound.is_empty() {
        keys.push(("bound", "never answered: at least that"));
    }
    let told = points.iter().filter(|point| NAMED.iter().any(|(share, _)| *share == point.share));
    let told =
        told.map(|point| format!("{} within {}", percentage(point.share), text::quantile(point.response)));
    let told = told.collect::<Vec<_>>().join(", ");
    Some((plot.svg("curve", "Response times by percentile", &told), key(&keys)))
}

/// The points among what was never answered, and the last one before.
fn bounds(points: &[Percentile]) -> &[Percentile] {
    let first = points.iter().position(|point| matches!(point.response, Quantile::AtLeast(_)));
    first.map_or(&[], |first| &points[first.saturating_sub(1)..])
}

fn name_points(plot: &mut Plot, points: &[Percentile], place: impl Fn(&Plot, f64, Duration) -> (f64, f64)) {
    for (share, name) in NAMED {
        let point = points.iter().find(|point| point.share == share);
        let Some((time, said)) = point.and_then(|point| Some((point.response.least()?, point.response)))
        else {
            continue;
        };
        let (x, y) = place(plot, share, time);
        plot.dot(x, y);
        plot.text(x - 7.0, y - 8.0, "end", "value", &format!("{name} {}", text::quantile(said)));
    }
}

/// The intervals, as one field for each run of neighbours that have one.
fn band(points: &[Percentile], place: impl Fn(f64, Option<Duration>) -> (f64, f64)) -> String {
    let stated = |point: &Percentile| match point.interval {
        Interval::Stated { low, high } => Some((place(point.share, Some(low)), place(point.share, high))),
        Interval::Refused { .. } => None,
    };
    let mut d = String::new();
    for part in points.split(|point| stated(point).is_none()).filter(|part| part.len() > 1) {
        let (low, high): (Vec<_>, Vec<_>) = part.iter().filter_map(stated).unzip();
        let _ = write!(d, "{}Z", line(low.into_iter().chain(high.into_iter().rev())));
    }
    d
}

fn table(points: &[Percentile]) -> String {
    let row = |(at, point): (usize, &Percentile)| {
        let at = format!("/percentiles/{at}");
        format!(
            "<tr><th scope=\"row\" class=\"n\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            percentage(point.share),
            quantile(&format!("{at}/response"), point.response),
            interval(&format!("{at}/interval"), point.interval),
            quantile(&format!("{at}/service"), point.service)
        )
    };
    format!(
        "<details><summary>The figures</summary><div class=\"wide\"><table><thead><tr><th class=\"n\">of operations</th><th class=\"n\">response within</th>\
         <th class=\"n\">95 % interval</th><th class=\"n\">service within</th></tr></thead><tbody>{}</tbody></table></div></details>",
        points.iter().enumerate().map(row).collect::<String>()
    )
}

/// As many digits as a share of the curve has.
fn percentage(share: f64) -> String {
    let text = format!("{:.7}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
