//! The run as it goes on, on a terminal.

mod draw;
mod heat;
mod keys;
mod screen;
mod seen;

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    sync::mpsc::{self, Receiver, Sender, TryRecvError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ratatui::crossterm::{event, terminal};

use crate::{Control, Plan, ProgressLines, Report, ReportError, Reporter, StopHandle, Window};
use draw::SMALLEST;
use keys::Asked;
use screen::Screen;
pub(super) use screen::{is_shown, restore};
use seen::{Seen, Steering};

/// The shortest time between two drawings.
const BETWEEN_DRAWINGS: Duration = Duration::from_millis(250);
/// How long a key may wait to be seen.
const LOOK: Duration = Duration::from_millis(100);

/// What follows a run on standard error: the view where that is a terminal with room for it, and lines elsewhere. A sentence says so
/// where only the room is missing.
pub(super) fn follower(stop: StopHandle, control: Option<(Control, SocketAddr)>) -> Box<dyn Reporter> {
    if !io::stderr().is_terminal() || std::env::var("TERM").is_ok_and(|term| term == "dumb") {
        return Box::new(ProgressLines::stderr());
    }
    let (width, height) = terminal::size().unwrap_or_default();
    if width < SMALLEST.0 || height < SMALLEST.1 {
        eprintln!("{}; plain lines follow", draw::too_small(width, height));
        return Box::new(ProgressLines::stderr());
    }
    match LiveView::start(stop, control) {
        Ok(view) => Box::new(view),
        Err(_) => Box::new(ProgressLines::stderr()), // a terminal that cannot be drawn on
    }
}

/// Tells a thread of its own what happened, which draws it: a slow terminal holds up nobody.
struct LiveView {
    news: Option<Sender<News>>,
    drawing: Option<JoinHandle<()>>,
}

enum News {
    Begins(Box<Plan>),
    Window(Box<Window>),
}

impl LiveView {
    fn start(stop: StopHandle, control: Option<(Control, SocketAddr)>) -> io::Result<Self> {
        let screen = Screen::enter()?;
        let (news, heard) = mpsc::channel();
        let follow = move || show(screen, &heard, &stop, control.as_ref());
        let drawing = thread::Builder::new().name("load-view".into()).spawn(follow)?;
        Ok(Self { news: Some(news), drawing: Some(drawing) })
    }

    fn tell(&self, news: News) {
        if let Some(listener) = &self.news {
            let _ = listener.send(news);
        }
    }

    /// Gives the terminal back.
    fn end(&mut self) {
        drop(self.news.take());
        if let Some(drawing) = self.drawing.take() {
            let _ = drawing.join();
        }
    }
}

impl Reporter for LiveView {
    fn on_start(&mut self, plan: &Plan) {
        self.tell(News::Begins(Box::new(plan.clone())));
    }

    fn on_window(&mut self, window: &Window) {
        self.tell(News::Window(Box::new(window.clone())));
    }

    fn on_end(&mut self, _: &Report) -> Result<(), ReportError> {
        self.end();
        Ok(())
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.end();
    }
}

/// Draws what is new, at most four times a second, and looks for keys.
fn show(
    mut screen: Screen,
    heard: &Receiver<News>,
    stop: &StopHandle,
    control: Option<&(Control, SocketAddr)>,
) {
    let steering =
        control.map(|(_, address)| Steering { address: address.to_string(), ..Steering::default() });
    let control = control.map(|(control, _)| control);
    let mut seen = Seen { steering, ..Seen::default() };
    let (mut drawn, mut size, mut is_new) = (None::<Instant>, terminal::size().ok(), true);
    loop {
        loop {
            match heard.try_recv() {
                Ok(News::Begins(plan)) => seen.begin(&plan),
                Ok(News::Window(window)) => seen.take(*window),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
            is_new = true;
        }
        let now = terminal::size().ok();
        is_new |= size != now || seen.stopping != stop.is_stopped();
        (size, seen.stopping) = (now, stop.is_stopped());
        if let Some((control, shown)) = control.zip(seen.steering.as_mut()) {
            is_new |= shown.look(&control.standing());
        }
        if is_new && drawn.is_none_or(|drawn| drawn.elapsed() >= BETWEEN_DRAWINGS) {
            (drawn, is_new) = (Some(Instant::now()), false);
            if screen.draw(|frame| draw::draw(&seen, frame)).is_err() {
                return; // it is gone, or was given back by a panic
            }
        }
        match (asked(), control.zip(seen.steering.as_mut())) {
            (Some(Asked::End), _) => interrupt(stop),
            (Some(asked), Some((control, shown))) => {
                shown.said = keys::obey(asked, control);
                is_new = true;
            }
            _ => {}
        }
    }
}

/// What a key that was pressed within a moment asks for.
fn asked() -> Option<Asked> {
    match event::poll(LOOK) {
        Ok(true) => event::read().ok().and_then(|event| keys::asked(&event)),
        Ok(false) => None,
        Err(_) => {
            thread::sleep(LOOK); // no keyboard: signals still end it
            None
        }
    }
}

/// As the terminal itself does where it is not looked at key by key, so that all that holds for an interrupt holds for keys.
#[cfg(target_os = "linux")]
fn interrupt(stop: &StopHandle) {
    use rustix::process::{Signal, getpid, kill_process};
    if kill_process(getpid(), Signal::INT).is_err() {
        stop.stop();
    }
}

#[cfg(not(target_os = "linux"))]
fn interrupt(stop: &StopHandle) {
    stop.stop();
}
