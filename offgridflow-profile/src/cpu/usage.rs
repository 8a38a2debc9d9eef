use std::fs;
use std::time::Duration;

/// User and system time of this process: fields 14 and 15 of `proc_pid_stat(5)`, counted behind the command's name, which
/// may hold spaces and parentheses.
pub(crate) fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    Some(Duration::from_secs(ticks).div_f64(rustix::param::clock_ticks_per_second() as f64))
}
