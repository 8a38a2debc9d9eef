//! The addresses that Go does not have: `memory`, `windows`, `diff`, `incidents`, `health`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde::Serialize;

use super::answer::{Answer, Refusal, html, json, pprof, svg, text};
use super::query::Query;
use super::service::Shared;
use crate::{
    Caps, Counting, Diff, Explanation, IncidentSummary, MemoryDetail, MemoryStatus, ProcSource, Profile,
    ProfileError, ProfilerStats, RingStats, TaskTrend, Window,
};

/// How far back windows may be asked for: what the ring holds is less.
const FAR: Duration = Duration::from_secs(30 * 24 * 3_600);

pub(super) async fn show(shared: &Shared, name: &str, query: Option<&str>) -> Result<Answer, Refusal> {
    match name {
        "memory" => memory(shared, query).await,
        "windows" => windows(shared, query).await,
        "diff" => diff(shared, query).await,
        "incidents" => {
            Query::read(query, &[])?;
            json(&shared.profiler.incidents())
        }
        "health" => health(shared, query),
        _ => match name.strip_prefix("incidents/") {
            Some(id) => {
                let page = shared.profiler.incident_page(id);
                page.map(|page| html(page.to_string()))
                    .ok_or_else(|| missing("no such incident; /incidents lists them"))
            }
            None => Err(missing("no such profile; / lists them")),
        },
    }
}

fn missing(text: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, text)
}

#[derive(Serialize)]
struct Memory {
    #[serde(flatten)]
    status: MemoryStatus,
    detail: MemoryDetail,
}

async fn memory(shared: &Shared, query: Option<&str>) -> Result<Answer, Refusal> {
    Query::read(query, &[])?;
    let profiler = shared.profiler.clone();
    let memory = shared
        .on_desk(move || Ok(Memory { status: profiler.memory(), detail: ProcSource::new().detail() }))
        .await?;
    json(&memory)
}

#[derive(Serialize)]
struct Windows {
    stats: RingStats,
    windows: Vec<Window>,
}

/// `windows`, or `windows?profile=&seconds=`: one profile of the last so many seconds.
async fn windows(shared: &Shared, query: Option<&str>) -> Result<Answer, Refusal> {
    let query = Query::read(query, &["profile", "seconds"])?;
    let ring = Arc::clone(shared.profiler.ring());
    let Some(what) = query.get("profile").map(str::to_owned) else {
        return json(&Windows { stats: ring.stats(), windows: ring.windows() });
    };
    let seconds = query.seconds("seconds", FAR)?.unwrap_or(Duration::from_secs(600));
    let now = SystemTime::now();
    let from = now.checked_sub(seconds).unwrap_or(SystemTime::UNIX_EPOCH);
    let name = what.clone();
    let found = shared
        .on_desk(move || {
            // Counts since the start, and what is there at an instant, are not added up.
            let profile =
                if name == "cpu" { ring.between(&name, from, now)? } else { ring.first(&name, from) };
            Ok(profile.map(|profile| profile.to_pprof()))
        })
        .await?;
    let found = found.ok_or_else(|| missing("no window of that kind and time; /windows lists them"))?;
    Ok(pprof(if what == "cpu" { "cpu" } else { "window" }, found))
}

/// `diff?recent=&before=&debug=&format=svg`: CPU time of the last `recent` seconds against the `before` seconds in front of them, from
/// the ring's windows.
async fn diff(shared: &Shared, query: Option<&str>) -> Result<Answer, Refusal> {
    let query = Query::read(query, &["recent", "before", "debug", "format"])?;
    let recent = query.seconds("recent", FAR)?.unwrap_or(Duration::from_secs(60));
    let before = query.seconds("before", FAR)?.unwrap_or(Duration::from_secs(600));
    let ring = Arc::clone(shared.profiler.ring());
    let pair = shared
        .on_desk(move || {
            let now = SystemTime::now();
            let ends = now.checked_sub(recent).unwrap_or(SystemTime::UNIX_EPOCH);
            let from = ends.checked_sub(before).unwrap_or(SystemTime::UNIX_EPOCH);
            let later = ring.between("cpu", ends, now)?;
            // A window that reaches over the border is of the later ones.
            let windows = ring.windows();
            let last = windows
                .iter()
                .filter(|window| window.what == "cpu" && window.until <= ends)
                .map(|window| window.until)
                .max();
            let earlier = last.map(|last| ring.between("cpu", from, last)).transpose()?.flatten();
            Ok(later.zip(earlier))
        })
        .await?;
    let (later, earlier) = pair.ok_or_else(|| {
        missing("there are not windows of CPU time from both times; `.cpu(Cpu::always())` keeps them, /windows lists them")
    })?;
    match (query.get("format"), query.number::<u32>("debug")?.unwrap_or(0)) {
        (Some("svg"), _) => {
            let drawn = shared.on_desk(move || draw(&later, &earlier)).await?;
            Ok(svg(drawn))
        }
        (Some(_), _) => Err(Refusal::bad("\"format\" is svg, or left out")),
        (None, debug) => {
            let diff = shared.on_desk(move || later.diff(&earlier, Counting::Own)).await?;
            if debug > 0 { Ok(text(in_words(&diff))) } else { json(&diff) }
        }
    }
}

fn in_words(diff: &Diff) -> String {
    let line = |change: &crate::Change| {
        format!("{:+.1} points {} (p = {:.1e})\n", change.moved * 100.0, change.function, change.p)
    };
    let lines: String = diff.significant().map(line).collect();
    format!("# {} samples before, {} after; at most 5 % of these by chance\n{lines}", diff.before, diff.after)
}

#[cfg(feature = "flamegraph")]
fn draw(later: &Profile, earlier: &Profile) -> Result<Vec<u8>, ProfileError> {
    later.to_diff_svg(earlier, 0, "what changed")
}

#[cfg(not(feature = "flamegraph"))]
fn draw(_: &Profile, _: &Profile) -> Result<Vec<u8>, ProfileError> {
    Err(ProfileError::Unsupported {
        what: "a flame graph in this build",
        hint: "enable the feature `flamegraph`",
    })
}

#[derive(Serialize)]
struct Health<'a> {
    caps: &'a Caps,
    triggers: Vec<Told>,
    tasks: Vec<TaskTrend>,
    stats: ProfilerStats,
    ring: RingStats,
    cpu_failure: Option<String>,
    sink_failure: Option<String>,
    budget_failure: Option<String>,
    incidents: Vec<IncidentSummary>,
}

/// An explanation with its sentence.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    explanation: Explanation,
    sentence: String,
}

fn health(shared: &Shared, query: Option<&str>) -> Result<Answer, Refusal> {
    Query::read(query, &[])?;
    let profiler = &shared.profiler;
    let told = |explanation: Explanation| Told { sentence: explanation.to_string(), explanation };
    json(&Health {
        caps: profiler.caps(),
        triggers: profiler.explain().into_iter().map(told).collect(),
        tasks: profiler.task_trends(),
        stats: profiler.stats(),
        ring: profiler.ring().stats(),
        cpu_failure: profiler.cpu_failure(),
        sink_failure: profiler.sink_failure(),
        budget_failure: profiler.budget_failure(),
        incidents: profiler.incidents(),
    })
}
