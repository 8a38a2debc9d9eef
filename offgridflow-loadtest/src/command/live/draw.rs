//! One screen of the view.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    heat::{Heat, SHADES},
    seen::{Seen, Steering},
};
use crate::{
    Light, Quantile,
    histogram::Distribution,
    report::{
        text::{quantile, short},
        width::fit,
    },
    window::per_sec,
};

/// Columns and rows below which nothing is drawn.
pub(crate) const SMALLEST: (u16, u16) = (60, 16);
/// Columns of a heat map's times.
const TIMES: u16 = 8;
/// Rows of the beginning, the times and the foot.
const FIXED: [u16; 3] = [5, 5, 1];
/// Rows of the heat map at least, its title included.
const LOWEST_MAP: u16 = 4;

/// What is said in place of a view.
pub(super) fn too_small(width: u16, height: u16) -> String {
    format!(
        "the terminal is too small for the live view: it has {width} columns and {height} rows, of {} and {}",
        SMALLEST.0, SMALLEST.1
    )
}

pub(super) fn draw(seen: &Seen, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let lines: Vec<_> = wrapped(&too_small(area.width, area.height), area.width).collect();
        return frame.render_widget(Paragraph::new(lines), area);
    }
    let causes = seen.last().map_or(0, |window| window.failures.len());
    let causes = u16::try_from(causes).unwrap_or(0).min(area.height - FIXED.iter().sum::<u16>() - LOWEST_MAP);
    let [head, table, failures, map, foot] = Layout::vertical([
        Constraint::Length(FIXED[0]),
        Constraint::Length(FIXED[1]),
        Constraint::Length(causes),
        Constraint::Min(LOWEST_MAP),
        Constraint::Length(FIXED[2]),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(beginning(seen, head.width)), head);
    frame.render_widget(Paragraph::new(times(seen)), table);
    frame.render_widget(Paragraph::new(errors(seen, failures.width)), failures);
    frame.render_widget(Paragraph::new(heat(seen, map)), map);
    let keys = fit(&keys(seen), usize::from(foot.width));
    frame.render_widget(Paragraph::new(Line::styled(keys, Modifier::DIM)), foot);
}

/// Which keys there are, or why the last one did nothing.
fn keys(seen: &Seen) -> String {
    if seen.stopping {
        return "stopping: finishing what is in flight; q or Ctrl-C again quits at once".into();
    }
    match &seen.steering {
        None => "q or Ctrl-C ends the run with a partial report".into(),
        Some(Steering { said: Some(refused), .. }) => refused.clone(),
        Some(Steering { paused: true, .. }) => "paused: p resumes, q ends the run".into(),
        Some(Steering { altered: true, .. }) => {
            "altered: nothing is judged; p pauses, + and - change the rate, q ends".into()
        }
        Some(Steering { address, .. }) => format!("p pauses, +/- change the rate, q ends; http://{address}"),
    }
}

/// What runs, how it looks, how far it is, and at what rate.
fn beginning(seen: &Seen, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width);
    let says = fit(&seen.outlook.says, width.saturating_sub(2));
    let light = Span::styled("● ", colour(seen.outlook.light));
    vec![
        Line::styled(fit(&format!("{}  {}", seen.target, seen.load), width), Modifier::BOLD),
        Line::from(vec![light, Span::raw(says)]),
        progress(seen, width),
        rate(seen),
        Line::default(),
    ]
}

fn colour(light: Light) -> Style {
    let colour = match light {
        Light::Green => Color::Green,
        Light::Amber => Color::Yellow,
        Light::Red => Color::Red,
    };
    // Where there are no colours (NO_COLOR), red is at least turned round.
    let style = Style::new().fg(colour).add_modifier(Modifier::BOLD);
    if light == Light::Red { style.add_modifier(Modifier::REVERSED) } else { style }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the columns")]
fn progress(seen: &Seen, width: usize) -> Line<'static> {
    let Some(window) = seen.last() else { return Line::raw("starting") };
    let (to, planned) = (window.to.min(window.planned), window.planned);
    let warm = if window.measured { "" } else { "  warm-up" };
    let draining = if window.to > planned { "  draining" } else { "" };
    let paused = if window.paused.is_zero() { "" } else { "  paused" };
    let said = format!(" {:.0} s / {:.0} s{warm}{draining}{paused}", to.as_secs_f64(), planned.as_secs_f64());
    let room = width.saturating_sub(said.len()).min(40);
    let done = (to.as_secs_f64() / planned.as_secs_f64().max(1e-9)
        * f64::from(u8::try_from(room).unwrap_or(0))) as usize;
    Line::raw(format!("{}{}{said}", "━".repeat(done), "─".repeat(room.saturating_sub(done))))
}

fn rate(seen: &Seen) -> Line<'static> {
    let Some(window) = seen.last() else { return Line::default() };
    let done = seen.ok + seen.failed;
    let offered = window.offered_per_sec().map_or(String::new(), |rate| format!("offered {rate:.0}/s  "));
    let so_far = match seen.offered.filter(|&offered| offered > 0) {
        Some(offered) => format!("{:.1} % of it", per_cent(done, offered)),
        None => format!("{:.0}/s", per_sec(done, seen.measured)),
    };
    let (now, in_flight) = (window.done_per_sec(), window.in_flight);
    Line::raw(format!("{offered}done {now:.0}/s, so far {so_far}  in flight {in_flight}"))
}

fn per_cent(part: u64, of: u64) -> f64 {
    crate::histogram::as_f64(part) * 100.0 / crate::histogram::as_f64(of)
}

/// Percentiles from the intended start, and the generator's lag.
fn times(seen: &Seen) -> Vec<Line<'static>> {
    let columns = |name: &str, cells: [String; 6]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>8}")).collect();
        format!("{name:<12}{cells}")
    };
    let row = |name: &str, of: &Distribution| {
        let at = |q: f64| of.empirical(q).map_or("-".into(), quantile);
        let sure = |q: f64| if of.count() == 0 { "-".into() } else { quantile(of.quantile(q)) };
        let max = of.max().map_or("-".into(), quantile);
        columns(name, [of.count().to_string(), at(0.5), sure(0.95), sure(0.99), sure(0.999), max])
    };
    let none = Distribution::default();
    let last = seen.last().map_or(&none, |window| window.responses());
    let lag = seen.last().and_then(|window| window.lag_p99).map_or("-".into(), short);
    let titles = ["n", "p50", "p95", "p99", "p99.9", "max"].map(String::from);
    vec![
        Line::styled(columns("response", titles), Modifier::DIM),
        Line::raw(row("last second", last)),
        Line::raw(row("so far", &seen.responses)),
        Line::raw(format!("{:<12}p99 {lag} in the last second, {} at most", "lag", short(seen.longest_lag))),
        Line::raw(failed(seen)),
    ]
}

fn failed(seen: &Seen) -> String {
    let done = seen.ok + seen.failed;
    let share = if done > 0 { format!(" ({:.2} %)", per_cent(seen.failed, done)) } else { String::new() };
    format!("{:<12}{} of {done}{share}", "failed", seen.failed)
}

fn errors(seen: &Seen, width: u16) -> Vec<Line<'static>> {
    let failures = seen.last().into_iter().flat_map(|window| &window.failures);
    let line =
        |(cause, count): &(String, u64)| format!("  {count:>8}  {}", fit(cause, usize::from(width) - 12));
    failures.map(|failure| Line::styled(line(failure), Color::Red)).collect()
}

fn heat(seen: &Seen, area: Rect) -> Vec<Line<'static>> {
    let seconds = usize::from(area.width.saturating_sub(TIMES + 1));
    let first = seen.windows.len().saturating_sub(seconds);
    let title = Line::styled("response times by second, the latest on the right", Modifier::DIM);
    let map = Heat::of(seen.windows.iter().skip(first), area.height.saturating_sub(2));
    let line = |row: &super::heat::Row| {
        let time = quantile(Quantile::Value(row.up_to));
        let blanks = " ".repeat(seconds - row.shades.len());
        let shades: String = row.shades.iter().map(|&shade| SHADES[shade]).collect();
        Line::from(vec![
            Span::styled(format!("{time:>width$} ", width = usize::from(TIMES)), Modifier::DIM),
            Span::raw(blanks),
            Span::styled(shades, Color::Cyan),
        ])
    };
    [Line::default(), title].into_iter().chain(map.rows.iter().map(line)).collect()
}

/// Broken at blanks.
fn wrapped(text: &str, width: u16) -> impl Iterator<Item = Line<'static>> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 1 + word.chars().count() > usize::from(width) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            let blank = if line.is_empty() { "" } else { " " };
            line.push_str(blank);
            line.push_str(word);
        }
    }
    lines.into_iter().map(Line::raw)
}

#[cfg(test)]
mod tests;
