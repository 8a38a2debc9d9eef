//! What an operation consists of, where it is more than one request: marks that its steps leave.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::outcome::{Outcome, TargetError};

/// How many steps of one operation are recorded.
pub const MAX_STEPS_AN_OPERATION: usize = 1_024;

/// One step of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepMark {
    /// Which of the workload's steps.
    pub(crate) place: usize,
    pub(crate) began: Duration,
    /// When it ended; `None` while it goes on, and for good where its operation was given up in it.
    pub(crate) done: Option<Duration>,
    pub(crate) end: StepEnd,
    pub(crate) bytes: u64,
    /// A wait before the target is asked: no part of the operation's service time.
    is_wait: bool,
    /// It asks again and again: its beginning is that of its first request.
    is_held: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepEnd {
    Ok,
    /// Failed, with an answer.
    Answered,
    /// Failed without one.
    Unanswered,
}

/// The steps of the operation in a slot. Untouched, and without memory, where operations have none.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    any: AtomicBool,
    marks: Mutex<Marked>, // never waited for: one operation at a time
}

#[derive(Debug, Default)]
struct Marked {
    steps: Vec<StepMark>, // at most MAX_STEPS_AN_OPERATION; keeps its memory for the next operation
    rested: Duration,
}

impl Marked {
    /// Before the second request to the target.
    fn is_first(&self) -> bool {
        let mut asked = self.steps.iter().filter(|step| !step.is_wait);
        asked.next().is_none_or(|step| !step.is_held) && asked.next().is_none()
    }
}

impl Steps {
    pub(crate) fn begin(&self, place: usize, at: Duration, is_wait: bool) {
        self.any.store(true, Relaxed);
        self.with(|marked| {
            if marked.steps.len() < MAX_STEPS_AN_OPERATION {
                let end = StepEnd::Unanswered;
                marked.steps.push(StepMark {
                    place,
                    began: at,
                    done: None,
                    end,
                    bytes: 0,
                    is_wait,
                    is_held: false,
                });
            }
        });
    }

    pub(crate) fn end(&self, outcome: &Outcome, at: Duration) {
        self.with(|marked| {
            let Some(step) = marked.steps.last_mut().filter(|step| step.done.is_none()) else { return };
            step.done = Some(at);
            (step.end, step.bytes) = match outcome {
                Outcome::Ok { bytes } => (StepEnd::Ok, *bytes),
                Outcome::Failed(TargetError { answered: true, .. }) => (StepEnd::Answered, 0),
                Outcome::Failed(_) => (StepEnd::Unanswered, 0),
            };
        });
    }

    /// The step that goes on has its connection, and begins now. Whether a mark of the operation's own is due too: before its second step.
    pub(crate) fn admit(&self, at: Duration) -> bool {
        if !self.any.load(Relaxed) {
            return true;
        }
        self.with(|marked| {
            if let Some(step) = marked.steps.last_mut().filter(|step| step.done.is_none() && !step.is_held) {
                step.began = at;
            }
            marked.is_first()
        })
    }

    /// The step that goes on was answered, and asks again.
    #[cfg(feature = "http")]
    pub(crate) fn hold(&self) {
        self.with(|marked| {
            if let Some(step) = marked.steps.last_mut().filter(|step| step.done.is_none()) {
                step.is_held = true;
            }
        });
    }

    /// Whether a first byte is the operation's: before its second request.
    pub(crate) fn is_first(&self) -> bool {
        !self.any.load(Relaxed) || self.with(|marked| marked.is_first())
    }

    pub(crate) fn rest(&self, length: Duration) {
        self.any.store(true, Relaxed);
        self.with(|marked| marked.rested += length);
    }

    /// Looks at the steps and the rests between them, if there are any.
    pub(crate) fn look(&self, look: impl FnOnce(&[StepMark], Duration)) {
        if self.any.load(Relaxed) {
            self.with(|marked| look(&marked.steps, marked.rested));
        }
    }

    /// Forgets them for the next operation.
    pub(crate) fn clear(&self) {
        if self.any.swap(false, Relaxed) {
            self.with(|marked| {
                marked.steps.clear();
                marked.rested = Duration::ZERO;
            });
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Marked) -> T) -> T {
        act(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
