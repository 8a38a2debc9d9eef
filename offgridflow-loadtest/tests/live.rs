//! The live view on a real terminal: it is drawn there, and given back however the run ends.
#![cfg(all(feature = "live", target_os = "linux"))]

mod common;

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use common::Server;
use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

/// The page beside the one that scrolls, and back.
const TAKEN: &str = "\u{1b}[?1049h";
const GIVEN_BACK: &str = "\u{1b}[?1049l";
const CURSOR_SHOWN: &str = "\u{1b}[?25h";

/// A terminal with a command on it. What it shows is looked for word by word: blanks are jumped over.
struct Terminal {
    ours: File,
    theirs: File,
    child: Child,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn running(size: (u16, u16), arguments: &[&str]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("ours");
        let name = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("text");
        let theirs = File::options().read(true).write(true).open(name).expect("its other end");
        resize(&ours, size);
        let end = || Stdio::from(theirs.try_clone().expect("a descriptor"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
        command.args(arguments).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("the command runs");
        let ours = File::from(ours);
        let (shown, mut reader) = (Arc::default(), ours.try_clone().expect("a descriptor"));
        let all: Arc<Mutex<String>> = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 8_192];
            while let Ok(read) = reader.read(&mut buffer) {
                all.lock().expect("lock").push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Self { ours, theirs, child, shown }
    }

    fn shown(&self) -> String {
        self.shown.lock().expect("lock").clone()
    }

    /// Waits until something is shown.
    fn wait_for(&self, text: &str) {
        let begun = Instant::now();
        while !self.shown().contains(text) {
            assert!(begun.elapsed() < Duration::from_secs(60), "no `{text}` in {:?}", self.shown());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("signalled");
    }

    /// Its exit code, and all that was shown.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().expect("ended").code();
        let modes = tcgetattr(&self.theirs).expect("modes").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "lines are read as before: {modes:?}");
        let marker = "-- the end --";
        writeln!(self.theirs, "{marker}").expect("written");
        self.wait_for(marker);
        (code, self.shown())
    }
}

fn resize(terminal: &impl std::os::fd::AsFd, (columns, rows): (u16, u16)) {
    let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("resized");
}

fn given_back(shown: &str) {
    let (taken, back) = (shown.find(TAKEN), shown.rfind(GIVEN_BACK));
    assert!(taken.is_some() && taken < back && shown.rfind(CURSOR_SHOWN) > taken, "{shown:?}");
    assert_eq!(shown.matches(TAKEN).count(), shown.matches(GIVEN_BACK).count(), "{shown:?}");
}

fn run<'a>(url: &'a str, length: &'a str) -> [&'a str; 6] {
    ["run", url, "-r", "400", "--for", length]
}

#[test]
fn a_run_is_shown_and_the_report_follows_on_the_page_before() {
    let server = Server::start();
    let terminal = Terminal::running((80, 24), &run(&server.url(), "2s"));
    terminal.wait_for("offered");
    let (code, shown) = terminal.end();
    given_back(&shown);
    let report = &shown[shown.rfind(GIVEN_BACK).expect("given back")..];
    assert!(report.contains("verdict: ") && report.contains("offered 400"), "{report}");
    assert!(matches!(code, Some(0 | 3)), "{code:?} {report}");
    assert!(shown.contains("q or Ctrl-C"), "{shown:?}");
}

#[test]
fn keys_and_signals_end_the_run_as_an_interrupt_does() {
    let server = Server::start();
    for end in ["q", "\u{3}", "TERM"] {
        let mut terminal = Terminal::running((100, 30), &run(&server.url(), "60s"));
        terminal.wait_for("offered");
        match end {
            "TERM" => terminal.signal(Signal::TERM),
            key => terminal.ours.write_all(key.as_bytes()).expect("pressed"),
        }
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(130), "{end:?}: {shown}");
        given_back(&shown);
        let report = &shown[shown.rfind(GIVEN_BACK).expect("given back")..];
        assert!(report.contains("interrupted after") && report.contains("verdict: "), "{end:?}: {report}");
    }
}

/// Where a run may be steered, keys steer it, and the report says that they did; elsewhere they do nothing.
#[test]
fn keys_steer_a_run_that_may_be_steered() {
    let server = Server::start();
    let url = server.url();
    let mut terminal = Terminal::running((100, 30), &[&run(&url, "60s")[..], &["--control"]].concat());
    terminal.wait_for("p pauses");
    terminal.wait_for("offered");
    terminal.ours.write_all(b"+").expect("pressed");
    terminal.wait_for("altered");
    terminal.ours.write_all(b"p").expect("pressed");
    terminal.wait_for("p resumes");
    terminal.ours.write_all(b"q").expect("pressed");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(130), "{shown}");
    let report = &shown[shown.rfind(GIVEN_BACK).expect("given back")..];
    assert!(report.contains("the terminal: rate 400.0/s -> 440.0/s"), "{report}");
    assert!(report.contains("the terminal: paused") && report.contains("altered while it ran"), "{report}");

    let mut terminal = Terminal::running((100, 30), &run(&url, "60s"));
    terminal.wait_for("offered");
    terminal.ours.write_all(b"p+-q").expect("pressed");
    let (_, shown) = terminal.end();
    assert!(!shown.contains("the terminal:"), "{shown}");
}

#[test]
fn a_view_that_becomes_too_small_says_so_and_comes_back() {
    let server = Server::start();
    let mut terminal = Terminal::running((80, 24), &run(&server.url(), "60s"));
    terminal.wait_for("offered");
    resize(&terminal.ours, (50, 10));
    terminal.wait_for("small");
    let before = terminal.shown().len();
    resize(&terminal.ours, (90, 28));
    let begun = Instant::now();
    while !terminal.shown()[before..].contains("offered") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", terminal.shown());
        thread::sleep(Duration::from_millis(10));
    }
    terminal.ours.write_all(b"q").expect("pressed");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(130));
    given_back(&shown);
}

#[test]
fn without_room_or_on_demand_there_are_plain_lines() {
    let server = Server::start();
    let url = server.url();
    let plain = [&run(&url, "2s")[..], &["--plain"]].concat();
    for (size, arguments, said) in [
        (
            (59, 24),
            &run(&url, "2s")[..],
            "the terminal is too small for the live view: it has 59 columns and 24 rows, of 60 and 16",
        ),
        ((80, 24), &plain, "in flight"),
    ] {
        let (_, shown) = Terminal::running(size, arguments).end();
        assert!(shown.contains(said) && shown.contains("p50 ") && !shown.contains(TAKEN), "{shown:?}");
    }
    let quiet = [&run(&url, "1s")[..], &["-q"]].concat();
    let (_, shown) = Terminal::running((80, 24), &quiet).end();
    assert!(!shown.contains(TAKEN) && !shown.contains("  done "), "{shown:?}");
}

/// Nobody reads what a pipe gets by looking at it.
#[test]
fn what_is_no_terminal_gets_lines() {
    let server = Server::start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
    let output = command.args(run(&server.url(), "1s")).stdin(Stdio::null()).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains('\u{1b}') && said.contains("in flight"), "{said:?}");
}
