use std::time::Duration;

use crate::ProfileError;
use crate::trend::TrendOptions;

/// A condition that, when it holds for long enough, takes a capture.
///
/// ```
/// use std::time::Duration;
/// use offgridflow_profile::Trigger;
///
/// let busy = Trigger::cpu_above(1.5).lasting(Duration::from_secs(20)).cooldown(Duration::from_secs(600));
/// assert_eq!(busy.to_string(), "cpu above 1.5 cores for 20 s");
/// ```
#[derive(Debug, Clone)]
#[must_use = "a trigger does nothing until a profiler has it"]
pub struct Trigger {
    pub(super) watch: Watch,
    pub(super) lasting: Duration,
    pub(super) cooldown: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Watch {
    Leak { window: Duration, options: TrendOptions },
    TimeToLimit { less_than: Duration, options: TrendOptions },
    Cpu { cores: f64 },
    Latency { p99: Duration },
    Pressure { share: f64 },
    Tasks { live: u64 },
    Wait { mean: Duration },
}

/// How long a level must be exceeded unless told otherwise: one window of the profiler's.
const LASTING: Duration = Duration::from_secs(10);
const COOLDOWN: Duration = Duration::from_secs(600);

impl Trigger {
    fn on(watch: Watch, lasting: Duration) -> Self {
        Self { watch, lasting, cooldown: COOLDOWN }
    }

    /// Three windows of half an hour or more agree that memory leaks, and it has grown by 32 MiB in them: see [`LeakAlarm`](crate::LeakAlarm), whose
    /// rate of false alarms this has. Growth of what the allocator keeps, while what it has handed out stands still, does not fire it.
    pub fn leak() -> Self {
        Self::leak_within(Duration::from_secs(1_800), TrendOptions::default())
    }

    /// The same with windows of another length, and other options. Short windows see large leaks only, and err more often.
    pub fn leak_within(window: Duration, options: TrendOptions) -> Self {
        Self::on(Watch::Leak { window, options }, Duration::ZERO)
    }

    /// Memory leaks, and by the steep end of the slope's interval the limit is nearer than this. Needs a limit.
    ///
    /// It is asked again and again, so each answer must be surer than a single verdict's: its chance to call a leak what is none is 10⁻⁴.
    pub fn time_to_limit(less_than: Duration) -> Self {
        let options = TrendOptions { alpha: 1e-4, ..TrendOptions::default() };
        let options = TrendOptions { leak_window: options.min_window, ..options };
        Self::on(Watch::TimeToLimit { less_than, options }, Duration::from_secs(120))
    }

    /// More than so many cores are busy: a number that is 0 or more, else a profiler refuses it. Default: for 10 s.
    pub fn cpu_above(cores: f64) -> Self {
        Self::on(Watch::Cpu { cores }, LASTING)
    }

    /// The 99th percentile of what the application reports is above this. Default: for 10 s.
    pub fn latency_above(p99: Duration) -> Self {
        Self::on(Watch::Latency { p99 }, LASTING)
    }

    /// Some task stood still for want of memory in more than this share of the time, from 0 to below 1, else a profiler refuses it. Default: for 10 s.
    pub fn pressure_above(share: f64) -> Self {
        Self::on(Watch::Pressure { share }, LASTING)
    }

    /// More than so many tasks of one place are alive. Default: for 10 s.
    pub fn tasks_above(live: u64) -> Self {
        Self::on(Watch::Tasks { live }, LASTING)
    }

    /// One place waits longer than this on average: for a pool, a lock, somebody else's load. Default: for 10 s.
    pub fn wait_above(mean: Duration) -> Self {
        Self::on(Watch::Wait { mean }, LASTING)
    }

    /// Whether it can hold, and not always.
    ///
    /// # Errors
    /// [`ProfileError::Setting`] with what would make sense.
    pub(crate) fn check(&self) -> Result<(), ProfileError> {
        let refuse = |setting, value: &dyn ToString, hint| {
            Err(ProfileError::setting(setting, value.to_string(), hint))
        };
        let never_empty = "must be longer than zero";
        match &self.watch {
            Watch::Leak { window, .. } if window.is_zero() => refuse("leak_within", &0, never_empty),
            Watch::TimeToLimit { less_than, .. } if less_than.is_zero() => {
                refuse("time_to_limit", &0, never_empty)
            }
            Watch::Leak { options, .. } | Watch::TimeToLimit { options, .. } => options.check(),
            Watch::Cpu { cores } if !(cores.is_finite() && *cores >= 0.0) => {
                refuse("cpu_above", cores, "a number of cores, 0 or more: 1.5 is one and a half")
            }
            Watch::Pressure { share } if !(0.0..1.0).contains(share) => {
                refuse("pressure_above", share, "a share of the time from 0 to below 1: 0.2 is 20 %")
            }
            _ => Ok(()),
        }
    }

    /// How long it must hold without a break.
    pub fn lasting(self, lasting: Duration) -> Self {
        Self { lasting, ..self }
    }

    /// How long it rests after a capture. Default: 10 min.
    pub fn cooldown(self, cooldown: Duration) -> Self {
        Self { cooldown, ..self }
    }

    /// What it watches, in one word: `leak`, `limit`, `cpu`, `latency`, `pressure`, `tasks`, `wait`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.watch {
            Watch::Leak { .. } => "leak",
            Watch::TimeToLimit { .. } => "limit",
            Watch::Cpu { .. } => "cpu",
            Watch::Latency { .. } => "latency",
            Watch::Pressure { .. } => "pressure",
            Watch::Tasks { .. } => "tasks",
            Watch::Wait { .. } => "wait",
        }
    }
}

impl std::fmt::Display for Trigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.watch {
            Watch::Leak { window, .. } => {
                write!(f, "leak in three windows of {} s or more", window.as_secs_f64())?;
            }
            Watch::TimeToLimit { less_than, .. } => {
                write!(f, "time to the memory limit below {} s", less_than.as_secs_f64())?;
            }
            Watch::Cpu { cores } => write!(f, "cpu above {cores} cores")?,
            Watch::Latency { p99 } => write!(f, "latency p99 above {p99:?}")?,
            Watch::Pressure { share } => write!(f, "memory pressure above {:.1} %", share * 100.0)?,
            Watch::Tasks { live } => write!(f, "more than {live} tasks of one place")?,
            Watch::Wait { mean } => write!(f, "waits of one place above {mean:?}")?,
        }
        if self.lasting.is_zero() { Ok(()) } else { write!(f, " for {} s", self.lasting.as_secs_f64()) }
    }
}
