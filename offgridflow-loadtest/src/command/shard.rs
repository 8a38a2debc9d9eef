//! `run --shard` and `merge`: one run by several processes, judged once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;

#[cfg(feature = "redis")]
use super::redis_bundles::Place;
use super::{
    Failure, SET_UP,
    arguments::values::parse_count,
    complain, ended,
    forms::{self, Asked, Forms, json},
    report_file::{ReportFile, is_stdout},
    say, set_up, tell, usage,
};
use crate::{
    AnyTarget, Bundle, Ending, LoadTest, Report, merge, replay::parse_instant, units::parse_duration,
};

/// Its part of a run.
#[derive(Debug, Args)]
pub(super) struct ShardOf {
    /// Run one part of several, such as `2/8`: the third of eight, which count from 0. It judges nothing; `merge` does, from all bundles.
    #[arg(long, value_name = "INDEX/COUNT", value_parser = parse_shard, requires = "left")]
    pub(super) shard: Option<(u64, u64)>,
    /// Where a shard leaves what it measured, for `merge`: a file on a volume that all shards write to.
    #[arg(long, value_name = "FILE", requires = "shard", group = "left")]
    bundle: Option<PathBuf>,
    /// Where a shard leaves what it measured, if there is no such volume: in Redis, under this name of the run, for a day.
    #[cfg(feature = "redis")]
    #[arg(long, value_name = "RUN", requires = "shard", group = "left")]
    bundle_to_redis: Option<String>,
    /// The variable of the environment that holds the URL of that Redis.
    #[cfg(feature = "redis")]
    #[arg(long, value_name = "VARIABLE", default_value = "REDIS_URL")]
    redis_url_env: String,
    /// When to begin, so that all shards do at once: RFC 3339, or seconds since 1970.
    #[arg(long, value_name = "INSTANT", value_parser = parse_start)]
    pub(super) start_at: Option<SystemTime>,
}

#[derive(Debug, Args)]
pub(super) struct Merge {
    /// How many shards there have to be.
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<usize>)]
    expect: usize,
    /// How far apart shards may have begun.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "500ms")]
    max_skew: Duration,
    /// The bundles, or folders of files that end in `.bundle`.
    #[cfg_attr(feature = "redis", arg(value_name = "BUNDLE", required_unless_present = "from_redis"))]
    #[cfg_attr(not(feature = "redis"), arg(value_name = "BUNDLE", required = true))]
    bundles: Vec<PathBuf>,
    #[cfg(feature = "redis")]
    #[command(flatten)]
    redis: FromRedis,
    /// Also write the report as JSON to this file; `-` is standard output, and the text goes to standard error then.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    forms: Forms,
}

/// Bundles that are in Redis.
#[cfg(feature = "redis")]
#[derive(Debug, Args)]
struct FromRedis {
    /// The name of the run whose shards left their bundles in Redis (`run --bundle-to-redis`).
    #[arg(long, value_name = "RUN", conflicts_with = "bundles")]
    from_redis: Option<String>,
    /// The variable of the environment that holds the URL of that Redis.
    #[arg(long, value_name = "VARIABLE", default_value = "REDIS_URL")]
    redis_url_env: String,
    /// How long to wait for shards whose bundle is not there yet.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s", requires = "from_redis")]
    wait: Duration,
}

impl ShardOf {
    /// Where its bundle goes, tried before the run; nothing if it is no shard.
    pub(super) fn bundling(&self) -> Result<Option<Bundling>, Failure> {
        #[cfg(feature = "redis")]
        if let Some((run, (shard, _))) = self.bundle_to_redis.as_ref().zip(self.shard) {
            return Bundling::in_redis(Place::new(run, &self.redis_url_env)?, shard).map(Some);
        }
        self.bundle.as_deref().map(Bundling::open).transpose()
    }

    /// The test, or its part of it, when it is time.
    pub(super) fn of(&self, test: LoadTest<AnyTarget>) -> LoadTest<AnyTarget> {
        let test = match self.shard {
            Some((index, of)) => test.shard(index, of),
            None => test,
        };
        match self.start_at {
            Some(instant) => test.start_at(instant),
            None => test,
        }
    }
}

fn parse_shard(text: &str) -> Result<(u64, u64), String> {
    let wrong =
        || format!("`{text}` is no part of a run: write INDEX/COUNT, such as 0/8 for the first of eight");
    let (index, of) = text.split_once('/').ok_or_else(wrong)?;
    Ok((index.trim().parse().map_err(|_| wrong())?, of.trim().parse().map_err(|_| wrong())?))
}

fn parse_start(text: &str) -> Result<SystemTime, String> {
    let ns = u64::try_from(parse_instant(text)?).map_err(|_| format!("`{text}` lies before 1970"))?;
    Ok(UNIX_EPOCH + Duration::from_nanos(ns))
}

/// A bundle on its way, and how far this machine's clock is ahead of the one that all shards see.
pub(super) struct Bundling {
    to: To,
    clock_ahead_ns: Option<i64>,
}

enum To {
    File(ReportFile, PathBuf),
    #[cfg(feature = "redis")]
    Redis(Place),
}

impl Bundling {
    /// Tries the file before the run, and looks at the clock by which the volume dates it.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if is_stdout(path) {
            return Err(usage("--bundle: name a file, standard output is the report's"));
        }
        let file = ReportFile::create("--bundle", path).map_err(usage)?;
        Ok(Self { to: To::File(file, path.to_owned()), clock_ahead_ns: clock_ahead_ns(path) })
    }

    /// Tries the server before the run, and looks at its clock.
    #[cfg(feature = "redis")]
    fn in_redis(place: Place, shard: u64) -> Result<Self, Failure> {
        let ahead = place.open(shard)?;
        Ok(Self { to: To::Redis(place), clock_ahead_ns: Some(ahead) })
    }

    /// Writes it. A part that came to its end is no failure, whatever it measured: all of them are judged together.
    pub(super) fn finish(self, bundle: Bundle, report: &Report) -> Result<ExitCode, Failure> {
        let bundle = match self.clock_ahead_ns {
            Some(ahead) => bundle.clock_ahead_ns(ahead),
            None => bundle,
        };
        let (shard, of) = (bundle.shard(), bundle.of_shards());
        let left = match self.to {
            To::File(file, path) => {
                file.write(&(bundle.to_json().map_err(set_up)? + "\n")).map_err(set_up)?;
                path.display().to_string()
            }
            #[cfg(feature = "redis")]
            To::Redis(place) => {
                place.put(&bundle)?;
                format!("{} in Redis", place.name(shard))
            }
        };
        say(&format_args!("shard       {shard} of {of}, for `merge --expect {of}`: {left}\n"))?;
        Ok(match bundle.ending() {
            Ending::Completed => ExitCode::SUCCESS,
            Ending::NotStarted => ExitCode::from(SET_UP),
            _ => ExitCode::from(report.exit_code()),
        })
    }
}

/// How far this machine's wall clock is ahead of the one that dates files beside `path`: on a shared volume, its server's.
fn clock_ahead_ns(path: &Path) -> Option<i64> {
    let mut probe = path.as_os_str().to_owned();
    probe.push(".clock");
    let before = SystemTime::now();
    fs::write(&probe, b"clock").ok()?;
    let after = SystemTime::now();
    let dated = fs::metadata(&probe).and_then(|found| found.modified()).ok();
    let _ = fs::remove_file(&probe);
    let middle = before + after.duration_since(before).unwrap_or_default() / 2;
    let dated = dated?;
    match middle.duration_since(dated) {
        Ok(ahead) => i64::try_from(ahead.as_nanos()).ok(),
        Err(behind) => i64::try_from(behind.duration().as_nanos()).ok().map(|ns| -ns),
    }
}

/// Reads, adds up and judges.
pub(super) fn run(asked: &Merge) -> Result<ExitCode, Failure> {
    let forms_asked = asked.asked();
    forms::refuse_one_file_for_two(&forms_asked.map(|(flag, path, _)| (flag, path))).map_err(usage)?;
    let forms = forms::open(&forms_asked).map_err(usage)?;
    let mut problems = Vec::new();
    let mut bundles = Vec::new();
    for found in asked.found()? {
        match found {
            Ok(bundle) => bundles.push(bundle),
            Err(why) => problems.push(why),
        }
    }
    let merged = merge(bundles, asked.expect, asked.max_skew);
    let report = match (merged, problems.is_empty()) {
        (Ok(report), true) => report,
        (merged, _) => {
            problems.extend(merged.err().map(|error| error.problems).unwrap_or_default());
            problems.iter().for_each(|problem| complain(&format_args!("error: {problem}")));
            return Err(set_up("nothing was judged: a run without all of its shards is no run"));
        }
    };
    let failures: Vec<_> = forms.into_iter().filter_map(|form| form.write(&report).err()).collect();
    let takes_stdout = forms_asked.iter().any(|(_, path, _)| path.is_some_and(|path| is_stdout(path)));
    if takes_stdout { tell(&report) } else { say(&report) }?;
    Ok(ended(&report, &failures))
}

impl Merge {
    /// The bundles that there are, and why others cannot be read.
    fn found(&self) -> Result<Vec<Result<Bundle, String>>, Failure> {
        #[cfg(feature = "redis")]
        if let Some(run) = &self.redis.from_redis {
            return Place::new(run, &self.redis.redis_url_env)?.take(self.expect, self.redis.wait);
        }
        let read = |path: PathBuf| read(&path).map_err(|why| format!("{}: {why}", path.display()));
        Ok(files(&self.bundles)?.into_iter().map(read).collect())
    }

    fn asked(&self) -> [Asked<'_>; 4] {
        let [html, junit, prometheus] = self.forms.asked();
        [("--json", self.json.as_ref(), json), html, junit, prometheus]
    }
}

fn read(path: &Path) -> Result<Bundle, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    Bundle::from_json(&text).map_err(|error| format!("is no whole bundle: {error}"))
}

/// What is named, and of folders what ends in `.bundle`.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let inside = fs::read_dir(path).map_err(|error| usage(format!("{}: {error}", path.display())))?;
        let inside = inside.filter_map(|entry| Some(entry.ok()?.path()));
        files.extend(inside.filter(|path| path.extension().is_some_and(|end| end == "bundle")));
    }
    files.sort();
    Ok(files)
}
