//! Panels side by side, both axes logarithmic.

pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(usize, f64)>, // rows a batch, rows a second
}

pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) curves: Vec<Curve>,
}

/// Told apart by people who see few colours (Okabe and Ito).
const COLOURS: [&str; 6] = ["#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];
const SIDE: f64 = 300.0; // of a panel
const MARGIN: f64 = 60.0;
/// Powers of ten that the axes reach from and to.
const ROWS: (f64, f64) = (1.0, 5.0);
const RATES: (f64, f64) = (2.0, 6.0);

pub(crate) fn document(panels: &[Panel]) -> String {
    let width = MARGIN + (SIDE + MARGIN) * panels.len() as f64;
    let height = SIDE + 2.0 * MARGIN + 20.0 * COLOURS.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (at, panel) in panels.iter().enumerate() {
        draw(panel, MARGIN + (SIDE + MARGIN) * at as f64, &mut out);
    }
    for (at, curve) in panels.iter().take(1).flat_map(|panel| &panel.curves).enumerate() {
        let (y, colour) = (SIDE + 2.0 * MARGIN + 20.0 * at as f64, COLOURS[at % COLOURS.len()]);
        out += &format!(
            "<line x1=\"{MARGIN}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            MARGIN + 30.0
        );
        out += &format!("<text x=\"{}\" y=\"{}\">{}</text>\n", MARGIN + 40.0, y + 4.0, curve.name);
    }
    out + "</svg>\n"
}

fn draw(panel: &Panel, left: f64, out: &mut String) {
    let x = |power: f64| left + (power - ROWS.0) / (ROWS.1 - ROWS.0) * SIDE;
    let y = |power: f64| MARGIN + SIDE - (power - RATES.0) / (RATES.1 - RATES.0) * SIDE;
    *out += &format!(
        "<text x=\"{left}\" y=\"{}\">{}: rows/s against rows a batch</text>\n",
        MARGIN - 12.0,
        panel.title
    );
    for power in 1..=6 {
        let power = f64::from(power);
        if (RATES.0..=RATES.1).contains(&power) {
            let (y, label) = (y(power), 10f64.powf(power));
            *out += &format!(
                "<line x1=\"{left}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#ddd\"/>",
                left + SIDE
            );
            *out +=
                &format!("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>\n", left - 4.0, y + 4.0);
        }
        if (ROWS.0..=ROWS.1).contains(&power) {
            let (x, label) = (x(power), 10f64.powf(power));
            *out += &format!(
                "<line x1=\"{x}\" x2=\"{x}\" y1=\"{MARGIN}\" y2=\"{}\" stroke=\"#ddd\"/>",
                MARGIN + SIDE
            );
            *out += &format!(
                "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{label}</text>\n",
                MARGIN + SIDE + 16.0
            );
        }
    }
    for (curve, colour) in panel.curves.iter().zip(COLOURS.iter().cycle()) {
        let place = |&(rows, rate): &(usize, f64)| {
            format!("{:.1},{:.1}", x((rows as f64).log10()), y(rate.max(1.0).log10()))
        };
        let points: Vec<String> = curve.points.iter().map(place).collect();
        *out += &format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\n",
            points.join(" ")
        );
    }
}
