use std::fs;
#[cfg(feature = "profiler")]
use std::path::Path;
use std::time::Duration;

/// User and system time of this process: fields 14 and 15 of `proc_pid_stat(5)`, counted behind the command's name, which
/// may hold spaces and parentheses.
pub(crate) fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    Some(Duration::from_secs(ticks).div_f64(rustix::param::clock_ticks_per_second() as f64))
}

/// Threads that are asked how long they waited: a process with more has as many that wait.
#[cfg(feature = "profiler")]
const THREADS: usize = 256;

/// Time in which threads that are there now could have run and had no core: field 2 of each `schedstat`. `None` where the kernel does not
/// count it.
#[cfg(feature = "profiler")]
pub(crate) fn cpu_waited() -> Option<Duration> {
    waited_below(Path::new("/proc/self/task"))
}

#[cfg(feature = "profiler")]
fn waited_below(tasks: &Path) -> Option<Duration> {
    let waited = |text: String| text.split(' ').nth(1)?.parse::<u64>().ok();
    let threads = fs::read_dir(tasks).ok()?.flatten().take(THREADS);
    let nanos =
        threads.filter_map(|thread| waited(fs::read_to_string(thread.path().join("schedstat")).ok()?));
    let nanos: Vec<u64> = nanos.collect();
    (!nanos.is_empty()).then(|| Duration::from_nanos(nanos.into_iter().fold(0, u64::saturating_add)))
}

#[cfg(all(test, feature = "profiler"))]
mod tests {
    use super::*;

    #[test]
    fn waits_of_all_threads_are_added_up_and_what_is_no_number_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let thread = |id: &str, text: &str| {
            fs::create_dir(folder.path().join(id)).unwrap();
            fs::write(folder.path().join(id).join("schedstat"), text).unwrap();
        };
        assert_eq!(waited_below(folder.path()), None);
        thread("1", "100 2000000000 7\n");
        thread("2", "100 500000000 7\n");
        thread("3", "nothing");
        assert_eq!(waited_below(folder.path()), Some(Duration::from_millis(2_500)));
        assert_eq!(waited_below(&folder.path().join("gone")), None);
    }
}
