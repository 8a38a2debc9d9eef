//! A frame with axes, and what is drawn in it.

use std::fmt::Write;

use super::axis::Tick;

pub(super) const WIDTH: f64 = 960.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 24.0; // for what stands under the axis

/// A plot in units of the drawing. Places in it are shares: from the left, and from the bottom.
pub(super) struct Plot {
    height: f64,
    body: String,
    words: String, // above all else
}

impl Plot {
    pub(super) fn new(height: f64) -> Self {
        Self { height, body: String::new(), words: String::new() }
    }

    pub(super) fn x(share: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * share
    }

    pub(super) fn y(&self, share: f64) -> f64 {
        self.height - BOTTOM - (self.height - BOTTOM - TOP) * share
    }

    /// Lines across, with their marks at the left.
    pub(super) fn rows(&mut self, ticks: Vec<Tick>) {
        for (share, label) in ticks {
            let (y, left, right) = (self.y(share), Self::x(0.0), Self::x(1.0));
            let _ = write!(self.body, "<path class=\"grid\" d=\"M{left:.0} {y:.1}H{right:.0}\"/>");
            self.text(left - 8.0, y + 4.0, "end", "", &label);
        }
    }

    /// Lines upwards, with their marks below.
    pub(super) fn columns(&mut self, ticks: Vec<Tick>) {
        for (share, label) in ticks {
            let (x, top, bottom) = (Self::x(share), self.y(1.0), self.y(0.0));
            let _ = write!(self.body, "<path class=\"grid\" d=\"M{x:.1} {top:.0}V{bottom:.0}\"/>");
            let anchor = if share > 0.97 { "end" } else { "middle" };
            self.text(x, bottom + 17.0, anchor, "", &label);
        }
    }

    /// A line upwards with a word at its top.
    pub(super) fn mark(&mut self, share: f64, word: &str) {
        let (x, top, bottom) = (Self::x(share), self.y(1.0), self.y(0.0));
        let _ = write!(self.body, "<path class=\"thin dashed\" d=\"M{x:.1} {top:.0}V{bottom:.0}\"/>");
        self.text(x - 4.0, top + 11.0, "end", "", word);
    }

    /// A stretch from the left that is set off.
    pub(super) fn shade(&mut self, share: f64, word: &str) {
        self.field(0.0, share, word);
    }

    /// A stretch that is set off.
    pub(super) fn field(&mut self, from: f64, to: f64, word: &str) {
        let (left, top) = (Self::x(from), self.y(1.0));
        let (width, height) = (Self::x(to) - left, self.y(0.0) - top);
        let _ = write!(
            self.body,
            "<rect class=\"warm\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        );
        if width > 60.0 {
            self.text(left + 5.0, top + 12.0, "start", "", word);
        }
    }

    pub(super) fn path(&mut self, class: &str, d: &str) {
        if !d.is_empty() {
            let _ = write!(self.body, "<path class=\"{class}\" d=\"{d}\"/>");
        }
    }

    pub(super) fn dot(&mut self, x: f64, y: f64) {
        let _ = write!(self.body, "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
    }

    /// `text` is ours: nobody else's stands in a plot.
    pub(super) fn text(&mut self, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
        let _ = write!(
            self.words,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }

    /// Whole, with what it shows for those who do not see it.
    pub(super) fn svg(self, id: &str, title: &str, told: &str) -> String {
        let Self { height, body, words } = self;
        format!(
            "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" aria-labelledby=\"{id}-title {id}-told\">\
             <title id=\"{id}-title\">{title}</title><desc id=\"{id}-told\">{told}</desc>{body}{words}</svg>"
        )
    }
}

/// Values that hold from one place to another, as a line of steps; where there is no value, the line is broken.
pub(super) fn steps(parts: impl Iterator<Item = (f64, f64, Option<f64>)>) -> String {
    let mut d = String::new();
    let mut pen: Option<f64> = None;
    for (from, to, y) in parts {
        let Some(y) = y else {
            pen = None;
            continue;
        };
        let _ = match pen {
            Some(x) if (x - from).abs() < 0.05 => write!(d, "V{y:.1}H{to:.1}"),
            _ => write!(d, "M{from:.1} {y:.1}H{to:.1}"),
        };
        pen = Some(to);
    }
    d
}

/// A line through points.
pub(super) fn line(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut d = String::new();
    for (x, y) in points {
        let _ = write!(d, "{}{x:.1} {y:.1}", if d.is_empty() { 'M' } else { 'L' });
    }
    d
}

/// A rectangle, to be one of many in a path.
pub(super) fn block(d: &mut String, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let _ = write!(d, "M{x:.1} {y:.1}h{width:.1}v{height:.1}h-{width:.1}z");
}

/// What is drawn as a field, not as a line.
const FIELDS: [&str; 5] = ["band", "okay", "fail", "heat", "lost"];

/// What a line or a field means, before its word.
pub(super) fn key(entries: &[(&str, &str)]) -> String {
    let entry = |&(class, word): &(&str, &str)| {
        let is_field = FIELDS.iter().any(|field| class.starts_with(field));
        let sign = if is_field { "M0 1h26v8h-26z" } else { "M0 5H26" };
        format!(
            "<span><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path class=\"{class}\" d=\"{sign}\"/></svg>{word}</span>"
        )
    };
    format!("<span class=\"key\">{}</span>", entries.iter().map(entry).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_broken_where_nothing_is_known() {
        let parts = [(0.0, 1.0, Some(5.0)), (1.0, 2.0, Some(7.0)), (2.0, 3.0, None), (3.0, 4.0, Some(1.0))];
        assert_eq!(steps(parts.into_iter()), "M0.0 5.0H1.0V7.0H2.0M3.0 1.0H4.0");
    }
}
