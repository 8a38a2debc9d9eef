//! Lines over time as SVG, without scripts.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;
const LEFT: f64 = 72.0;

/// A line of points (seconds, value), scaled to its own range from zero on, with a dashed line at each of `marks`.
pub(super) fn line(points: &[(f64, f64)], marks: &[(f64, &str)], unit: impl Fn(f64) -> String) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return "<p>nothing was observed</p>".to_owned();
    };
    let top = points.iter().map(|point| point.1).fold(0.0, f64::max);
    // A limit far above what is in use would flatten the line: it is written, not drawn.
    let marks: Vec<_> = marks.iter().filter(|mark| mark.0 <= 2.0 * top).collect();
    let top = marks.iter().map(|mark| mark.0).fold(top, f64::max).max(f64::MIN_POSITIVE);
    let x = |seconds: f64| LEFT + (WIDTH - LEFT) * (seconds - first.0) / (last.0 - first.0).max(1e-9);
    let y = |value: f64| HEIGHT - (HEIGHT - 10.0) * value / top;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\"><line x1=\"{LEFT}\" y1=\"{HEIGHT}\" x2=\"{WIDTH}\" y2=\"{HEIGHT}\" class=\"axis\"/>",
        HEIGHT + 18.0
    );
    for (value, name) in marks {
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\" class=\"limit\"/><text x=\"{WIDTH}\" y=\"{1:.1}\" text-anchor=\"end\">{name}</text>",
            y(*value),
            y(*value) + 12.0
        );
    }
    svg.push_str("<polyline class=\"course\" points=\"");
    for (seconds, value) in points {
        let _ = write!(svg, "{:.1},{:.1} ", x(*seconds), y(*value));
    }
    let (top, zero, below, seconds) = (unit(top), unit(0.0), HEIGHT + 16.0, last.0 - first.0);
    let _ = write!(
        svg,
        "\"/><text x=\"0\" y=\"14\">{top}</text><text x=\"0\" y=\"{HEIGHT}\">{zero}</text>\
         <text x=\"{LEFT}\" y=\"{below}\">{seconds:.0} s before</text><text x=\"{WIDTH}\" y=\"{below}\" text-anchor=\"end\">trigger</text></svg>"
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_within_its_frame() {
        let svg = line(&[(0.0, 1.0), (10.0, 3.0)], &[(4.0, "limit"), (100.0, "far")], |value| {
            format!("{value:.0}")
        });
        assert!(svg.contains("72.0,92.5 720.0,37.5"), "{svg}");
        assert!(svg.contains(">limit<") && !svg.contains(">far<"));
        assert_eq!(line(&[], &[], |_| String::new()), "<p>nothing was observed</p>");
    }
}
