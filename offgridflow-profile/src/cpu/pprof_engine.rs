use std::fmt;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use pprof::{ProfilerGuard, ProfilerGuardBuilder};

use super::usage::cpu_time;
use super::{CpuCaps, CpuProfiler, CpuSpec};
use crate::{Frame, Profile, ProfileError, Stack, ValueKind};

const ENGINE: &str = "pprof (setitimer, framehop)";
/// The process timer ticks with the kernel: on one built for 250 ticks a second, no rate above it is kept.
const MAX_HZ: u32 = 250;

/// CPU sampling by the `pprof` crate with its framehop unwinder.
///
/// The timer is the process's: a tick interrupts whichever thread runs. Samples that the engine drops, because a
/// lock is held or a stack cannot be followed, show as the difference between rate × CPU time and samples; every profile states
/// it in a comment. The crate's default unwinder is not used: it calls into libgcc inside the signal handler.
pub struct PprofCpu {
    running: Mutex<Option<Running>>,
}

struct Running {
    guard: ProfilerGuard<'static>,
    hz: u32,
    began: (SystemTime, Instant),
    cpu_before: Option<Duration>,
}

/// `SIGPROF` is one a process, so this is too, however many `PprofCpu` there are.
static TAKEN: Mutex<Option<Instant>> = Mutex::new(None);

impl PprofCpu {
    /// An engine that samples nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { running: Mutex::new(None) }
    }
}

impl Default for PprofCpu {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PprofCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PprofCpu").finish_non_exhaustive()
    }
}

impl CpuProfiler for PprofCpu {
    fn start(&self, spec: &CpuSpec) -> Result<(), ProfileError> {
        if !(1..=MAX_HZ).contains(&spec.hz) {
            let hint = "between 1 and 250: the process timer is no finer";
            return Err(ProfileError::Setting { setting: "hz", value: spec.hz.to_string(), hint });
        }
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = *taken {
            let retry_in = until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
            return Err(ProfileError::Busy { retry_in });
        }
        if handled_elsewhere() {
            return Err(ProfileError::Conflict {
                what: "other code handles SIGPROF",
                hint: "stop the other profiler, or profile with that one",
            });
        }
        let hz = i32::try_from(spec.hz).unwrap_or(99);
        let guard = ProfilerGuardBuilder::default().frequency(hz).build().map_err(engine)?;
        let now = Instant::now();
        *taken = Some(now + spec.expected);
        let running = Running { guard, hz: spec.hz, began: (SystemTime::now(), now), cpu_before: cpu_time() };
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }

    fn drain(&self) -> Result<Profile, ProfileError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let running = running.ok_or(ProfileError::NotStarted)?;
        let cpu = cpu_time().zip(running.cpu_before).map(|(after, before)| after.saturating_sub(before));
        let duration = running.began.1.elapsed();
        let report = running.guard.report().build().map_err(engine);
        let profile = report.map(|report| profile(&report, &running, duration, cpu));
        drop(running);
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = None;
        profile
    }

    fn discard(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            drop(running.guard);
            *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn caps(&self) -> CpuCaps {
        CpuCaps { engine: ENGINE, supported: cfg!(target_os = "linux"), max_hz: MAX_HZ }
    }
}

impl Drop for PprofCpu {
    fn drop(&mut self) {
        self.discard();
    }
}

fn engine(source: pprof::Error) -> ProfileError {
    ProfileError::Engine { engine: "pprof", source: Box::new(source) }
}

fn profile(report: &pprof::Report, running: &Running, duration: Duration, cpu: Option<Duration>) -> Profile {
    let period = 1_000_000_000 / i64::from(running.hz);
    let stacks: Vec<Stack> =
        report.data.iter().map(|(frames, count)| stack(frames, *count, period)).collect();
    let samples: i64 = stacks.iter().filter_map(|stack| stack.values.first()).sum();
    Profile {
        kinds: vec![ValueKind::new("samples", "count"), ValueKind::new("cpu", "nanoseconds")],
        stacks,
        began: running.began.0,
        duration,
        period,
        period_kind: ValueKind::new("cpu", "nanoseconds"),
        comments: comments(running.hz, samples, cpu),
    }
}

fn stack(frames: &pprof::Frames, count: isize, period: i64) -> Stack {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    Stack {
        // Each address may stand for several functions, inlined into each other: the innermost is first.
        frames: frames.frames.iter().flatten().map(frame).collect(),
        values: vec![count, count.saturating_mul(period)],
        labels: vec![("thread".to_owned(), frames.thread_name.clone())],
    }
}

fn frame(symbol: &pprof::Symbol) -> Frame {
    Frame {
        function: symbol.name(),
        file: symbol.filename.as_ref().map(|path| path.display().to_string()),
        line: symbol.lineno,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share in a remark")]
fn comments(hz: u32, samples: i64, cpu: Option<Duration>) -> Vec<String> {
    let mut comments = vec![format!("engine: {ENGINE}"), format!("rate: {hz} Hz of process CPU time")];
    if let Some(cpu) = cpu {
        let expected = cpu.as_secs_f64() * f64::from(hz);
        let dropped = if expected > 0.0 { (1.0 - samples as f64 / expected).max(0.0) } else { 0.0 };
        comments.push(format!(
            "samples: {samples} of {expected:.0} expected ({:.2} s of CPU time), {:.1} % dropped",
            cpu.as_secs_f64(),
            dropped * 100.0
        ));
    }
    comments
}

/// Whether a handler of `SIGPROF` is installed, which is not this crate's: that one is taken away when a profile ends. The kernel shows the
/// handled signals as a mask, whose lowest bit is signal 1.
fn handled_elsewhere() -> bool {
    const SIGPROF: u32 = 27; // on every architecture of Linux but MIPS, SPARC, Alpha and PA-RISC
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (SIGPROF - 1) & 1 == 1)
}
