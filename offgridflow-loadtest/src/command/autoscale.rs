//! `autoscale`: what an autoscaler would do with a load, before it does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{ArgGroup, Args};

use super::{
    Failure,
    report_file::{ReportFile, is_stdout},
    say, set_up, tell, usage,
};
use crate::{
    ArrivalProcess, LogFormat, Replay,
    autoscale::{Capacity, Hpa, Load, Prediction, Replica, Use, manifests, simulate, svg},
    units::parse_duration,
};

/// Stretches of an access log, each of which is a point of the load: as often as the controller looks.
const STRETCH: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("load").args(["trace", "log", "points"]).requires_all(["capacity", "cpu", "memory"])))]
pub(super) struct Autoscale {
    /// Manifests with HorizontalPodAutoscalers, and the Deployments that they scale where these are to be looked at too; once for each file.
    #[arg(long, value_name = "FILE", required = true)]
    hpa: Vec<PathBuf>,
    /// This one alone.
    #[arg(long)]
    name: Option<String>,
    /// The load as lines of SECONDS,PER_SECOND; straight lines in between.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// The load of an access log (Common or Combined Log Format, CSV, NDJSON).
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// The load by its corners: 0s=100,5m=600,20m=600,21m=50
    #[arg(long, value_name = "TIME=PER_SECOND,…", value_parser = Load::of_corners)]
    points: Option<Load>,
    /// Times the load.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    times: f64,
    /// Requests a second that one replica answers within its objective (`search` finds it), or usl:LAMBDA,ALPHA,BETA.
    #[arg(long, value_name = "PER_SECOND")]
    capacity: Option<Capacity>,
    /// What one replica requests and uses of a processor: request=500m,idle=25m,full=450m, and perhaps limit=1
    #[arg(long, value_name = "NAME=QUANTITY,…", value_parser = Use::of_cpu)]
    cpu: Option<Use>,
    /// The same of memory: request=128Mi,idle=22Mi,full=60Mi
    #[arg(long, value_name = "NAME=QUANTITY,…", value_parser = Use::of_memory)]
    memory: Option<Use>,
    /// How long a replica takes until it answers.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    starts_in: Duration,
    /// Also write every look of the controller as JSON to this file; `-` is standard output, and the text goes to standard error then.
    #[arg(long, value_name = "FILE", requires = "load")]
    json: Option<PathBuf>,
    /// Also draw the first of them, as SVG, into this file.
    #[arg(long, value_name = "FILE", requires = "load")]
    svg: Option<PathBuf>,
}

/// Ends with 1 where something is wrong with an autoscaler, or memory keeps its replicas.
pub(super) fn run(asked: &Autoscale) -> Result<ExitCode, Failure> {
    let yaml: Result<Vec<_>, _> = asked.hpa.iter().map(|path| read(path)).collect();
    let mut found = manifests(&yaml?.join("\n---\n")).map_err(usage)?;
    if let Some(name) = &asked.name {
        found.hpas.retain(|hpa| hpa.name == *name);
        found.findings.retain(|finding| finding.at.starts_with(&format!("{name}: ")));
        if found.hpas.is_empty() {
            return Err(usage(format!("there is no HorizontalPodAutoscaler {name:?} in these files")));
        }
    }
    let text = |line: &dyn std::fmt::Display| {
        if asked.json.as_deref().is_some_and(is_stdout) { tell(&line) } else { say(&line) }
    };
    let predictions = asked.predictions(&found.hpas)?;
    found.findings.iter().try_for_each(|finding| text(&format_args!("wrong   {finding}\n")))?;
    predictions.iter().try_for_each(|prediction| text(prediction))?;
    if predictions.is_empty() && found.findings.is_empty() {
        text(&"nothing is wrong with what they say; give a load to see what they do\n")?;
    }
    asked.write(&predictions)?;
    let fine = found.findings.is_empty() && !predictions.iter().any(Prediction::is_pinned);
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| usage(format!("{}: {error}", path.display())))
}

impl Autoscale {
    /// None without a load.
    fn predictions(&self, hpas: &[Hpa]) -> Result<Vec<Prediction>, Failure> {
        let (Some(load), Some(capacity), Some(cpu), Some(memory)) =
            (self.load()?, self.capacity, self.cpu, self.memory)
        else {
            return Ok(Vec::new());
        };
        if !(self.times.is_finite() && self.times >= 0.0) {
            return Err(usage("--times is a number from 0 up"));
        }
        let replica = Replica { capacity, starts_in: self.starts_in, cpu, memory };
        let demand = |at: Duration| load.at(at) * self.times;
        let predicted =
            |hpa: &Hpa| Prediction::new(hpa, &replica, simulate(hpa, &replica, demand, load.length()));
        Ok(hpas.iter().map(predicted).collect())
    }

    fn load(&self) -> Result<Option<Load>, Failure> {
        if let Some(path) = &self.trace {
            let load = read(path)?.parse::<Load>();
            return load.map(Some).map_err(|error| usage(format!("{}: {error}", path.display())));
        }
        if let Some(path) = &self.log {
            let replay = Replay::builder(LogFormat::of_path(path)).open(path);
            let replay = replay.map_err(|error| usage(format!("{}: {error}", path.display())))?;
            return Ok(Some(counted(&replay)));
        }
        Ok(self.points.clone())
    }

    fn write(&self, predictions: &[Prediction]) -> Result<(), Failure> {
        if let Some(path) = &self.json {
            let json = serde_json::to_string_pretty(predictions).map_err(set_up)?;
            ReportFile::create("--json", path).map_err(set_up)?.write(&(json + "\n")).map_err(set_up)?;
        }
        if let (Some(path), Some(first)) = (&self.svg, predictions.first()) {
            ReportFile::create("--svg", path).map_err(set_up)?.write(&svg(first)).map_err(set_up)?;
        }
        Ok(())
    }
}

/// A log's requests, a count for each stretch.
fn counted(replay: &Replay) -> Load {
    let mut counts: Vec<u64> = Vec::new();
    for at in (0..).map_while(|k| replay.intended(k)) {
        let stretch = usize::try_from(at.as_nanos() / STRETCH.as_nanos()).unwrap_or(0);
        counts.resize(counts.len().max(stretch + 1), 0);
        counts[stretch] += 1;
    }
    Load::of_counts(&counts, STRETCH)
}
