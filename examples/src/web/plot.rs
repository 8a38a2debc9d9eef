//! Lines over time as SVG: no script, no style of their own, a sentence for whoever does not see them.

use std::fmt::Write;

use super::html::text;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 132.0;
const LEFT: f64 = 66.0;
const TOP: f64 = 12.0;
const FLOOR: f64 = HEIGHT - 22.0;

/// What is drawn: points of (seconds, value) in the order of time; `None` where nothing is known, which leaves a gap.
pub(super) struct Plot<'a> {
    /// Names the plot, and says what it shows.
    pub(super) name: &'static str,
    pub(super) sentence: String,
    pub(super) points: &'a [(f64, Option<f64>)],
    /// Lines across, each with its name: drawn where they are not far above.
    pub(super) marks: &'a [(f64, &'a str)],
    pub(super) unit: fn(f64) -> String,
    /// What the ends of the time axis are called.
    pub(super) ends: [String; 2],
    /// Whether the axis begins at nothing; else it spans what was seen, so that a slow course shows.
    pub(super) from_zero: bool,
}

impl Plot<'_> {
    /// The plot as an element.
    pub(super) fn svg(&self) -> String {
        let known: Vec<f64> = self.points.iter().filter_map(|(_, value)| *value).collect();
        let (Some((first, _)), Some((last, _))) = (self.points.first(), self.points.last()) else {
            return "<p class=\"empty\">Nothing observed yet.</p>".to_owned();
        };
        if known.len() < 2 {
            return "<p class=\"empty\">Nothing observed yet.</p>".to_owned();
        }
        let (low, high) = self.range(&known);
        let x = |seconds: f64| LEFT + (WIDTH - LEFT) * (seconds - first) / (last - first).max(1e-9);
        let y = |value: f64| FLOOR - (FLOOR - TOP) * (value - low) / (high - low);
        let (name, sentence) = (text(self.name), text(&self.sentence));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{name}: {sentence}\"><line class=\"axis\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{FLOOR}\" y2=\"{FLOOR}\"/>"
        );
        for value in [high, f64::midpoint(low, high), low] {
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/><text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text>",
                y(value),
                LEFT - 8.0,
                y(value) + 4.0,
                text(&(self.unit)(value))
            );
        }
        for (value, name) in self.marks.iter().filter(|(value, _)| *value <= high && *value >= low) {
            let _ = write!(
                svg,
                "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/><text x=\"{WIDTH}\" y=\"{1:.1}\" text-anchor=\"end\">{2}</text>",
                y(*value),
                y(*value) - 4.0,
                text(name)
            );
        }
        self.draw(&mut svg, x, y);
        let [begin, end] = &self.ends;
        let _ = write!(
            svg,
            "<text x=\"{LEFT}\" y=\"{0}\">{1}</text><text x=\"{WIDTH}\" y=\"{0}\" text-anchor=\"end\">{2}</text></svg>",
            HEIGHT - 5.0,
            text(begin),
            text(end)
        );
        svg
    }

    fn range(&self, known: &[f64]) -> (f64, f64) {
        let top = known.iter().copied().fold(f64::MIN, f64::max);
        let least = known.iter().copied().fold(f64::MAX, f64::min);
        let near = self.marks.iter().map(|mark| mark.0).filter(|mark| *mark <= 2.0 * top);
        let high = near.fold(top, f64::max);
        if self.from_zero {
            return (0.0, (high * 1.1).max(f64::MIN_POSITIVE));
        }
        let room = (0.15 * (high - least)).max(0.02 * high).max(f64::MIN_POSITIVE);
        ((least - room).max(0.0), high + room)
    }

    /// A line, with the area below it, for each stretch without a gap.
    fn draw(&self, svg: &mut String, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
        for stretch in self.points.split(|(_, value)| value.is_none()).filter(|stretch| !stretch.is_empty()) {
            let line: String = stretch
                .iter()
                .filter_map(|(at, value)| Some(format!("{:.1},{:.1} ", x(*at), y((*value)?))))
                .collect();
            let (from, to) = (x(stretch[0].0), x(stretch[stretch.len() - 1].0));
            let _ = write!(
                svg,
                "<polygon class=\"area\" points=\"{from:.1},{FLOOR} {line}{to:.1},{FLOOR}\"/><polyline class=\"course\" points=\"{line}\"/>"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: &[(f64, Option<f64>)], marks: &[(f64, &str)]) -> String {
        let ends = ["then".to_owned(), "now".to_owned()];
        let unit = |value: f64| format!("{value:.0}");
        Plot { name: "load", sentence: "2 <at> most".to_owned(), points, marks, unit, ends, from_zero: true }
            .svg()
    }

    #[test]
    fn a_line_stays_within_its_frame_and_says_what_it_shows() {
        let svg = plot(&[(0.0, Some(0.0)), (10.0, Some(2.0))], &[(2.2, "limit"), (100.0, "far")]);
        assert!(svg.contains("aria-label=\"load: 2 &lt;at&gt; most\""), "{svg}");
        assert!(svg.contains(">limit<") && !svg.contains(">far<"), "{svg}");
        let numbers =
            svg.split("points=\"").skip(1).flat_map(|rest| rest.split('"').next().unwrap().split([' ', ',']));
        for number in numbers.filter(|number| !number.is_empty()) {
            assert!((0.0..=WIDTH).contains(&number.parse::<f64>().unwrap()), "{number}");
        }
    }

    #[test]
    fn what_is_not_known_is_a_gap() {
        let svg = plot(&[(0.0, Some(1.0)), (1.0, None), (2.0, Some(1.0)), (3.0, Some(1.0))], &[]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(
            plot(&[], &[]).contains("Nothing observed")
                && plot(&[(0.0, Some(1.0))], &[]).contains("Nothing observed")
        );
    }
}
