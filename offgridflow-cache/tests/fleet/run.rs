//! One seed: the processes, what goes wrong around them, and the history that comes of it.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use offgridflow_cache::sim::{Broken, History};
use rustix::process::{Pid, Signal, kill_process};

use crate::node::{NODE, PLACE, SEED, SOURCE, STORE, SUBJECT, VARIANT, WARM};
use crate::plan::{Fault, LASTS, PLACES, Shape, faults};
use crate::record::{Event, at, now};
use crate::source::Source;
use crate::stage::Stage;

/// How long a process may take for what it is told; it gives up earlier itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process of the fleet: one that is killed and replaced is two.
struct Process {
    node: usize,
    child: Child,
    orders: ChildStdin,
    events: Receiver<Event>,
    said: Vec<Event>,
    dead: bool,
}

impl Process {
    fn start(
        stage: &Stage,
        seed: u64,
        subject: &str,
        source: &Source,
        place: usize,
        node: usize,
        warm: bool,
    ) -> Self {
        let variables = [
            (SEED, seed.to_string()),
            (VARIANT, stage.variant.name().to_owned()),
            (PLACE, place.to_string()),
            (NODE, node.to_string()),
            (STORE, stage.url(place)),
            (SOURCE, source.addr().to_string()),
            (SUBJECT, subject.to_owned()),
            (WARM, if warm { "yes" } else { "no" }.to_owned()),
        ];
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "node", "--nocapture"])
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, events) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str(&line) {
                    let _ = sender.send(event); // the test program says things of its own
                }
            }
        });
        let orders = child.stdin.take().unwrap();
        Self { node, child, orders, events, said: Vec::new(), dead: false }
    }

    fn order(&mut self, order: &str) {
        let _ = writeln!(self.orders, "{order}"); // whether it lives is seen by what it says
    }

    fn wait_for(&mut self, expected: impl Fn(&Event) -> bool) -> Result<(), Broken> {
        let began = Instant::now();
        loop {
            match self.events.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
                Ok(event) => {
                    self.said.push(event);
                    if self.said.last().is_some_and(&expected) {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(broken("(5) a process goes on", self.node)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(broken("no process ends by itself", self.node));
                }
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = kill_process(pid, signal);
    }

    /// `SIGKILL`; what it said before is known.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.dead = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn broken(promise: &'static str, node: usize) -> Broken {
    Broken::new(promise, format!("node {node}"))
}

/// A seed that broke a promise.
#[derive(Debug)]
pub(crate) struct Failure {
    seed: u64,
    broken: Broken,
    faults: Vec<(u64, Fault)>,
    trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.broken)?;
        writeln!(f, "  faults: {:?}", self.faults)?;
        self.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl Failure {
    pub(crate) fn promise(&self) -> &'static str {
        self.broken.promise
    }
}

/// What a seed that broke nothing was about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kept {
    pub(crate) reads: u64,
    pub(crate) stalled: Duration, // all processes together
}

/// Plays a seed, and holds what happened against the promises.
pub(crate) fn run(stage: &mut Stage, seed: u64, subject: &str) -> Result<Kept, Failure> {
    stage.reset(seed);
    let shape = Shape::of(seed, stage.variant);
    let faults = faults(seed, &shape, stage.variant);
    let source = Source::start();
    let (mut fleet, began) = (Fleet { nodes: Vec::new(), places: Vec::new() }, now());
    let played = play(stage, seed, subject, &source, &faults, &mut fleet);
    let (history, shared_errors) = fleet.history(&source);
    let mut bounds = shape.bounds();
    bounds.calm &= shared_errors == 0; // else the machine was too slow for a store that nobody touched
    let kept = Kept { reads: history.reads() as u64, stalled: fleet.stalled() };
    played.and_then(|()| history.check(&bounds)).map(|()| kept).map_err(|broken| {
        let trace = fleet.trace(began, &source);
        Failure { seed, broken, faults, trace }
    })
}

struct Fleet {
    nodes: Vec<Process>, // all that ever were
    places: Vec<usize>,  // which of them are at work
}

impl Fleet {
    fn at(&mut self, place: usize) -> &mut Process {
        &mut self.nodes[self.places[place]]
    }

    fn every(&mut self) -> impl Iterator<Item = &mut Process> {
        self.nodes.iter_mut().filter(|node| !node.dead)
    }
}

fn play(
    stage: &mut Stage,
    seed: u64,
    subject: &str,
    source: &Source,
    faults: &[(u64, Fault)],
    fleet: &mut Fleet,
) -> Result<(), Broken> {
    for place in 0..PLACES {
        fleet.nodes.push(Process::start(stage, seed, subject, source, place, place, true));
        fleet.places.push(place);
    }
    for node in &mut fleet.nodes {
        node.wait_for(|event| matches!(event, Event::Ready))?;
    }
    let start = now() + 20_000_000;
    fleet.every().for_each(|node| node.order(&start.to_string()));
    for (when, fault) in faults {
        sleep_until(start + when * 1_000_000);
        match *fault {
            Fault::Cut(place) => stage.cut(place),
            Fault::Stuck(place) => stage.stick(place),
            Fault::Mute(place) => stage.mute(place),
            Fault::Slow(place, millis) => stage.slow(place, millis),
            Fault::Restore(place) => stage.restore(place),
            Fault::Stop(place) => fleet.at(place).signal(Signal::STOP),
            Fault::Continue(place) => fleet.at(place).signal(Signal::CONT),
            Fault::Kill(place) => {
                fleet.at(place).kill();
                let node = fleet.nodes.len();
                let mut process = Process::start(stage, seed, subject, source, place, node, false);
                process.order(&start.to_string());
                fleet.nodes.push(process);
                fleet.places[place] = node;
            }
            Fault::Freeze(node) => stage.freeze(node),
            Fault::Thaw(node) => stage.thaw(node),
            Fault::Restart(node) => stage.restart(node),
            Fault::Flush => stage.flush(),
            Fault::Deafen => stage.deafen(),
            Fault::Deny(place) => stage.deny(place, true),
            Fault::Allow(place) => stage.deny(place, false),
        }
    }
    sleep_until(start + LASTS * 1_000_000);
    stage.heal();
    for node in fleet.every() {
        node.signal(Signal::CONT);
        node.order("settle");
    }
    for node in fleet.every() {
        node.wait_for(|event| matches!(event, Event::Settled { .. }))?;
        if let Some(Event::Settled { hung, deferred, .. }) = node.said.last() {
            match (hung, deferred) {
                (0, 0) => {}
                (0, _) => return Err(broken("(3) what is deferred is delivered", node.node)),
                _ => return Err(broken("(5) a call ends", node.node)),
            }
        }
    }
    let bounds = Shape::of(seed, stage.variant).bounds();
    thread::sleep(bounds.max_staleness + bounds.slack); // that is the promise: by then everybody knows
    for node in fleet.every() {
        node.order("last");
        node.wait_for(|event| matches!(event, Event::Done))?;
    }
    Ok(())
}

fn sleep_until(when: u64) {
    thread::sleep(Duration::from_nanos(when.saturating_sub(now())));
}

impl Fleet {
    /// What everybody wrote down, and how often the shared tier failed.
    fn history(&mut self, source: &Source) -> (History, u64) {
        let (mut history, mut errors) = (History::default(), 0);
        let written = source.written();
        written.iter().for_each(|one| history.wrote(one.key, one.version, at(one.at)));
        for process in &mut self.nodes {
            let node = history.node();
            process.said.extend(process.events.try_iter());
            for event in &process.said {
                errors += tell(&mut history, node, event, &process.said);
            }
            if process.dead {
                history.died(node);
                // It wrote, and was killed before it could ask for the removal: nobody was told.
                let told = |key: u64, version: u64| {
                    process.said.iter().any(|event| {
                        matches!(event, Event::Removes { reached, .. } if reached.contains(&(key, version)))
                    })
                };
                for one in written.iter().filter(|one| one.by == node && !told(one.key, one.version)) {
                    history.removal(node, vec![(one.key, one.version)], at(one.at), None);
                }
            }
        }
        (history, errors)
    }

    fn stalled(&self) -> Duration {
        let stall = |event: &Event| if let Event::Stall { nanos, .. } = event { *nanos } else { 0 };
        at(self.nodes.iter().flat_map(|node| &node.said).map(stall).sum())
    }

    /// Everything that was said, in order.
    fn trace(&self, began: u64, source: &Source) -> Vec<String> {
        let mut lines = Vec::new();
        for node in &self.nodes {
            for event in &node.said {
                let when = match event {
                    Event::Read { began, .. } | Event::Load { began, .. } => *began,
                    Event::Removes { at, .. } | Event::Removed { at, .. } => *at,
                    _ => continue,
                };
                lines.push((when, format!("node {}: {event:?}", node.node)));
            }
        }
        lines.extend(source.written().iter().map(|one| (one.at, format!("{one:?}"))));
        lines.sort();
        let since = |when: u64| when.saturating_sub(began) / 1_000;
        lines.into_iter().map(|(when, line)| format!("{:>8} us  {line}", since(when))).collect()
    }
}

/// Puts one event into the history; how often the shared tier failed, where it says so.
fn tell(history: &mut History, node: usize, event: &Event, all: &[Event]) -> u64 {
    match event {
        Event::Read { key, began, end, last } => {
            let end = end.map(|(ended, saw)| (at(ended), saw.into()));
            history.read(node, *key, at(*began), end, *last);
        }
        Event::Removes { id, reached, at: began } => {
            let end = all.iter().find_map(|event| match event {
                Event::Removed { id: of, delivered, at: ended } if of == id => Some((at(*ended), *delivered)),
                _ => None,
            });
            history.removal(node, reached.clone(), at(*began), end);
        }
        Event::Load { key, fenced, began, ended, failed } => {
            let how = failed.map_or(Ok(()), |trouble| Err(trouble.into()));
            history.load(node, *key, fenced.map(at), at(*began), Some((at(*ended), how)));
        }
        Event::Stall { nanos, until } => history.stalled(node, at(*nanos), at(*until)),
        Event::Settled { shared_errors, .. } => return *shared_errors,
        Event::Ready | Event::Removed { .. } | Event::Done => {}
    }
    0
}
