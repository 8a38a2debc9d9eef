//! What the system says about a thread, its control group and the whole machine.

use std::{fs, path::PathBuf, time::Duration};

/// What a thread has used and waited for since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ThreadUse {
    /// On a core.
    pub(crate) cpu: Duration,
    /// Ready to run, without a core.
    pub(crate) waited: Duration,
    /// How often it was taken off its core.
    pub(crate) preempted: u64,
}

impl ThreadUse {
    /// Of the calling thread; `None` where `/proc` does not tell.
    pub(crate) fn now() -> Option<Self> {
        let (cpu, waited) = schedstat(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)?;
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Some(Self { cpu, waited, preempted: field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0) })
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            waited: self.waited.saturating_sub(earlier.waited),
            preempted: self.preempted.saturating_sub(earlier.preempted),
        }
    }
}

/// What the machine and the control group have done since they began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MachineUse {
    /// How long the control group's CPU quota kept it from running.
    pub(crate) throttled: Duration,
    /// Scheduling periods of the quota, and those in which it ran out.
    pub(crate) periods: u64,
    pub(crate) throttled_periods: u64,
    /// Jiffies of all cores, and those that the host took away.
    pub(crate) jiffies: u64,
    pub(crate) stolen: u64,
}

impl MachineUse {
    pub(crate) fn now() -> Self {
        let group = cpu_group().and_then(|group| fs::read_to_string(group.join("cpu.stat")).ok());
        let (jiffies, stolen) =
            fs::read_to_string("/proc/stat").ok().and_then(|text| stat(&text)).unwrap_or_default();
        Self { jiffies, stolen, ..throttling(&group.unwrap_or_default()) }
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            throttled: self.throttled.saturating_sub(earlier.throttled),
            periods: self.periods.saturating_sub(earlier.periods),
            throttled_periods: self.throttled_periods.saturating_sub(earlier.throttled_periods),
            jiffies: self.jiffies.saturating_sub(earlier.jiffies),
            stolen: self.stolen.saturating_sub(earlier.stolen),
        }
    }
}

/// How many cores the control group may use at a time, if it has a quota.
pub(crate) fn cpu_quota() -> Option<f64> {
    let group = cpu_group()?;
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    match read("cpu.max") {
        Some(text) => quota_v2(&text),
        None => quota_v1(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
    }
}

/// The kernel's clock, such as `tsc`.
pub(crate) fn clock_source() -> Option<String> {
    let text = fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource").ok()?;
    Some(text.trim().to_owned())
}

/// How many ports a client may take for connections to one address.
pub(crate) fn ephemeral_ports() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut numbers = text.split_ascii_whitespace().map(|number| number.parse::<u64>().ok());
    let (low, high) = (numbers.next()??, numbers.next()??);
    Some(high.checked_sub(low)? + 1)
}

/// The folder of this process's CPU control group: version 2, or the `cpu` hierarchy of version 1.
fn cpu_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let (hierarchy, path) = cpu_path(&groups)?;
    let root = PathBuf::from("/sys/fs/cgroup").join(hierarchy);
    // In a container the path may be the host's, of which only the root is seen.
    [root.join(path.trim_start_matches('/')), root]
        .into_iter()
        .find(|folder| folder.join("cpu.stat").exists())
}

/// The hierarchy's folder and the group's path in it.
fn cpu_path(groups: &str) -> Option<(&'static str, &str)> {
    let line = |wanted: fn(&str) -> bool| {
        groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(controllers).then_some(path)
        })
    };
    let version1 = line(|controllers| controllers.split(',').any(|name| name == "cpu"));
    version1.map(|path| ("cpu", path)).or_else(|| Some(("", line(str::is_empty)?)))
}

fn schedstat(text: &str) -> Option<(Duration, Duration)> {
    let mut numbers = text.split_ascii_whitespace().map(|number| number.parse().ok());
    Some((Duration::from_nanos(numbers.next()??), Duration::from_nanos(numbers.next()??)))
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn throttling(text: &str) -> MachineUse {
    let nanos = field(text, "throttled_time ")
        .or_else(|| Some(field(text, "throttled_usec ")?.saturating_mul(1_000)));
    MachineUse {
        throttled: Duration::from_nanos(nanos.unwrap_or(0)),
        periods: field(text, "nr_periods ").unwrap_or(0),
        throttled_periods: field(text, "nr_throttled ").unwrap_or(0),
        ..MachineUse::default()
    }
}

/// All jiffies and the stolen ones: `cpu user nice system idle iowait irq softirq steal …`.
fn stat(text: &str) -> Option<(u64, u64)> {
    let all = text.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<u64> =
        all.split_ascii_whitespace().filter_map(|number| number.parse().ok()).take(8).collect();
    Some((numbers.iter().sum(), *numbers.get(7)?))
}

fn quota_v2(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

fn quota_v1(quota: &str, period: &str) -> Option<f64> {
    let quota: f64 = quota.trim().parse().ok()?;
    (quota > 0.0).then_some(quota / period.trim().parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_of_both_versions_are_found_and_read() {
        let version1 = "9:name=systemd:/x\n2:cpu,cpuacct:/docker/1\n0::/\n";
        assert_eq!(cpu_path(version1), Some(("cpu", "/docker/1")));
        assert_eq!(cpu_path("0::/user.slice/a\n"), Some(("", "/user.slice/a")));
        assert_eq!(quota_v1("20000\n", "100000\n"), Some(0.2));
        assert_eq!(quota_v1("-1\n", "100000\n"), None);
        assert_eq!((quota_v2("150000 100000\n"), quota_v2("max 100000\n")), (Some(1.5), None));
        let seen = throttling("nr_periods 10\nnr_throttled 4\nthrottled_time 2000000\n");
        assert_eq!((seen.periods, seen.throttled_periods, seen.throttled), (10, 4, Duration::from_millis(2)));
        assert_eq!(throttling("nr_periods 1\nthrottled_usec 7\n").throttled, Duration::from_micros(7));
    }

    #[test]
    fn the_machine_tells_of_this_thread() {
        assert_eq!(stat("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1"), Some((36, 8)));
        assert_eq!(schedstat("5 7 9\n"), Some((Duration::from_nanos(5), Duration::from_nanos(7))));
        assert_eq!(field("a: 1\nnonvoluntary_ctxt_switches:\t42\n", "nonvoluntary_ctxt_switches:"), Some(42));
        if let Some(before) = ThreadUse::now() {
            let spun: u64 = (0..2_000_000_u64).map(std::hint::black_box).sum();
            let used = ThreadUse::now().expect("still there").since(before);
            assert!(spun > 0 && used.cpu > Duration::ZERO);
        }
    }
}
