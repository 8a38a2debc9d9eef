use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant, SystemTime};

use pprof::{ProfilerGuard, ProfilerGuardBuilder};

use super::pprof_cost::Cost;
use super::pprof_profile::{Sampled, Taken, profile, tally};
use super::usage::cpu_time;
use super::{CpuCaps, CpuProfiler, CpuSpec, CpuTally};
use crate::deadline::Deadline;
use crate::sys::glibc::trim;
use crate::sys::loader::while_nothing_is_unloaded;
use crate::{Profile, ProfileError};

pub(super) const ENGINE: &str = "pprof (setitimer, framehop)";
/// The process timer ticks with the kernel: on one built for 250 ticks a second, no rate above it is kept.
const MAX_HZ: u32 = 250;

/// CPU sampling by the `pprof` crate with its framehop unwinder.
///
/// The timer is the process's: a tick interrupts whichever thread runs. Samples that the engine drops, because a
/// lock is held or a stack cannot be followed, show as the difference between rate × CPU time and samples; every profile states
/// it in a comment. The crate's default unwinder is not used: it calls into libgcc inside the signal handler.
///
/// The engine counts samples by the functions on their stack, so a frame's address, and its line with the feature `lines`, are where its function
/// begins; functions that were inlined are not told apart. Names are looked up when a profile is drained, in symbol tables; at
/// most 4 MiB of them are kept for the next one. What else it took is given back to the system (`malloc_trim`, some milliseconds) at a start and a
/// drain, and once a minute between windows.
#[must_use = "what it samples is thrown away when this is dropped: drain it before"]
pub struct PprofCpu {
    running: Mutex<Option<Running>>,
    tally: Mutex<Option<CpuTally>>, // `None`: nothing yet
}

struct Running {
    guard: ProfilerGuard<'static>,
    pid: u32,
    hz: u32,
    guard_began: Instant,
    began: (SystemTime, Instant),
    cpu_before: Option<Duration>,
    /// When free memory was last given back.
    trimmed: Instant,
    /// What was seen before this window.
    before: Seen,
}

/// How often a stack was seen, by thread and addresses.
type Seen = HashMap<(String, Vec<usize>), i64>;

/// Between two windows of one run, how long what looking up names took may stay with the process.
const TRIM_EVERY: Duration = Duration::from_secs(60);
/// How long the crate's table is used.
const GUARD_LASTS: Duration = Duration::from_secs(3_600);
/// Stacks that it takes without fail; it has room for four times as many.
const STACKS: usize = 4_096;

impl Running {
    /// What is new since the window before; the next one begins.
    fn window(&mut self) -> Result<(Vec<Sampled>, Taken), ProfileError> {
        let mut sampled = sampled(&self.guard)?;
        let (cpu, now) = (cpu_time(), (SystemTime::now(), Instant::now()));
        let began = std::mem::replace(&mut self.began, now);
        let before = std::mem::replace(&mut self.cpu_before, cpu);
        let taken = Taken {
            hz: self.hz,
            began: began.0,
            duration: now.1.saturating_duration_since(began.1),
            cpu: cpu.zip(before).map(|(after, before)| after.saturating_sub(before)),
            cost: cost().ok().flatten(),
        };
        self.keep_new(&mut sampled);
        Ok((sampled, taken))
    }

    /// Leaves what was not there before, and remembers all of it.
    fn keep_new(&mut self, sampled: &mut Vec<Sampled>) {
        let mut seen = Seen::with_capacity(sampled.len());
        for one in sampled.iter_mut() {
            let key = (one.thread.clone(), one.addresses.clone());
            let all = one.count;
            one.count -= self.before.get(&key).copied().unwrap_or(0);
            *seen.entry(key).or_default() += all;
        }
        sampled.retain(|one| one.count > 0);
        self.before = seen;
    }
}

/// `SIGPROF` is one a process, so this is too, however many `PprofCpu` there are.
static TAKEN: Mutex<Option<Capture>> = Mutex::new(None);
/// The process that looked at it last: a forked child has the number of its parent here, until it looks itself.
static LOOKED: AtomicU32 = AtomicU32::new(0);

/// What is under way.
#[derive(Debug, Clone, Copy)]
struct Capture {
    pid: u32,
    until: Deadline,
}

impl Capture {
    fn begin(spec: &CpuSpec) -> Self {
        Self { pid: process::id(), until: Deadline::after(spec.expected) }
    }

    /// Why no other can begin. That of a parent never ends here: the engine has the state it had when this process was forked.
    fn in_the_way(self) -> ProfileError {
        if self.pid != process::id() {
            return FORKED;
        }
        ProfileError::Busy { retry_in: self.until.left().max(Duration::from_secs(1)) }
    }
}

const FORKED: ProfileError = ProfileError::Conflict {
    what: "this process was forked while its parent took a CPU profile, whose engine stands still here",
    hint: "profile the parent, or fork while no capture is under way",
};

impl PprofCpu {
    /// An engine that samples nothing yet.
    pub const fn new() -> Self {
        Self { running: Mutex::new(None), tally: Mutex::new(None) }
    }

    /// What is running. In a forked child nothing is: the timer stayed with the parent, and so may whoever holds the engine's locks.
    fn take(&self) -> Option<Running> {
        let running = self.running().take()?;
        if running.pid == process::id() {
            return Some(running);
        }
        std::mem::forget(running);
        None
    }

    fn profile(&self, sampled: &[Sampled], taken: &Taken) -> Profile {
        self.counted().get_or_insert_default().add(tally(sampled, taken));
        profile(sampled, taken)
    }

    fn counted(&self) -> MutexGuard<'_, Option<CpuTally>> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
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
        // Somebody else starts right now; or did when this process was forked, and never ends.
        let looked = LOOKED.load(Relaxed);
        let mut taken = match TAKEN.try_lock() {
            Ok(taken) => taken,
            Err(TryLockError::Poisoned(taken)) => taken.into_inner(),
            Err(TryLockError::WouldBlock) if looked != process::id() && looked != 0 => return Err(FORKED),
            Err(TryLockError::WouldBlock) => {
                return Err(ProfileError::Busy { retry_in: Duration::from_secs(1) });
            }
        };
        LOOKED.store(process::id(), Relaxed);
        if let Some(capture) = *taken {
            return Err(capture.in_the_way());
        }
        if handled_elsewhere() {
            return Err(ProfileError::Conflict {
                what: "other code handles SIGPROF",
                hint: "stop the other profiler, or profile with that one",
            });
        }
        cost()?;
        let guard = guard(spec.hz)?;
        let now = Instant::now();
        *taken = Some(Capture::begin(spec));
        let running = Running {
            guard,
            pid: process::id(),
            hz: spec.hz,
            guard_began: now,
            began: (SystemTime::now(), now),
            cpu_before: cpu_time(),
            trimmed: now,
            before: Seen::new(),
        };
        *self.running() = Some(running);
        Ok(())
    }

    fn drain(&self) -> Result<Profile, ProfileError> {
        let mut running = self.take().ok_or(ProfileError::NotStarted)?;
        let window = running.window();
        drop(running); // before names are looked up, which is not to be sampled
        let profile = window.map(|(sampled, taken)| self.profile(&sampled, &taken));
        trim();
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = None;
        profile
    }

    /// Without a restart, in which the crate reads debug information and fills a new table: only what is new is given. After an hour, or where the
    /// table may be full, it starts anew, as what the crate cannot keep in its table goes to a file that grows.
    fn rotate(&self, spec: &CpuSpec) -> Result<Profile, ProfileError> {
        let mut held = self.running();
        let Some(running) = held.as_mut().filter(|running| running.pid == process::id()) else {
            return Err(ProfileError::NotStarted);
        };
        if running.guard_began.elapsed() >= GUARD_LASTS || running.before.len() >= STACKS {
            drop(held);
            let profile = self.drain()?;
            self.start(spec)?;
            return Ok(profile);
        }
        let window = running.window();
        let trims = running.trimmed.elapsed() >= TRIM_EVERY;
        if trims {
            running.trimmed = Instant::now();
        }
        drop(held);
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Capture::begin(spec));
        match window {
            Ok((sampled, taken)) => {
                let profile = self.profile(&sampled, &taken);
                if trims {
                    trim();
                }
                Ok(profile)
            }
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    fn discard(&self) {
        if let Some(running) = self.take() {
            drop(running.guard);
            *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn tally(&self) -> CpuTally {
        self.counted().unwrap_or_default()
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

/// Begins to sample. The crate looks up names of the calling stack on the way, and would keep the debug information for it.
fn guard(hz: u32) -> Result<ProfilerGuard<'static>, ProfileError> {
    let hz = i32::try_from(hz).unwrap_or(99);
    let guard = ProfilerGuardBuilder::default().frequency(hz).build().map_err(engine);
    backtrace::clear_symbol_cache();
    trim(); // of that debug information, which may be tens of megabytes
    guard
}

/// Stacks as addresses: the crate's own look-up of names would keep the debug information of every file it reads. It tells stacks apart by the
/// functions that unwind tables say, also those of libraries, which must not be unloaded meanwhile.
fn sampled(guard: &ProfilerGuard<'static>) -> Result<Vec<Sampled>, ProfileError> {
    let report = while_nothing_is_unloaded(|| guard.report().build_unresolved()).map_err(engine)?;
    let stacks = report.data.iter().map(|(stack, count)| Sampled {
        addresses: stack.frames.iter().map(|frame| frame.ip).collect(),
        thread: String::from_utf8_lossy(&stack.thread_name[..stack.thread_name_length]).into_owned(),
        count: i64::try_from(*count).unwrap_or(i64::MAX),
    });
    Ok(stacks.collect())
}

/// What a sample costs here, measured before the first profile: those samples are thrown away.
fn cost() -> Result<Option<Cost>, ProfileError> {
    static COST: OnceLock<Option<Cost>> = OnceLock::new();
    if let Some(cost) = COST.get() {
        return Ok(*cost);
    }
    let guard = guard(1)?;
    let cost = Cost::measure();
    drop(guard);
    Ok(*COST.get_or_init(|| cost))
}

fn engine(source: pprof::Error) -> ProfileError {
    ProfileError::Engine { engine: "pprof", source: Box::new(source) }
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
