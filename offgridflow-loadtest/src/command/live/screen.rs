//! The terminal: taken, and given back whatever happens.

use std::{
    io::{self, Stderr},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A page of the terminal beside the one that scrolls, on standard error.
pub(super) struct Screen(Terminal<CrosstermBackend<Stderr>>);

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        restore_on_panic();
        enable_raw_mode()?;
        TAKEN.store(true, SeqCst);
        let entered = execute!(io::stderr(), EnterAlternateScreen);
        let terminal = entered.and_then(|()| Terminal::new(CrosstermBackend::new(io::stderr())));
        terminal.map(Self).inspect_err(|_| restore())
    }

    /// # Errors
    /// A terminal that is gone, or not ours any more.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if !TAKEN.load(SeqCst) {
            return Err(io::Error::other("the terminal was given back"));
        }
        self.0.draw(draw).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether the terminal is ours, so that nobody else should write to it.
pub(crate) fn is_shown() -> bool {
    TAKEN.load(SeqCst)
}

/// Gives the terminal back as it was, if it is ours; again does nothing.
pub(crate) fn restore() {
    if TAKEN.swap(false, SeqCst) {
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// What a panic says is to be read, not drawn over.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            restore();
            before(panicked);
        }));
    });
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        fs::File,
        io::Read,
        process::{Command, Stdio},
    };

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// Set in the process that is to panic.
    const PANICS: &str = "OFFGRIDFLOW_LOADTEST_PANICS";

    /// Does something in a process of its own only, which the next test starts.
    #[test]
    fn takes_the_screen_and_panics() {
        if std::env::var_os(PANICS).is_some() {
            let _screen = Screen::enter().expect("a terminal");
            panic!("out of step");
        }
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_says_a_word() {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("ours");
        let name = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("text");
        let theirs = File::options().read(true).write(true).open(name).expect("its other end");
        let end = || Stdio::from(theirs.try_clone().expect("a descriptor"));
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "command::live::screen::tests::takes_the_screen_and_panics", "--nocapture"]);
        command.env(PANICS, "1").stdin(end()).stdout(end()).stderr(end());
        let mut child = command.spawn().expect("starts");
        assert!(!child.wait().expect("ended").success());
        drop((command, theirs)); // nobody holds the other end, so reading comes to an end
        let (mut shown, mut buffer, mut ours) = (Vec::new(), [0; 4_096], File::from(ours));
        while let Ok(read @ 1..) = ours.read(&mut buffer) {
            shown.extend_from_slice(&buffer[..read]);
        }
        let shown = String::from_utf8_lossy(&shown);
        let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("no {text:?} in {shown:?}"));
        let (taken, back, said) = (at("\u{1b}[?1049h"), at("\u{1b}[?1049l"), at("out of step"));
        assert!(taken < back && back < said && shown.contains("\u{1b}[?25h"), "{shown:?}");
    }
}
