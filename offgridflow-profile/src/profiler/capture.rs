//! What is done when a trigger fires.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime};

use super::parts::Parts;
use crate::incident::{self, BEFORE, Evidence, Incident, suspects};
use crate::tasks::{task_profile, wait_profile};
use crate::trend::Verdict;
use crate::{CpuSpec, Fired, Observation, Profile, ProfileError};

/// How long a capture waits for somebody else's CPU profile to end.
const PATIENCE: Duration = Duration::from_secs(150);

pub(super) struct Capture {
    pub(super) parts: Arc<Parts>,
    pub(super) fired: Fired,
    pub(super) at: SystemTime,
    pub(super) observations: Vec<Observation>,
    pub(super) takes: Duration,
    pub(super) window: Duration,
}

impl Capture {
    /// Gathers the evidence and keeps the incident. Takes as long as a CPU profile, where there is CPU profiling.
    pub(super) fn take(self) {
        let mut notes = Vec::new();
        let mut evidence = Vec::new();
        let heap = self.parts.heap.as_ref().map(|heap| heap());
        for (what, after) in
            [("heap", heap), ("tasks", Some(Ok(task_profile()))), ("waits", Some(Ok(wait_profile())))]
        {
            let Some(after) = after else {
                notes.push(format!("{what}: not watched"));
                continue;
            };
            let after = self.noted(what, after, &mut notes).filter(|profile| !profile.stacks.is_empty());
            if let Some(after) = after {
                let before = self.oldest(what);
                evidence.push(Evidence { what: what.to_owned(), before, after: Some(after) });
            }
        }
        let cpu = self.cpu();
        if let Some(after) = self.noted("cpu", cpu, &mut notes) {
            evidence.push(Evidence { what: "cpu".to_owned(), before: self.cpu_before(), after: Some(after) });
        }
        self.parts.keep(&self.incident(evidence, notes));
        crate::sys::glibc::trim(); // of what reading symbols and drawing the page took
    }

    fn incident(&self, evidence: Vec<Evidence>, notes: Vec<String>) -> Incident {
        let status = self.parts.memory.status();
        Incident {
            id: incident::id(self.at, self.fired.kind),
            at: self.at,
            kind: self.fired.kind.to_owned(),
            why: self.fired.why.clone(),
            place: self.fired.place,
            verdict: Some(self.verdict(status.verdict)),
            limit: status.limit,
            memory: self.parts.memory.series().iter().collect(),
            observations: self.observations.clone(),
            suspects: suspects(self.fired.kind, self.fired.place, &evidence),
            evidence,
            notes,
        }
    }

    /// What the trigger rests on, else what all readings say.
    fn verdict(&self, status: Verdict) -> Verdict {
        self.fired.verdict.clone().map_or(status, |verdict| self.parts.memory.explain(verdict))
    }

    fn noted(
        &self,
        what: &str,
        profile: Result<Profile, ProfileError>,
        notes: &mut Vec<String>,
    ) -> Option<Profile> {
        profile.map_err(|error| notes.push(format!("{what}: {error}"))).ok()
    }

    /// The oldest window of this process's that lies not too far back: a leak grows for longer than anything else.
    fn oldest(&self, what: &str) -> Option<Profile> {
        let leak = matches!(self.fired.kind, "leak" | "limit");
        let back = if leak { 12 * BEFORE } else { BEFORE };
        self.parts.ring.first_of_own(what, self.at.checked_sub(back)?)
    }

    /// The windows from before the trigger's condition held; where there is none, as little as there is.
    fn cpu_before(&self) -> Option<Profile> {
        let (from, until) =
            (self.at.checked_sub(BEFORE)?, self.at.checked_sub(self.fired.held.saturating_add(self.window))?);
        let windows = self.parts.ring.windows();
        let before = windows
            .iter()
            .filter(|window| window.what == "cpu" && window.until <= until && window.until >= from);
        let last = before.map(|window| window.until).max()?;
        self.parts.ring.between("cpu", from, last).ok().flatten()
    }

    fn cpu(&self) -> Result<Profile, ProfileError> {
        let cpu = self.parts.cpu.as_ref().ok_or(ProfileError::Unsupported {
            what: "a CPU profile of this incident",
            hint: "start the profiler with `.cpu(Cpu::always())`",
        })?;
        let spec = CpuSpec { expected: self.takes, ..CpuSpec::default() };
        let began = Instant::now();
        let (reply, replies) = channel();
        let _ticket = loop {
            let reply = reply.clone();
            match cpu.order(spec.clone(), move |profile| drop(reply.send(profile))) {
                Err(ProfileError::Busy { retry_in }) if began.elapsed() < PATIENCE => {
                    std::thread::sleep(retry_in.min(Duration::from_secs(1)));
                }
                ordered => break ordered?,
            }
        };
        drop(reply);
        replies.recv().unwrap_or(Err(ProfileError::Ended))
    }
}
