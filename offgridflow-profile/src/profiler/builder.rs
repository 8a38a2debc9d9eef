use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::budget_file::BudgetFile;
use super::caps::{Caps, Support};
use super::cpu_desk::{CpuDesk, Keep, check_rate};
use super::parts::{Counts, HeapSource, Parts};
use super::watcher::{Pace, Watcher};
use super::{LatencyFeed, Profiler};
use crate::incident::IncidentSink;
use crate::{
    Budget, CpuProfiler, CpuSpec, MemoryWatch, MemoryWatchBuilder, ProcSource, ProfileError, Ring, Trigger,
    TriggerEngine,
};

/// How CPU time is sampled.
///
/// ```
/// use std::time::Duration;
/// use offgridflow_profile::Cpu;
///
/// let asked = Cpu::on_demand();                                  // only while a capture runs
/// let ever = Cpu::always().hz(49).window(Duration::from_secs(30)); // window after window, into the ring
/// ```
#[derive(Debug, Clone)]
#[must_use = "give it to a profiler's builder"]
pub struct Cpu {
    always: bool,
    hz: u32,
    window: Duration,
}

impl Cpu {
    /// Only when somebody asks for a profile, or a trigger fires.
    pub fn on_demand() -> Self {
        Self { always: false, hz: 99, window: Duration::from_secs(10) }
    }

    /// All the time, so that a capture can say what changed. A capture on demand cuts the window short that is under way.
    pub fn always() -> Self {
        Self { always: true, ..Self::on_demand() }
    }

    /// Samples a second of CPU time, of windows. Default: 99.
    pub fn hz(self, hz: u32) -> Self {
        Self { hz, ..self }
    }

    /// Length of a window. Default: 10 s.
    pub fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }
}

/// Settings of a [`Profiler`]; see each method for its default.
#[must_use = "a builder does nothing until `start`"]
pub struct ProfilerBuilder {
    memory: MemoryWatchBuilder,
    ring: Option<Ring>,
    cpu: Option<Cpu>,
    cpu_engine: Option<Arc<dyn CpuProfiler>>,
    heap: Option<HeapSource>,
    heap_how: String,
    triggers: Vec<Trigger>,
    budget: Budget,
    budget_file: BudgetFile,
    sinks: Vec<Box<dyn IncidentSink>>,
    pace: Pace,
}

impl fmt::Debug for ProfilerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfilerBuilder").field("triggers", &self.triggers).finish_non_exhaustive()
    }
}

impl Default for ProfilerBuilder {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            memory: MemoryWatch::builder(),
            ring: None,
            cpu: None,
            cpu_engine: None,
            heap: None,
            heap_how: heap_missing(),
            triggers: Vec::new(),
            budget: Budget::default(),
            budget_file: BudgetFile::default(),
            sinks: Vec::new(),
            pace: Pace { observe: second, window: 10 * second, heap: 60 * second, capture: 5 * second },
        }
    }
}

fn heap_missing() -> String {
    let hint = if cfg!(feature = "heap") {
        "`.heap(…)`, with a `Tracked` allocator"
    } else {
        "the feature `heap`"
    };
    format!("needs {hint}")
}

impl ProfilerBuilder {
    /// How memory is read and judged. Default: [`MemoryWatch::builder`].
    pub fn memory(mut self, memory: MemoryWatchBuilder) -> Self {
        self.memory = memory;
        self
    }

    /// Where the newest profiles are kept. Default: in memory, 8 MiB, an hour.
    pub fn ring(mut self, ring: Ring) -> Self {
        self.ring = Some(ring);
        self
    }

    /// Samples CPU time. Default: never. Needs the feature `cpu-pprof`, unless [`cpu_engine`](Self::cpu_engine) is called.
    pub fn cpu(mut self, cpu: Cpu) -> Self {
        self.cpu = Some(cpu);
        self
    }

    /// The engine that samples CPU time. Default: `PprofCpu`.
    pub fn cpu_engine(mut self, engine: Arc<dyn CpuProfiler>) -> Self {
        self.cpu_engine = Some(engine);
        self
    }

    /// Which sites hold memory. Default: not watched.
    #[cfg(feature = "heap")]
    #[cfg_attr(docsrs, doc(cfg(feature = "heap")))]
    pub fn heap(mut self, heap: impl crate::HeapProfiler + 'static) -> Self {
        let caps = heap.caps();
        self.heap_how = format!("{}, a sample in {} bytes", caps.engine, caps.rate_bytes);
        self.heap = Some(Arc::new(move || heap.snapshot().map(|snapshot| snapshot.to_profile())));
        self
    }

    /// Takes a capture when this holds. Default: none.
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.triggers.push(trigger);
        self
    }

    /// How many captures may be taken. Default: four an hour.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// The file that keeps what was spent of the budget, for the next start. Where it cannot be read or written the profiler runs all the same, and says so:
    /// [`caps`](Profiler::caps), [`Profiler::budget_failure`]. Default: none, and each start begins anew.
    pub fn budget_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.budget_file = BudgetFile(Some(path.into()));
        self
    }

    /// Where incidents go, beside memory. Default: nowhere.
    pub fn sink(mut self, sink: impl IncidentSink + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// Time between observations, which triggers look at. Default: 1 s.
    pub fn observe_every(mut self, interval: Duration) -> Self {
        self.pace.observe = interval;
        self
    }

    /// Time between windows of tasks and waits. Default: 10 s.
    pub fn window(mut self, window: Duration) -> Self {
        self.pace.window = window;
        self
    }

    /// Time between snapshots of the heap that go into the ring; each reads symbol tables. Default: 60 s.
    pub fn heap_every(mut self, interval: Duration) -> Self {
        self.pace.heap = interval;
        self
    }

    /// How long the CPU is profiled when a trigger fires. Default: 5 s.
    pub fn capture_for(mut self, duration: Duration) -> Self {
        self.pace.capture = duration;
        self
    }

    /// Starts it: a thread that reads memory, one that watches, one for captures, and with [`cpu`](Self::cpu) one for that.
    ///
    /// # Errors
    /// [`ProfileError::Unsupported`] for what this build or system cannot do, with what would make it work; [`ProfileError::Setting`] for
    /// an interval of zero, a trigger that could never hold or always does, a budget or a ring of nothing; or what the system says where memory cannot be read or no thread be started.
    pub fn start(self) -> Result<Profiler, ProfileError> {
        self.check()?;
        let ring = self.ring.unwrap_or_else(|| Ring::memory(8 << 20, Duration::from_secs(3_600)));
        let (ring, memory) = (Arc::new(ring), Arc::new(self.memory.start()?));
        let latency = LatencyFeed::new();
        let engine = engine(self.cpu.as_ref(), self.cpu_engine)?;
        let cpu = self.cpu.zip(engine).map(|(cpu, engine)| start_cpu(&cpu, engine, &ring)).transpose()?;
        let (spent, unread) = match self.budget_file.read() {
            Ok(spent) => (spent, None),
            Err(why) => (String::new(), Some(why)),
        };
        let budget = self.budget.resume(&spent);
        let mut parts = Parts {
            caps: Caps { rows: Vec::new() },
            memory,
            ring,
            heap: self.heap,
            cpu,
            engine: Mutex::new(TriggerEngine::new(self.triggers, budget)),
            sinks: self.sinks,
            incidents: Mutex::default(),
            latency,
            task_trends: Mutex::default(),
            counts: Counts::default(),
            sink_failure: Mutex::default(),
            budget_failure: Mutex::default(),
            panicked: Mutex::default(),
        };
        match unread {
            None => parts.save_budget(&self.budget_file), // now, so that it is known whether it can be kept
            Some(why) => parts.budget_failure = Mutex::new(Some(why)),
        }
        parts.caps = caps(&parts, &self.heap_how, &self.budget_file);
        let parts = Arc::new(parts);
        let watcher = Watcher::start(&parts, self.pace, self.budget_file)?;
        Ok(Profiler::run(parts, watcher))
    }

    fn check(&self) -> Result<(), ProfileError> {
        let Pace { observe, window, heap, capture } = self.pace;
        let settings =
            [("observe_every", observe), ("window", window), ("heap_every", heap), ("capture_for", capture)];
        let cpu = self.cpu.iter().map(|cpu| ("cpu window", cpu.window));
        match settings.into_iter().chain(cpu).find(|(_, duration)| duration.is_zero()) {
            Some((setting, _)) => Err(ProfileError::Setting {
                setting,
                value: "0".to_owned(),
                hint: "must be longer than zero",
            }),
            None => self.check_parts(),
        }
    }

    fn check_parts(&self) -> Result<(), ProfileError> {
        self.triggers.iter().try_for_each(Trigger::check)?;
        self.budget.check()?;
        self.ring.as_ref().map_or(Ok(()), Ring::check)
    }
}

/// The engine that was given, or the one of this build.
fn engine(
    cpu: Option<&Cpu>,
    given: Option<Arc<dyn CpuProfiler>>,
) -> Result<Option<Arc<dyn CpuProfiler>>, ProfileError> {
    if cpu.is_none() {
        return Ok(None);
    }
    let engine = given.or_else(built_in).ok_or(ProfileError::Unsupported {
        what: "CPU profiling",
        hint: "enable the feature `cpu-pprof`, or give an engine with `cpu_engine`",
    })?;
    if engine.caps().supported {
        return Ok(Some(engine));
    }
    Err(ProfileError::Unsupported {
        what: "CPU profiling on this system",
        hint: "leave out `.cpu(…)`, or give an engine for it with `cpu_engine`",
    })
}

fn built_in() -> Option<Arc<dyn CpuProfiler>> {
    #[cfg(feature = "cpu-pprof")]
    return Some(Arc::new(crate::PprofCpu::new()));
    #[cfg(not(feature = "cpu-pprof"))]
    None
}

fn start_cpu(cpu: &Cpu, engine: Arc<dyn CpuProfiler>, ring: &Arc<Ring>) -> Result<CpuDesk, ProfileError> {
    check_rate(cpu.hz, engine.caps().max_hz)?;
    let ring = Arc::clone(ring);
    let keep: Keep = Box::new(move |profile| drop(ring.push("cpu", profile)));
    let spec = CpuSpec { hz: cpu.hz, expected: cpu.window };
    CpuDesk::start(engine, cpu.always.then_some((spec, keep)))
}

fn caps(parts: &Parts, heap: &str, file: &BudgetFile) -> Caps {
    let mut caps = Caps { rows: Vec::new() };
    let status = parts.memory.newest();
    caps.row("memory", Support::On, "readings and verdict");
    match status.1 {
        Some(limit) => caps.row("limit", Support::On, format!("{:?}, {} MiB", limit.kind, limit.bytes >> 20)),
        None => caps.row("limit", Support::No, "no limit can be read: no time to it is known"),
    }
    match ProcSource::new().pressure() {
        Some(_) => caps.row("pressure", Support::On, "PSI of the control group, or of the machine"),
        None => caps.row("pressure", Support::No, "needs Linux with PSI (CONFIG_PSI, psi=1)"),
    }
    match &parts.cpu {
        Some(cpu) => {
            caps.row("cpu", Support::On, format!("{}, up to {} Hz", cpu.caps().engine, cpu.caps().max_hz));
        }
        None if cfg!(feature = "cpu-pprof") => caps.row("cpu", Support::Off, "`.cpu(Cpu::on_demand())`"),
        None => caps.row("cpu", Support::No, "needs the feature `cpu-pprof`, or `.cpu_engine(…)`"),
    }
    let heap_support = match (&parts.heap, cfg!(feature = "heap")) {
        (Some(_), _) => Support::On,
        (None, true) => Support::Off,
        (None, false) => Support::No,
    };
    caps.row("heap", heap_support, heap);
    caps.row("tasks", Support::On, "futures that are `.profiled(…)`");
    caps.row("waits", Support::On, "places with `wait_site!(…)`");
    caps.row("ring", Support::On, parts.ring.describe());
    let triggers = parts.engine().explain(std::time::SystemTime::now()).len();
    caps.row(
        "triggers",
        if triggers > 0 { Support::On } else { Support::Off },
        format!("{triggers} of them"),
    );
    let failure = parts.budget_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let support = if failure.is_some() { Support::No } else { Support::On };
    caps.row("budget", support, failure.unwrap_or_else(|| file.describe()));
    caps
}
