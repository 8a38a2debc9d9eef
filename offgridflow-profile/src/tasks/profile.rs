use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::awaiting;
use super::site::{TaskSite, tasks};
use super::wait::{WaitKind, Waited, waits};
use crate::{Frame, Profile, Stack, ValueKind};

/// The tasks that are there now, as Go's `goroutine` profile: the place that started them, above it the place they wait at where a
/// [`wait_site!`](crate::wait_site) says it, and a label with their state: `new` (not polled yet), `running`, `waiting`.
#[must_use]
pub fn task_profile() -> Profile {
    let mut framed = HashMap::<(&str, &str, u32), Vec<(Frame, u64)>>::new();
    for pair in awaiting::all() {
        let (task, wait) = (pair.task.read(), pair.wait.read());
        let at = framed.entry((task.name, task.file, task.line)).or_default();
        at.push((frame(wait.name, wait.file, wait.line), pair.waiting()));
    }
    let of_site = |site: TaskSite| {
        let waits = framed.remove(&(site.name, site.file, site.line)).unwrap_or_default();
        stacks(&site, waits)
    };
    let kind = ValueKind::new("goroutine", "count");
    of_now(vec![kind.clone()], kind, tasks().into_iter().flat_map(of_site).collect())
}

/// A site's tasks by what they do. All of it is counted while they run on, so what is waited at is held below what waits.
fn stacks(site: &TaskSite, waits: Vec<(Frame, u64)>) -> Vec<Stack> {
    let spawned = frame(site.name, site.file, site.line);
    let stack = |at: Option<Frame>, tasks: u64, state: &str| Stack {
        frames: at.into_iter().chain([spawned.clone()]).collect(),
        values: vec![count(tasks)],
        labels: vec![("state".to_owned(), state.to_owned())],
    };
    let mut stacks = Vec::new();
    let mut left = site.waiting();
    for (at, waiting) in waits {
        let waiting = waiting.min(left);
        left -= waiting;
        stacks.push(stack(Some(at), waiting, "waiting"));
    }
    stacks.push(stack(None, left, "waiting"));
    stacks.push(stack(None, site.running, "running"));
    stacks.push(stack(None, site.unpolled, "new"));
    stacks.retain(|stack| stack.values[0] > 0);
    stacks
}

/// The waits as a profile of `contentions` and `delay`, which is what Go's `block` profile is; those under way count with what they have lasted so
/// far, so that what hangs shows, and a comment says how much that is.
#[must_use]
pub fn wait_profile() -> Profile {
    of_waits(|_| true)
}

/// Those that are for a lock, as Go's `mutex` profile; each is put down to who waited, where Go puts it down to who held the lock.
#[must_use]
pub fn lock_profile() -> Profile {
    of_waits(|site| site.kind == WaitKind::Lock)
}

fn of_waits(which: impl Fn(&Waited) -> bool) -> Profile {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let stack = |site: &Waited| Stack {
        frames: vec![frame(site.name, site.file, site.line)],
        values: vec![count(site.waits + site.waiting), nanos(site.waited + site.under_way)],
        labels: Vec::new(),
    };
    let under_way =
        |site: &Waited| format!("{}: {} under way, {:.1?} so far", site.name, site.waiting, site.under_way);
    let kinds = vec![ValueKind::new("contentions", "count"), ValueKind::new("delay", "nanoseconds")];
    let sites: Vec<Waited> = waits().into_iter().filter(which).collect();
    let comments = sites.iter().filter(|site| site.waiting > 0).map(under_way).collect();
    let stacks = sites.iter().map(stack).collect();
    Profile { comments, ..of_now(kinds, ValueKind::new("contentions", "count"), stacks) }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn frame(name: &str, file: &str, line: u32) -> Frame {
    let known = !file.is_empty();
    Frame { file: known.then(|| file.to_owned()), line: known.then_some(line), ..Frame::named(name) }
}

fn of_now(kinds: Vec<ValueKind>, period_kind: ValueKind, stacks: Vec<Stack>) -> Profile {
    let (began, duration) = (SystemTime::now(), Duration::ZERO);
    Profile {
        kinds,
        stacks,
        began,
        duration,
        period: 1,
        period_kind,
        comments: Vec::new(),
        mappings: Vec::new(),
    }
}
