//! A prediction as a picture: replicas and what would have been enough as steps, the load as a line, breaches in red.

use std::fmt::Write as _;

use crate::autoscale::{Prediction, Tick};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;

/// The picture as SVG, of one file, without a script.
#[must_use]
pub fn svg(prediction: &Prediction) -> String {
    let chart = Chart::of(prediction);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <title>{}: replicas over time, simulated</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        escaped(&prediction.name)
    );
    chart.breaches(&mut svg);
    chart.axes(&mut svg);
    chart.steps(&mut svg, "#9aa5b1", "4 3", |tick| tick.needed);
    chart.steps(&mut svg, "#0b6bcb", "none", |tick| tick.replicas);
    chart.load(&mut svg);
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"20\"><tspan font-weight=\"600\">{}</tspan> <tspan fill=\"#0b6bcb\">replicas</tspan> \
         <tspan fill=\"#6b7785\">enough (dashed)</tspan> <tspan fill=\"#b45309\">asked a second</tspan> <tspan fill=\"#c0392b\">more asked than they do</tspan></text>\n</svg>",
        escaped(&prediction.name)
    );
    svg
}

struct Chart<'a> {
    ticks: &'a [Tick],
    length: f64,  // seconds
    most: f64,    // replicas
    highest: f64, // requests a second
}

impl<'a> Chart<'a> {
    #[expect(clippy::cast_precision_loss, reason = "seconds of days")]
    fn of(prediction: &'a Prediction) -> Self {
        let highest = prediction.ticks.iter().map(|tick| tick.per_sec).fold(1.0, f64::max);
        let length = prediction.length_secs.max(1) as f64;
        Self { ticks: &prediction.ticks, length, most: f64::from(prediction.max), highest }
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds of days")]
    fn x(&self, secs: u64) -> f64 {
        LEFT + secs as f64 / self.length * (WIDTH - LEFT - RIGHT)
    }

    fn y(share: f64) -> f64 {
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    fn steps(&self, svg: &mut String, colour: &str, dashes: &str, of: impl Fn(&Tick) -> u32) {
        let mut path = String::new();
        for tick in self.ticks {
            let (x, y) = (self.x(tick.at_secs), Self::y(f64::from(of(tick)) / self.most));
            let _ =
                if path.is_empty() { write!(path, "M{x:.1} {y:.1}") } else { write!(path, "H{x:.1}V{y:.1}") };
        }
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>"
        );
    }

    fn load(&self, svg: &mut String) {
        let points: Vec<_> = self
            .ticks
            .iter()
            .map(|tick| format!("{:.1},{:.1}", self.x(tick.at_secs), Self::y(tick.per_sec / self.highest)))
            .collect();
        let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#b45309\"/>", points.join(" "));
    }

    fn breaches(&self, svg: &mut String) {
        for pair in self.ticks.windows(2).filter(|pair| pair[1].needed > pair[1].ready) {
            let (from, to) = (self.x(pair[0].at_secs), self.x(pair[1].at_secs));
            let height = HEIGHT - TOP - BOTTOM;
            let width = to - from;
            let _ = writeln!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\" fill=\"#c0392b\" opacity=\"0.15\"/>"
            );
        }
    }

    fn axes(&self, svg: &mut String) {
        let (bottom, right) = (Self::y(0.0), WIDTH - RIGHT);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}V{TOP}\" fill=\"none\" stroke=\"#c4cdd5\"/>"
        );
        for quarter in 0..=4_u32 {
            let share = f64::from(quarter) / 4.0;
            let (x, y) = (LEFT + share * (right - LEFT), Self::y(share));
            let minutes = share * self.length / 60.0;
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#0b6bcb\">{:.0}</text>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#b45309\">{:.0}</text>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#52606d\">{minutes:.0} min</text>",
                LEFT - 6.0,
                y + 4.0,
                share * self.most,
                right + 6.0,
                y + 4.0,
                share * self.highest,
                HEIGHT - 14.0
            );
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
