use std::fmt::Write as _;

use super::safe;
use super::scale::{Scale, WIDTH};
use crate::gate::{Figures, GateReport, Judged};
use crate::history::Series;

const HEIGHT: f64 = 22.0;
const TRACE: (f64, f64) = (180.0, 40.0);
const SPARK: (f64, f64) = (120.0, 26.0);

fn svg(width: f64, height: f64, title: &str, body: &str) -> String {
    format!(
        "<svg role=\"img\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\"><title>{}</title>{body}</svg>",
        safe(title)
    )
}

/// The marks of the ratio plots, for the head of their column.
pub(super) fn axis(scale: &Scale) -> String {
    let mark = |tick: f64| {
        let x = scale.x(tick);
        format!(
            "<text x=\"{x:.1}\" y=\"11\" text-anchor=\"middle\">{tick:.2}</text><path d=\"M{x:.1} 14v4\"/>"
        )
    };
    svg(WIDTH, 18.0, "ratio", &scale.ticks().into_iter().map(mark).collect::<String>())
}

/// A ratio with its interval, before the band of what does not matter.
pub(super) fn forest(figures: &Figures, allowed: f64, scale: &Scale) -> String {
    let (from, to) = (scale.x(1.0 / (1.0 + allowed)), scale.x(1.0 + allowed));
    let (middle, one) = (HEIGHT / 2.0, scale.x(1.0));
    let mut body = format!(
        "<rect class=\"band\" x=\"{from:.1}\" y=\"0\" width=\"{:.1}\" height=\"{HEIGHT}\"/><path class=\"one\" d=\"M{one:.1} 0V{HEIGHT}\"/>",
        to - from
    );
    if let Some(ratio) = figures.ratio {
        let _ = write!(
            body,
            "<path class=\"bar\" d=\"M{:.1} {middle}H{:.1}\"/>",
            scale.x(ratio.low),
            scale.x(ratio.high)
        );
    }
    let Some(centre) = figures.centre else { return svg(WIDTH, HEIGHT, "no ratio", &body) };
    let _ = write!(body, "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{middle}\" r=\"4\"/>", scale.x(centre));
    svg(WIDTH, HEIGHT, &format!("ratio {centre:.3}"), &body)
}

/// Every round of a benchmark in the order they were measured; empty without rounds.
pub(super) fn trace(report: &GateReport, one: &Judged, allowed: f64) -> String {
    let Some(statistic) = one.statistic else { return String::new() };
    let rounds = report.raw.iter().filter(|round| round.bench == one.bench && !round.control);
    let values: Vec<(f64, bool)> = rounds
        .map(|round| (round.ln_ratio(statistic), round.base_first))
        .filter(|(ln, _)| ln.is_finite())
        .collect();
    if values.is_empty() {
        return String::new();
    }
    let (width, height) = TRACE;
    let reach = values.iter().map(|(ln, _)| ln.abs()).fold(2.0 * allowed.ln_1p(), f64::max).max(1e-6);
    let y = |ln: f64| height / 2.0 - (height / 2.0 - 4.0) * ln / reach;
    let step = (width - 8.0) / values.len() as f64;
    let mut body = format!(
        "<path class=\"one\" d=\"M0 {:.1}H{width}\"/><path class=\"edge\" d=\"M0 {:.1}H{width}\"/>",
        y(0.0),
        y(allowed.ln_1p())
    );
    for (nth, (ln, base_first)) in values.iter().enumerate() {
        let (x, class) = (4.0 + step * (nth as f64 + 0.5), if *base_first { "dot" } else { "ring" });
        let _ = write!(body, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"2\"/>", y(*ln));
    }
    let furthest = 100.0 * reach.exp_m1();
    svg(width, height, &format!("{} rounds, the plot reaches ±{furthest:.1} %", values.len()), &body)
}

/// A benchmark over the commits, the newest marked.
pub(super) fn spark(series: &Series) -> String {
    let (width, height) = SPARK;
    let low = series.values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = series.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let span = (high - low).max(1e-6);
    let step = (width - 8.0) / (series.values.len() - 1).max(1) as f64;
    let place = |(nth, value): (usize, &f64)| {
        (4.0 + step * nth as f64, height - 4.0 - (height - 8.0) * (value - low) / span)
    };
    let places: Vec<(f64, f64)> = series.values.iter().enumerate().map(place).collect();
    let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let (x, y) = places.last().copied().unwrap_or_default();
    let body = format!(
        "<polyline class=\"course\" points=\"{}\"/><circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>",
        line.join(" ")
    );
    let spread = 100.0 * (high - low).exp_m1();
    svg(width, height, &format!("{} commits, {spread:.1} % from lowest to highest", places.len()), &body)
}
