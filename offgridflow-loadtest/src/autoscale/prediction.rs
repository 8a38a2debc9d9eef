//! What was simulated and what came of it, for people and programs.

use std::fmt;

use crate::autoscale::{Course, Hpa, Replica, Resource, Tick, pinned};

/// One autoscaler with one load.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Prediction {
    /// The autoscaler.
    pub name: String,
    /// The fewest replicas that there may be.
    pub min: u32,
    /// The most.
    pub max: u32,
    /// Seconds in which more was asked than the ready replicas do within the objective.
    pub breach_secs: u64,
    /// Of how many.
    pub length_secs: u64,
    /// Replica-hours beyond what was needed, the least number of replicas aside.
    pub waste_replica_hours: f64,
    /// Replica-hours in all.
    pub replica_hours: f64,
    /// How often the number of replicas changed.
    pub changes: usize,
    /// The most replicas there were.
    pub peak: u32,
    /// How many replicas are kept for ever by what they hold in memory without any load.
    pub pinned: u32,
    /// Idle memory, in percent of the request.
    pub idle_memory_percent: u64,
    /// Each look of the controller.
    pub ticks: Vec<Tick>,
}

impl Prediction {
    /// Of a simulation that is over.
    #[must_use]
    pub fn new(hpa: &Hpa, replica: &Replica, course: Course) -> Self {
        Self {
            name: hpa.name.clone(),
            min: hpa.min,
            max: hpa.max,
            breach_secs: course.breach_secs,
            length_secs: course.ticks.last().map_or(0, |tick| tick.at_secs),
            waste_replica_hours: hours(course.waste_replica_secs),
            replica_hours: hours(course.replica_secs),
            changes: course.changes(),
            peak: course.peak(),
            pinned: pinned(hpa, replica.memory),
            idle_memory_percent: replica.memory.idle * 100 / replica.memory.request.max(1),
            ticks: course.ticks,
        }
    }

    /// Whether memory keeps more replicas than there need be, so that they never become fewer.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pinned > self.min
    }

    /// The looks at which the number of replicas changed, the first and the last.
    fn turns(&self) -> impl Iterator<Item = (u32, &Tick)> {
        let before = std::iter::once(self.min).chain(self.ticks.iter().map(|tick| tick.replicas));
        let last = self.ticks.len().saturating_sub(1);
        let ends = move |at: usize| at == 0 || at == last;
        let all = before.zip(&self.ticks).enumerate();
        all.filter(move |(at, (before, tick))| *before != tick.replicas || ends(*at)).map(|(_, turn)| turn)
    }
}

#[expect(clippy::cast_precision_loss, reason = "replica-seconds")]
fn hours(secs: u64) -> f64 {
    secs as f64 / 3_600.0
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} to {} replicas, simulated", self.name, self.min, self.max)?;
        writeln!(f, "      at   asked/s  ready  replicas  wanted  enough    cpu  memory")?;
        for (before, tick) in self.turns() {
            let Tick { at_secs, per_sec, replicas, ready, wanted, needed, cpu_percent, memory_percent } =
                tick;
            let turn =
                if before == *replicas { replicas.to_string() } else { format!("{before} -> {replicas}") };
            writeln!(
                f,
                "{at_secs:>6} s  {per_sec:>8.0}  {ready:>5}  {turn:>8}  {wanted:>6}  {needed:>6}  {cpu_percent:>3} %   {memory_percent:>3} %"
            )?;
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole * 100.0 } else { 0.0 };
        let (breach, length) = (hours(self.breach_secs) * 60.0, hours(self.length_secs) * 60.0);
        writeln!(
            f,
            "breach  {breach:.1} of {length:.0} minutes ({:.1} %) with more asked than ready replicas do",
            share(breach, length)
        )?;
        let (waste, all) = (self.waste_replica_hours, self.replica_hours);
        writeln!(
            f,
            "waste   {waste:.1} of {all:.1} replica-hours ({:.0} %) beyond what was enough",
            share(waste, all)
        )?;
        if self.is_pinned() {
            writeln!(
                f,
                "pinned  idle replicas hold {} % of the memory that they request: once there are {}, there are never fewer again. Request more memory, or hold less",
                self.idle_memory_percent, self.pinned
            )?;
        }
        Ok(())
    }
}

/// What the resource is called.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        })
    }
}
