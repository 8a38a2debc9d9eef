//! Whether this machine can carry a plan, before it is tried.

use std::{fmt, time::Instant};

use crate::{
    error::PreflightError,
    histogram::min_samples,
    plan::Plan,
    shard::as_u64,
    threshold::{Metric, Statistic, Threshold},
};

/// Descriptors a process needs besides those of its operations, and for each thread that sends: polls, timers, files.
const SPARE_FILES: u64 = 16;
const FILES_PER_SHARD: u64 = 8;
/// Clock sources that are read without a system call.
const FAST_CLOCKS: [&str; 4] = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// What, for example `open files`.
    pub name: &'static str,
    /// What was found, in a sentence.
    pub finding: String,
    /// Whether it will probably show in the numbers. What makes a run impossible is an error instead.
    pub worrying: bool,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.worrying { "!" } else { " " };
        write!(f, "{mark} {:<13} {}", self.name, self.finding)
    }
}

/// Looks at the limits a plan depends on, raising the soft limit on open files where it may.
pub(crate) fn check(plan: &Plan) -> Result<Vec<Check>, PreflightError> {
    let mut checks = vec![open_files(plan)?];
    checks.extend(ports(plan)?);
    checks.push(cores(plan));
    checks.extend(quota(plan));
    checks.push(clock());
    checks.extend(plan.thresholds.iter().filter_map(|threshold| samples(plan, threshold)));
    Ok(checks)
}

/// A percentile that the plan is too short to judge.
fn samples(plan: &Plan, threshold: &Threshold) -> Option<Check> {
    let Metric::Time(Statistic::Quantile(thousandths), _) = threshold.metric else { return None };
    let need = min_samples(f64::from(thousandths) / 100_000.0);
    let have = plan.executor.arrivals()?.operations();
    let finding = format!("`{threshold}` needs {need} operations to be judged, the plan has {have}");
    (have < need).then_some(Check { name: "threshold", finding, worrying: true })
}

fn open_files(plan: &Plan) -> Result<Check, PreflightError> {
    let sessions = as_u64(plan.max_in_flight).saturating_mul(plan.open_files_per_op);
    let beside = SPARE_FILES + FILES_PER_SHARD * as_u64(plan.shards);
    let need = sessions.saturating_add(beside);
    let have = if plan.open_files_per_op == 0 { u64::MAX } else { raise_open_files(need) };
    if have < need {
        let remedy = format!(
            "{sessions} of them for operations in flight: raise it (`ulimit -n`), or lower the operations in flight (`concurrent_workers`)"
        );
        return Err(PreflightError { limit: "open files".into(), have, need, remedy });
    }
    let finding = format!(
        "at most {sessions} for operations in flight and {beside} beside them, {} are allowed",
        limit(have)
    );
    Ok(fine("open files", finding))
}

/// Connections to one address need a port each.
fn ports(plan: &Plan) -> Result<Option<Check>, PreflightError> {
    let need = as_u64(plan.max_in_flight).saturating_mul(plan.open_files_per_op);
    let Some(have) = ephemeral_ports().filter(|_| need > 0) else { return Ok(None) };
    if have < need {
        let remedy =
            "widen net.ipv4.ip_local_port_range, or lower the operations in flight (`concurrent_workers`)";
        return Err(PreflightError { limit: "local ports".into(), have, need, remedy: remedy.into() });
    }
    Ok(Some(fine("local ports", format!("at most {need} are needed to one address, there are {have}"))))
}

fn cores(plan: &Plan) -> Check {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let finding = format!("{}, this process may use {}", sending(plan), counted(cores, "core"));
    Check { name: "cores", worrying: plan.shards >= cores && cores > 1 || plan.shards > cores, finding }
}

fn quota(plan: &Plan) -> Option<Check> {
    let quota = cpu_quota()?;
    let worrying = quota < crate::histogram::as_f64(as_u64(plan.shards));
    let finding = format!("the control group may use {quota:.2} cores, {}", sending(plan));
    Some(Check { name: "CPU quota", worrying, finding })
}

/// What a reading of the clock costs, and where it comes from.
fn clock() -> Check {
    const READINGS: u32 = 1_000;
    let begun = Instant::now();
    let last = (0..READINGS).map(|_| Instant::now()).fold(begun, |_, now| std::hint::black_box(now));
    let each = last.saturating_duration_since(begun) / READINGS;
    let source = clock_source();
    let slow = source.as_deref().is_some_and(|source| !FAST_CLOCKS.contains(&source));
    let name = source.unwrap_or_else(|| "unknown source".into());
    Check { name: "clock", worrying: slow, finding: format!("{name}, {each:?} a reading") }
}

fn sending(plan: &Plan) -> String {
    format!("{} send{}", counted(plan.shards, "thread"), if plan.shards == 1 { "s" } else { "" })
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn fine(name: &'static str, finding: String) -> Check {
    Check { name, finding, worrying: false }
}

fn limit(count: u64) -> String {
    if count == u64::MAX { "any number".into() } else { count.to_string() }
}

#[cfg(target_os = "linux")]
pub(crate) use crate::sys::usage::cpu_quota;
#[cfg(target_os = "linux")]
use crate::sys::{
    raise_open_files,
    usage::{clock_source, ephemeral_ports},
};

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::cpu_quota;
#[cfg(not(target_os = "linux"))]
use elsewhere::{clock_source, ephemeral_ports, raise_open_files};

/// Where the system is not asked.
#[cfg(not(target_os = "linux"))]
mod elsewhere {
    pub(super) fn raise_open_files(_need: u64) -> u64 {
        u64::MAX
    }

    pub(super) fn ephemeral_ports() -> Option<u64> {
        None
    }

    pub(crate) fn cpu_quota() -> Option<f64> {
        None
    }

    pub(super) fn clock_source() -> Option<String> {
        None
    }
}
