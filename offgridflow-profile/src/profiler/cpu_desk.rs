//! The thread that owns the CPU engine: it takes a capture when one is ordered, and between orders window after window if told to.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::cpu_worker::Worker;
use super::desk::{here, join, spawn};
use crate::deadline::Deadline;
use crate::{CpuCaps, CpuProfiler, CpuSpec, CpuTally, Profile, ProfileError};

pub(super) const THREAD: &str = "profiler-cpu";

type Reply = Box<dyn FnOnce(Result<Profile, ProfileError>) + Send>;
/// Where windows go.
pub(super) type Keep = Box<dyn Fn(&Profile) + Send>;

/// One capture at a time; a second order is refused.
pub(crate) struct CpuDesk {
    engine: Arc<dyn CpuProfiler>,
    pid: u32,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) order: Option<Order>,
    pub(super) taken: Option<Taken>, // while an order waits or is under way
    pub(super) next: u64,
    pub(super) stop: bool,
    pub(super) ended: bool, // after `stop`, once nothing is sampled any more
    pub(super) panics: u64,
    pub(super) failure: Option<String>, // why the newest window could not be taken
}

pub(super) struct Order {
    pub(super) spec: CpuSpec,
    pub(super) reply: Reply,
}

pub(super) struct Taken {
    number: u64,
    until: Deadline,
    pub(super) cancelled: bool,
}

/// An order; dropping it ends the capture.
#[must_use = "dropping it ends the capture"]
pub(crate) struct Ticket {
    number: u64,
    shared: Arc<Shared>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if let Some(taken) = state.taken.as_mut().filter(|taken| taken.number == self.number) {
            taken.cancelled = true;
            self.shared.changed.notify_all();
        }
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CpuDesk {
    /// Starts the thread. With `windows`, it samples at that rate for so long each, whenever nothing is ordered.
    pub(super) fn start(
        engine: Arc<dyn CpuProfiler>,
        windows: Option<(CpuSpec, Keep)>,
    ) -> Result<Self, ProfileError> {
        let shared = Arc::<Shared>::default();
        let worker = Worker::new(Arc::clone(&engine), Arc::clone(&shared), windows);
        let thread = spawn(THREAD, move || worker.run())?;
        Ok(Self { engine, pid: std::process::id(), shared, thread: Some(thread) })
    }

    /// Orders a capture of `spec.expected`; `reply` is called on this desk's thread, with [`ProfileError::Ended`] when the ticket is
    /// dropped before.
    ///
    /// # Errors
    /// [`ProfileError::Setting`] for a rate that the engine does not keep, whether it is free or not; [`ProfileError::Busy`] while another one is under way,
    /// [`ProfileError::Conflict`] in a forked child, [`ProfileError::Ended`] once the desk
    /// stops.
    pub(crate) fn order(
        &self,
        spec: CpuSpec,
        reply: impl FnOnce(Result<Profile, ProfileError>) + Send + 'static,
    ) -> Result<Ticket, ProfileError> {
        here(self.pid)?; // in a child the lock may be held by a thread that is not there
        check_rate(spec.hz, self.caps().max_hz)?;
        let mut state = self.shared.state();
        if state.stop {
            return Err(ProfileError::Ended);
        }
        if let Some(taken) = &state.taken {
            return Err(ProfileError::Busy { retry_in: taken.until.left().max(Duration::from_secs(1)) });
        }
        let (number, until) = (state.next, Deadline::after(spec.expected));
        state.next += 1;
        state.taken = Some(Taken { number, until, cancelled: false });
        state.order = Some(Order { spec, reply: Box::new(reply) });
        self.shared.changed.notify_all();
        Ok(Ticket { number, shared: Arc::clone(&self.shared) })
    }

    /// Ends what is under way; nothing is taken any more.
    pub(super) fn stop(&self) {
        self.shared.state().stop = true;
        self.shared.changed.notify_all();
    }

    /// The same, and waits until nothing is sampled. In a forked child nothing is.
    pub(super) fn end(&self) {
        if here(self.pid).is_err() {
            return;
        }
        self.stop();
        let ended = self.shared.changed.wait_while(self.shared.state(), |state| !state.ended);
        drop(ended);
    }

    /// What the engine can do here.
    pub(super) fn caps(&self) -> CpuCaps {
        self.engine.caps()
    }

    /// What the engine's profiles came to.
    pub(super) fn tally(&self) -> CpuTally {
        self.engine.tally()
    }

    /// How often the engine, or whoever waits for what it took, panicked.
    pub(super) fn panics(&self) -> u64 {
        self.shared.state().panics
    }

    /// Why the newest window could not be taken, if so.
    pub(super) fn failure(&self) -> Option<String> {
        self.shared.state().failure.clone()
    }
}

/// # Errors
/// [`ProfileError::Setting`] for a rate of nothing, or one that is not kept.
pub(super) fn check_rate(hz: u32, most: u32) -> Result<(), ProfileError> {
    if (1..=most).contains(&hz) {
        return Ok(());
    }
    Err(ProfileError::setting(
        "hz",
        hz,
        "must be above 0 and at most what the engine keeps: 250 with `pprof`",
    ))
}

impl Drop for CpuDesk {
    fn drop(&mut self) {
        self.stop();
        join(self.thread.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::sync::mpsc::channel;
    use std::time::SystemTime;

    use super::*;
    use crate::ValueKind;

    /// Counts what is asked of it.
    #[derive(Default)]
    struct Counting {
        started: AtomicU64,
        drained: AtomicU64,
        discarded: AtomicU64,
    }

    impl CpuProfiler for Counting {
        fn start(&self, _: &CpuSpec) -> Result<(), ProfileError> {
            self.started.fetch_add(1, SeqCst);
            Ok(())
        }

        fn drain(&self) -> Result<Profile, ProfileError> {
            self.drained.fetch_add(1, SeqCst);
            let kind = ValueKind::new("samples", "count");
            Ok(Profile {
                kinds: vec![kind.clone()],
                stacks: vec![],
                began: SystemTime::now(),
                duration: Duration::ZERO,
                period: 1,
                period_kind: kind,
                comments: vec![],
                mappings: vec![],
            })
        }

        fn discard(&self) {
            self.discarded.fetch_add(1, SeqCst);
        }

        fn caps(&self) -> CpuCaps {
            CpuCaps { engine: "counting", supported: true, max_hz: 1_000 }
        }
    }

    fn spec(expected: Duration) -> CpuSpec {
        CpuSpec { expected, ..CpuSpec::default() }
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_second_order_is_told_when_to_come_back_and_a_dropped_one_ends() {
        let engine = Arc::<Counting>::default();
        let desk = CpuDesk::start(Arc::clone(&engine) as _, None).unwrap();
        let (reply, replies) = channel();
        let answer = reply.clone();
        let ticket = desk.order(spec(HOUR), move |result| answer.send(result).unwrap()).unwrap();
        let refused = desk.order(spec(HOUR), |_| {}).err().unwrap();
        assert!(matches!(refused, ProfileError::Busy { retry_in } if retry_in > HOUR / 2), "{refused}");
        drop(ticket);
        assert!(matches!(replies.recv().unwrap(), Err(ProfileError::Ended)));
        assert_eq!(engine.drained.load(SeqCst), 0);
        // The place is free again, once the reply has been given.
        let again = loop {
            match desk.order(spec(Duration::ZERO), {
                let reply = reply.clone();
                move |result| reply.send(result).unwrap()
            }) {
                Ok(ticket) => break ticket,
                Err(_) => std::thread::yield_now(),
            }
        };
        assert!(replies.recv().unwrap().is_ok());
        drop(again);
    }

    #[test]
    fn a_rate_that_makes_no_sense_is_said_even_while_another_capture_is_under_way() {
        let desk = CpuDesk::start(Arc::<Counting>::default() as _, None).unwrap();
        let ticket = desk.order(spec(HOUR), |_| {}).unwrap();
        for hz in [0, 1_001] {
            let refused = desk.order(CpuSpec { hz, ..spec(HOUR) }, |_| {}).err().unwrap();
            assert!(matches!(refused, ProfileError::Setting { setting: "hz", .. }), "{refused}");
        }
        drop(ticket);
    }

    #[test]
    fn an_order_cuts_a_window_short_and_what_it_saw_is_kept() {
        let engine = Arc::<Counting>::default();
        let (kept, keeps) = channel();
        let keep: Keep = Box::new(move |_| kept.send(()).unwrap_or(()));
        let desk = CpuDesk::start(Arc::clone(&engine) as _, Some((spec(HOUR), keep))).unwrap();
        let (reply, replies) = channel();
        let ticket = desk.order(spec(Duration::ZERO), move |result| reply.send(result).unwrap()).unwrap();
        assert!(replies.recv().unwrap().is_ok());
        drop(ticket);
        drop(desk); // ends the next window
        assert!(keeps.iter().count() >= 1 || engine.started.load(SeqCst) == 1);
        assert_eq!(engine.started.load(SeqCst), engine.drained.load(SeqCst));
    }

    #[test]
    fn a_desk_that_stops_answers_what_is_under_way() {
        let desk = CpuDesk::start(Arc::<Counting>::default() as _, None).unwrap();
        let (reply, replies) = channel();
        let ticket = desk.order(spec(HOUR), move |result| reply.send(result).unwrap()).unwrap();
        drop(desk);
        assert!(matches!(replies.recv().unwrap(), Err(ProfileError::Ended)));
        drop(ticket);
    }
}
