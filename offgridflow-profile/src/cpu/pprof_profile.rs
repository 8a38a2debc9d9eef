//! From the engine's stacks to a profile.

use std::time::{Duration, SystemTime};

use super::pprof_cost::Cost;
use super::pprof_engine::ENGINE;
use crate::symbols::{self, Exact, Symbols};
use crate::{CpuTally, Frame, Profile, Stack, ValueKind};

/// A stack and how often it was seen.
pub(super) struct Sampled {
    /// Where it was interrupted, then where each call returns to.
    pub(super) addresses: Vec<usize>,
    pub(super) thread: String,
    pub(super) count: i64,
}

/// How a profile was taken.
pub(super) struct Taken {
    pub(super) hz: u32,
    pub(super) began: SystemTime,
    pub(super) duration: Duration,
    pub(super) cpu: Option<Duration>,
    pub(super) cost: Option<Cost>,
}

impl Sampled {
    /// The instructions on the stack: that of a call is before where it returns to.
    fn instructions(&self) -> impl Iterator<Item = usize> + '_ {
        self.addresses
            .iter()
            .enumerate()
            .map(|(depth, address)| address.saturating_sub(usize::from(depth > 0)))
    }
}

pub(super) fn profile(sampled: &[Sampled], taken: &Taken) -> Profile {
    let period = 1_000_000_000 / i64::from(taken.hz);
    let symbols = symbols::resolve(sampled.iter().flat_map(Sampled::instructions), Exact::Function);
    let stacks: Vec<Stack> = sampled.iter().map(|sampled| stack(sampled, &symbols, period)).collect();
    Profile {
        kinds: vec![ValueKind::new("samples", "count"), ValueKind::new("cpu", "nanoseconds")],
        comments: comments(sampled, &stacks, taken)
            .into_iter()
            .chain(symbols::without_names(&stacks))
            .collect(),
        stacks,
        began: taken.began,
        duration: taken.duration,
        period,
        period_kind: ValueKind::new("cpu", "nanoseconds"),
        mappings: symbols.into_mappings(),
    }
}

fn stack(sampled: &Sampled, symbols: &Symbols, period: i64) -> Stack {
    Stack {
        frames: sampled.instructions().flat_map(|address| symbols.frames(address)).collect(),
        values: vec![sampled.count, sampled.count.saturating_mul(period)],
        labels: vec![("thread".to_owned(), sampled.thread.clone())],
    }
}

/// What a profile came to.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts"
)]
pub(super) fn tally(sampled: &[Sampled], taken: &Taken) -> CpuTally {
    let samples: i64 = sampled.iter().map(|sampled| sampled.count).sum();
    let cpu = taken.cpu.unwrap_or_default();
    let missing = cpu.as_secs_f64() * f64::from(taken.hz) - samples as f64;
    let of = |cost: Cost, one: &Sampled| cost.of_sample(one.addresses.len()) * one.count as f64;
    let nanos: f64 = taken.cost.map_or(0.0, |cost| sampled.iter().map(|one| of(cost, one)).sum());
    CpuTally {
        samples: samples.max(0) as u64,
        dropped: missing.max(0.0).round() as u64,
        cpu,
        cost: Duration::from_nanos(nanos as u64),
    }
}

/// What the reader should know of how good it is.
#[expect(clippy::cast_precision_loss, reason = "shares in a remark")]
fn comments(sampled: &[Sampled], stacks: &[Stack], taken: &Taken) -> Vec<String> {
    let mut comments =
        vec![format!("engine: {ENGINE}"), format!("rate: {} Hz of process CPU time", taken.hz)];
    let samples: i64 = sampled.iter().map(|sampled| sampled.count).sum();
    if let Some(cpu) = taken.cpu {
        let expected = cpu.as_secs_f64() * f64::from(taken.hz);
        let dropped = if expected > 0.0 { (1.0 - samples as f64 / expected).max(0.0) } else { 0.0 };
        comments.push(format!(
            "samples: {samples} of {expected:.0} expected ({:.2} s of CPU time), {:.1} % dropped",
            cpu.as_secs_f64(),
            dropped * 100.0
        ));
    }
    let count = |which: &dyn Fn(&Sampled, &Stack) -> bool| -> i64 {
        let pairs = sampled.iter().zip(stacks).filter(|(sampled, stack)| which(sampled, stack));
        pairs.map(|(sampled, _)| sampled.count).sum()
    };
    let truncated = count(&|sampled, _| sampled.addresses.len() >= pprof::MAX_DEPTH);
    let broken = count(&|sampled, stack| sampled.addresses.len() < pprof::MAX_DEPTH && !is_whole(stack));
    comments.push(format!("truncated: {truncated} samples at {} frames", pprof::MAX_DEPTH));
    comments.push(format!("not followed to the start of their thread: {broken} samples"));
    if taken.cost.is_some() && samples > 0 {
        let nanos = tally(sampled, taken).cost.as_secs_f64() * 1e9;
        // CPU time is counted in ticks: of less than one of them nothing can be a share.
        let cpu = taken.cpu.filter(|cpu| *cpu >= Duration::from_millis(10));
        let share = cpu.map_or(0.0, |cpu| nanos / (cpu.as_secs_f64() * 1e9));
        let each = nanos / samples as f64;
        comments.push(format!("cost: {each:.0} ns a sample, {:.2} % of the CPU time", share * 100.0));
    }
    comments
}

/// Whether a stack ends where threads begin.
fn is_whole(stack: &Stack) -> bool {
    const BEGIN: [&str; 7] =
        ["_start", "__libc_start", "main", "start_thread", "clone", "__clone", "std::sys::thread"];
    let outermost = stack.frames.last().map_or("", |frame: &Frame| frame.function.as_str());
    // Debian's C library has no names for what is inside it: its start of a thread is a place in the file.
    BEGIN.iter().any(|begin| outermost.starts_with(begin)) || outermost.starts_with("libc.so")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sampled: &[Sampled], cpu: u64) -> Profile {
        let cpu = Some(Duration::from_secs(cpu));
        profile(
            sampled,
            &Taken {
                hz: 100,
                began: SystemTime::UNIX_EPOCH,
                duration: Duration::from_secs(9),
                cpu,
                cost: None,
            },
        )
    }

    #[test]
    fn what_was_dropped_and_cut_off_is_said() {
        let thread = String::from("worker");
        let deep = Sampled { addresses: vec![7; pprof::MAX_DEPTH], thread: thread.clone(), count: 30 };
        let lost = Sampled { addresses: vec![7, 9], thread, count: 50 };
        let profile = of(&[deep, lost], 1);
        assert_eq!((profile.total(0), profile.total(1)), (80, 800_000_000));
        let words = profile.comments.join("\n");
        for part in [
            "80 of 100 expected (1.00 s of CPU time), 20.0 % dropped",
            "truncated: 30 samples at 128",
            "thread: 50 samples",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert_eq!(profile.stacks[1].frames[1].function, "0x8", "a call is before where it returns to");
    }

    #[test]
    fn nothing_sampled_is_an_empty_profile() {
        assert_eq!(of(&[], 0).stacks, []);
    }
}
