use std::fs;

use super::text::Text;
use crate::cpu::usage::cpu_time;

/// Tells the recorder of the `metrics` facade what the figures mean that a [`MemoryWatch`](crate::MemoryWatch) hands it. Once a process, after
/// the recorder was installed.
pub fn describe_metrics() {
    use metrics::describe_gauge;
    describe_gauge!("process_resident_memory_bytes", "Resident memory of this process.");
    describe_gauge!("process_virtual_memory_bytes", "Virtual memory of this process.");
    describe_gauge!("process_threads", "Threads of this process.");
}

/// What the kernel counts of this process, under the names that Prometheus' own clients use, in its text format, version 0.0.4:
/// `process_cpu_seconds_total`, `process_open_fds`, `process_max_fds` and `process_start_time_seconds`. What cannot be read has no line: all of it where
/// there is no `/proc`. Costs microseconds, and some more for each open descriptor.
///
/// ```
/// let text = offgridflow_profile::process_prometheus();
/// # #[cfg(target_os = "linux")]
/// assert!(text.contains("\nprocess_open_fds ") && text.contains("# TYPE process_cpu_seconds_total counter\n"));
/// ```
#[must_use]
pub fn process_prometheus() -> String {
    let mut text = Text::default();
    let spent = cpu_time().map(|time| time.as_secs_f64());
    text.one("process_cpu_seconds_total", "counter", "User and system CPU time.", spent);
    text.one("process_open_fds", "gauge", "Open file descriptors.", open_descriptors());
    text.one("process_max_fds", "gauge", "File descriptors that may be open.", most_descriptors());
    text.one("process_start_time_seconds", "gauge", "When this process began, since 1970.", began());
    text.into_string()
}

/// Without that of the folder itself.
#[expect(clippy::cast_precision_loss, reason = "descriptors are few")]
fn open_descriptors() -> Option<f64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(open.saturating_sub(1) as f64)
}

/// The soft limit; none where there is no limit.
fn most_descriptors() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Field 22 of `proc_pid_stat(5)`, in ticks since the machine began, whose own beginning is in `/proc/stat`.
fn began() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks: f64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(booted + ticks / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn descriptors_are_counted_as_they_open() {
        let before = open_descriptors().unwrap();
        let held: Vec<_> = (0..64).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        let after = open_descriptors().unwrap();
        assert!(after >= before + 32.0, "{before}, then {after} with {} more", held.len()); // other tests close theirs
        assert!(most_descriptors().is_none_or(|most| most >= after));
    }

    #[test]
    fn this_process_began_a_while_ago() {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(began().unwrap());
        let age = SystemTime::now().duration_since(since).unwrap_or_default();
        assert!(age < Duration::from_secs(3_600), "{age:?}");
    }
}
