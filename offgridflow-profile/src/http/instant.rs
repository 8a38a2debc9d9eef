//! Profiles of an instant, or of what was added over a time: `heap`, `allocs`, `goroutine`, `block`, `mutex`, `threadcreate`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::time::{Duration, SystemTime};

use super::answer::{Answer, Refusal, pprof, text};
use super::query::Query;
use super::service::Shared;
use crate::profiler::Parts;
use crate::tasks::{lock_profile, task_profile, tasks, wait_profile};
use crate::{Frame, Profile, ProfileError, Stack, ValueKind};

impl Shared {
    /// `NAME?debug=&gc=&seconds=`, as Go serves it: with `seconds`, what was added over that time. `gc` asks for a collection, of which
    /// there is none.
    pub(super) async fn instant(&self, name: &str, query: Option<&str>) -> Result<Answer, Refusal> {
        let query = Query::read(query, &["debug", "gc", "seconds"])?;
        let debug = query.number::<u32>("debug")?.unwrap_or(0);
        if debug > 0 && query.get("seconds").is_some() {
            return Err(Refusal::bad("seconds and debug params are incompatible"));
        }
        let profile = self.taken(name, &query).await?;
        let name = name.to_owned();
        if debug > 0 {
            let body = self.on_desk(move || Ok(in_words(&profile, &name, debug))).await?;
            return Ok(text(body));
        }
        let kind = if name == "allocs" { "alloc_space" } else { "" };
        let body = self.on_desk(move || Ok(profile.to_pprof_of(kind))).await?;
        Ok(pprof(&name, body))
    }

    /// A profile of now, or what was added over so many seconds.
    pub(super) async fn taken(&self, name: &str, query: &Query) -> Result<Profile, Refusal> {
        let first = self.take(name).await?;
        let Some(seconds) = query.seconds("seconds", self.longest)? else { return Ok(first) };
        let _place = self.place(seconds)?;
        tokio::time::sleep(seconds).await;
        let second = self.take(name).await?;
        self.on_desk(move || second.since(&first).ok_or(ProfileError::Ended)).await
    }

    async fn take(&self, name: &str) -> Result<Profile, Refusal> {
        let (parts, name) = (std::sync::Arc::clone(self.profiler.parts()), name.to_owned());
        self.on_desk(move || of(&parts, &name)).await
    }
}

fn of(parts: &Parts, name: &str) -> Result<Profile, ProfileError> {
    match name {
        "heap" | "allocs" => match &parts.heap {
            Some(heap) => heap(),
            None => Err(ProfileError::Unsupported {
                what: "heap profiling in this program",
                hint: "give the program a `Tracked` allocator, and start the profiler with `.heap(…)`",
            }),
        },
        "goroutine" => Ok(task_profile()),
        "block" => Ok(wait_profile()),
        "mutex" => Ok(lock_profile()),
        "threadcreate" => threads(),
        _ => Err(ProfileError::Setting {
            setting: "profile",
            value: name.to_owned(),
            hint: "one of cpu, heap, allocs, goroutine, block, mutex, threadcreate",
        }),
    }
}

/// Threads by name, without the number at its end. Where they were created the system does not keep.
fn threads() -> Result<Profile, ProfileError> {
    let folder = "/proc/self/task";
    let failed = |source| ProfileError::Read { path: folder.to_owned(), source };
    let mut names = BTreeMap::<String, i64>::new();
    for thread in fs::read_dir(folder).map_err(failed)?.flatten() {
        let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        let name = name.trim().trim_end_matches(|last: char| last.is_ascii_digit() || last == '-');
        *names.entry(name.to_owned()).or_default() += 1;
    }
    let stack = |(function, count)| Stack {
        frames: vec![Frame::named(function)],
        values: vec![count],
        labels: vec![],
    };
    let kind = ValueKind::new("threadcreate", "count");
    Ok(Profile {
        kinds: vec![kind.clone()],
        stacks: names.into_iter().map(stack).collect(),
        began: SystemTime::now(),
        duration: Duration::ZERO,
        period: 1,
        period_kind: kind,
        comments: vec!["threads by name; where they were created is not kept".to_owned()],
        mappings: vec![],
    })
}

fn in_words(profile: &Profile, name: &str, debug: u32) -> String {
    if name != "goroutine" || debug < 2 {
        return profile.to_text();
    }
    let mut words = String::new();
    for site in tasks() {
        let _ = writeln!(
            words,
            "{} ({}:{}): {} alive ({} waiting, {} running, {} new), {:.1?} old on average; {} started, {} completed, {} dropped; {} polls, {:.1?} busy, the longest {:.1?}",
            site.name,
            site.file,
            site.line,
            site.live,
            site.waiting(),
            site.running,
            site.unpolled,
            site.mean_age,
            site.started,
            site.completed,
            site.dropped,
            site.polls,
            site.busy,
            site.longest_poll
        );
    }
    words
}

/// `cmdline`: the program's name, and its arguments where that is allowed, each ended by a NUL as Go does it.
pub(super) fn cmdline(shared: &Shared, query: Option<&str>) -> Result<Answer, Refusal> {
    Query::read(query, &[])?;
    let words = std::env::args_os().take(if shared.arguments { usize::MAX } else { 1 });
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    Ok(text(words.join("\0")))
}
