use std::time::Duration;

use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::{Outlook, Window};

/// Half a minute in which answers became slower, some of which failed.
fn seen() -> Seen {
    let mut seen = Seen {
        target: "http://127.0.0.1:8080".into(),
        load: "open loop, 30000 operations in 1m".into(),
        ..Seen::default()
    };
    for second in 0..30_u32 {
        let mut response = Distribution::default();
        for k in 0..500_u32 {
            response.record(Duration::from_micros(u64::from(
                400 + k * (1 + second) / 2 + 20_000 * u32::from(k % 100 == 0),
            )));
        }
        let slow = second > 20;
        let says = if slow { "GeneratorBound: its lag p99 is 12.0ms" } else { "Valid so far" };
        seen.take(Window {
            from: Duration::from_secs(second.into()),
            to: Duration::from_secs(u64::from(second) + 1),
            planned: Duration::from_secs(60),
            paused: Duration::ZERO,
            offered: Some(500),
            ok: 499,
            failed: 1,
            in_flight: 7,
            measured: true,
            p50: None,
            p95: None,
            lag_p99: Some(Duration::from_micros(if slow { 12_000 } else { 80 })),
            outlook: Some(Outlook { light: if slow { Light::Red } else { Light::Green }, says: says.into() }),
            failures: vec![("status 503".into(), 20), ("timeout".into(), 10)],
            response,
        });
    }
    seen
}

fn screen(seen: &Seen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(seen, frame)).expect("drawn");
    let buffer = terminal.backend().buffer().clone();
    let row = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
    (0..height).map(|y| row(y).trim_end().to_owned() + "\n").collect()
}

#[test]
fn a_screen_of_80_by_24_shows_all_of_it() {
    assert_eq!(screen(&seen(), 80, 24), include_str!("80x24.txt"));
}

/// The foot says what keys do: nothing but end the run, unless it may be steered.
#[test]
fn the_foot_says_which_keys_there_are() {
    let foot = |steering: Option<Steering>| {
        let shown = screen(&Seen { steering, ..seen() }, 80, 24);
        shown.lines().last().expect("a foot").to_owned()
    };
    let steering = || Steering { address: "127.0.0.1:9464".into(), ..Steering::default() };
    assert_eq!(foot(None), "q or Ctrl-C ends the run with a partial report");
    assert_eq!(foot(Some(steering())), "p pauses, +/- change the rate, q ends; http://127.0.0.1:9464");
    assert!(foot(Some(Steering { paused: true, ..steering() })).contains("p resumes"));
    assert!(foot(Some(Steering { altered: true, ..steering() })).contains("nothing is judged"));
    let refused = Steering { said: Some("the run is warming up".into()), ..steering() };
    assert_eq!(foot(Some(refused)), "the run is warming up");
}

#[test]
fn the_smallest_screen_shows_the_same_with_a_lower_map() {
    assert_eq!(screen(&seen(), SMALLEST.0, SMALLEST.1), include_str!("60x16.txt"));
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    for (width, height) in [(59, 24), (80, 15), (20, 3), (1, 1)] {
        let shown = screen(&seen(), width, height);
        assert!(width < 20 || shown.starts_with("the terminal is too"), "{width} {height}: {shown}");
    }
    let shown = screen(&seen(), 40, 12).replace('\n', " ");
    assert!(shown.contains("it has 40 columns and 12 rows, of 60 and 16"), "{shown}");
}

#[test]
fn before_the_first_second_there_is_nothing_to_show() {
    let shown = screen(&Seen::default(), 80, 24);
    assert!(shown.contains("● nothing measured yet") && shown.contains("starting"), "{shown}");
}

#[test]
fn the_light_has_the_colour_of_what_it_says() {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
    for (light, colour) in
        [(Light::Green, Color::Green), (Light::Amber, Color::Yellow), (Light::Red, Color::Red)]
    {
        let mut seen = seen();
        seen.outlook.light = light;
        terminal.draw(|frame| draw(&seen, frame)).expect("drawn");
        assert_eq!(terminal.backend().buffer()[(0, 1)].fg, colour);
    }
}

#[test]
fn a_run_that_is_stopped_says_what_it_waits_for() {
    let seen = Seen { stopping: true, ..seen() };
    assert!(screen(&seen, 80, 24).contains("stopping: finishing what is in flight"));
}
