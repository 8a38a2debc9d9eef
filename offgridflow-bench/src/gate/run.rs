use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::build::{Built, Executable, Recipe};
use super::git::Repository;
use super::identical::identical;
use super::judge::{Evidence, finished};
use super::round::{base_first, kept};
use super::session::{Shape, Stage, Trouble};
use super::{Cancel, GateError, GateReport, Judged, Round, Rule, SCHEMA, Statistic, Verdict, Via};
use crate::stats::robust_spread;

/// What to compare and how.
#[derive(Debug, Clone)]
pub struct Gate {
    /// A folder of the repository: where cargo would be started.
    pub folder: PathBuf,
    /// The revision to compare with; the merge base with the head is what is measured.
    pub base: String,
    /// The revision to judge. Default: HEAD.
    pub head: Option<String>,
    /// Measures changes that are not committed, too.
    pub dirty: bool,
    /// Arguments for `cargo bench`, such as `-p`, `--bench` and `--features`.
    pub cargo: Vec<String>,
    /// Only benchmarks whose name contains this.
    pub filter: String,
    /// What to judge by.
    pub rule: Rule,
    /// Time for measuring, building not counted. Default: 5 min.
    pub budget: Duration,
    /// Longest a benchmark process may take. Default: 60 s.
    pub process_limit: Duration,
    /// How a benchmark tells its samples.
    pub via: Via,
    /// Leaves code generation as the project sets it; else one codegen unit.
    pub as_is: bool,
    /// Measures even what is identical: for trying the gate itself.
    pub force: bool,
    /// Environment variables that hold a build stamp.
    pub stamps: Vec<String>,
}

/// A block: 0.1 s of up to a hundred samples, each shorter than a scheduler's slice.
const BLOCK: Duration = Duration::from_millis(100);
const WARM_UP: Duration = Duration::from_millis(20);
/// Base-against-base pairs before the first counted round.
const PILOT: usize = 6;
/// Benchmarks, the noisiest ones, that run base against base alongside.
const CONTROLS: usize = 3;

/// A benchmark that both sides have, in programs that differ.
struct Contest {
    name: String,
    bench: String,
    base: Executable,
    head: Executable,
    shape: Shape,
    statistic: Statistic,
    spread: f64,
    broken: Option<String>,
    note: String,
}

impl Gate {
    /// Builds both sides, measures, and judges. `progress` gets a sentence now and then.
    ///
    /// # Errors
    /// When there is nothing to judge: no git, an unknown revision, a side that does not build, a folder in use or without space, or
    /// [`GateError::Interrupted`].
    pub fn run(&self, cancel: &Cancel, progress: &mut dyn FnMut(&str)) -> Result<GateReport, GateError> {
        let repository = Repository::at(&self.folder)?;
        let sides = repository.sides(&self.base, self.head.as_deref(), self.dirty)?;
        let home = self.home(&repository);
        fs::create_dir_all(&home).map_err(|error| GateError::write(&home, &error))?;
        let lock = File::create(home.join("lock")).map_err(|error| GateError::write(&home, &error))?;
        lock.try_lock()
            .map_err(|_| GateError::Setup(format!("another gate is running in {}", home.display())))?;
        let tree = home.join("tree");
        let recipe = Recipe {
            folder: tree.join(&repository.prefix),
            target: home.join("build"),
            cargo: self.cargo.clone(),
            as_is: self.as_is,
            stamps: self.stamps.clone(),
        };
        let mut build = |commit: &str, side: &str| {
            progress(&format!("building the {side}, {commit:.12}"));
            repository.check_out(commit, &tree)?;
            recipe.build(side, &home.join(side), cancel)
        };
        let (base, head) = (build(&sides.base, "base")?, build(&sides.head, "head")?);
        let mut report = GateReport {
            schema: SCHEMA.to_owned(),
            base: sides.base,
            head: sides.head,
            rule: self.rule.clone(),
            environment_suspect: false,
            benches: Vec::new(),
            notes: sides.notes,
            raw: Vec::new(),
        };
        if base.compiler != head.compiler {
            report
                .notes
                .push(format!("the sides want different compilers: {}, {}", base.compiler, head.compiler));
        }
        report.notes.extend(head.skipped.iter().cloned());
        let stage = Stage::new(home.join("run"), self.via, cancel.clone())?;
        let mut contests = self.contests(base, head, &stage, &mut report)?;
        self.pilot(&mut contests, &stage, progress)?;
        self.rounds(&mut contests, &stage, &mut report, progress)?;
        conclude(contests, &mut report);
        Ok(report)
    }

    fn home(&self, repository: &Repository) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| repository.root.join("target"), PathBuf::from)
            .join("offgridflow-bench")
    }

    /// Sorts the benchmarks of both sides into those that can be told without a run and those that have to be measured.
    fn contests(
        &self,
        base: Built,
        head: Built,
        stage: &Stage,
        report: &mut GateReport,
    ) -> Result<Vec<Contest>, GateError> {
        let (base, head) = (by_name(base), by_name(head));
        let mut contests = Vec::new();
        let names: std::collections::BTreeSet<&String> = base.keys().chain(head.keys()).collect();
        for name in names {
            let list = |program: Option<&Executable>| {
                program.map_or(Ok(Vec::new()), |program| stage.list(program, self.process_limit))
            };
            let (before, now) = match (list(base.get(name)), list(head.get(name))) {
                (Ok(before), Ok(now)) => (before, now),
                (Err(Trouble::Gate(error)), _) | (_, Err(Trouble::Gate(error))) => return Err(error),
                (Err(Trouble::Bench(what)), _) => {
                    report.benches.push(told(
                        name.clone(),
                        Verdict::Broken,
                        format!("the base cannot name its benchmarks: {what}"),
                    ));
                    continue;
                }
                (_, Err(Trouble::Bench(what))) => {
                    report.benches.push(told(
                        name.clone(),
                        Verdict::Broken,
                        format!("the head cannot name its benchmarks: {what}"),
                    ));
                    continue;
                }
            };
            if before.is_empty() && now.is_empty() {
                report.notes.push(format!("{name} has no criterion benchmark"));
            }
            let same = match (base.get(name), head.get(name)) {
                (Some(one), Some(other)) if !self.force => {
                    identical((&one.file, &report.base), (&other.file, &report.head))?
                }
                _ => false,
            };
            for bench in now.iter().filter(|bench| bench.contains(&self.filter)) {
                let full = format!("{name}: {bench}");
                match (base.get(name), head.get(name)) {
                    _ if same => report.benches.push(told(full, Verdict::Identical, String::new())),
                    (Some(base), Some(head)) if before.contains(bench) => {
                        contests.push(Contest::new(full, bench, base, head));
                    }
                    _ => report.benches.push(told(full, Verdict::New, String::new())),
                }
            }
            let gone = before.iter().filter(|bench| bench.contains(&self.filter) && !now.contains(bench));
            report.benches.extend(gone.map(|bench| {
                told(format!("{name}: {bench}"), Verdict::Missing, "the head does not have it".to_owned())
            }));
        }
        Ok(contests)
    }

    /// Finds each block's shape and the statistic that varies least, base against base, before anything counts.
    fn pilot(
        &self,
        contests: &mut [Contest],
        stage: &Stage,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), GateError> {
        let count = contests.len();
        for (nth, contest) in contests.iter_mut().enumerate() {
            progress(&format!("pilot {} of {count}: {}", nth + 1, contest.name));
            match contest.try_out(stage, self.process_limit) {
                Err(Trouble::Gate(error)) => return Err(error),
                Err(Trouble::Bench(what)) => contest.broken = Some(what),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn rounds(
        &self,
        contests: &mut [Contest],
        stage: &Stage,
        report: &mut GateReport,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), GateError> {
        let began = Instant::now();
        let mut suite: Vec<Evidence> = contests.iter().map(|_| Evidence::new(self.rule.slowdown)).collect();
        let controls = noisiest(contests);
        for sweep in 0..self.rule.rounds {
            let done = finished(&suite, &self.rule);
            let mut active: Vec<usize> =
                (0..contests.len()).filter(|nth| !done[*nth] && contests[*nth].broken.is_none()).collect();
            if active.is_empty() {
                break;
            }
            active.sort_by(|a, b| suite[*a].nearest().total_cmp(&suite[*b].nearest()));
            for nth in active.iter().copied() {
                let spent = began.elapsed();
                if spent >= self.budget {
                    report
                        .notes
                        .push(format!("the budget of {:?} was spent after {sweep} rounds", self.budget));
                    return Ok(());
                }
                for control in [false, true] {
                    if control && !controls.contains(&nth) {
                        continue;
                    }
                    if let Some(round) = self.round(&mut contests[nth], sweep, control, stage)? {
                        if !control {
                            suite[nth].add(round.ln_ratio(contests[nth].statistic));
                        }
                        report.raw.push(round);
                    }
                }
            }
            let left = self.budget.saturating_sub(began.elapsed());
            progress(&format!(
                "round {}: {} of {} not decided; at most {} s left",
                sweep + 1,
                active.len(),
                contests.len(),
                left.as_secs()
            ));
        }
        Ok(())
    }

    /// One round; `None` when the benchmark broke, which it then is for good.
    fn round(
        &self,
        contest: &mut Contest,
        round: usize,
        control: bool,
        stage: &Stage,
    ) -> Result<Option<Round>, GateError> {
        let waited_ms = super::weather::wait(stage.cancel());
        let base_first = base_first(self.rule.seed, &contest.name, round, control);
        let other = if control { &contest.base } else { &contest.head };
        let order = if base_first { [&contest.base, other] } else { [other, &contest.base] };
        let mut sides = Vec::new();
        for program in order {
            match stage.block(program, &contest.bench, contest.shape, self.process_limit) {
                Ok(block) => sides.push(kept(&block.samples)),
                Err(Trouble::Gate(error)) => return Err(error),
                Err(Trouble::Bench(what)) => {
                    let side = if control || program == &contest.base { "base" } else { "head" };
                    contest.broken = Some(format!("round {}, {side}: {what}", round + 1));
                    return Ok(None);
                }
            }
        }
        let (second, first) = (sides.pop().unwrap_or_default(), sides.pop().unwrap_or_default());
        let (base, head) = if base_first { (first, second) } else { (second, first) };
        Ok(Some(Round { bench: contest.name.clone(), round, control, base_first, base, head, waited_ms }))
    }
}

impl Contest {
    fn new(name: String, bench: &str, base: &Executable, head: &Executable) -> Self {
        let shape = Shape { samples: 10, warm_up: WARM_UP, measure: BLOCK / 2 };
        Self {
            name,
            bench: bench.to_owned(),
            base: base.clone(),
            head: head.clone(),
            shape,
            statistic: Statistic::Median,
            spread: 0.0,
            broken: None,
            note: String::new(),
        }
    }

    fn try_out(&mut self, stage: &Stage, limit: Duration) -> Result<(), Trouble> {
        stage.block(&self.head, &self.bench, self.shape, limit)?;
        let first = stage.block(&self.base, &self.bench, self.shape, limit)?;
        if first.sample_size.is_some_and(|size| size != self.shape.samples as u64) {
            self.note =
                format!("its own settings beat the command line: {} samples a process", first.samples.len());
        }
        let nanoseconds = Statistic::Median.of(&first.samples).max(1.0);
        let fit = BLOCK.as_nanos() as f64 / nanoseconds;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "10 to 100")]
        let samples = fit.clamp(10.0, 100.0) as usize;
        self.shape = Shape { samples, warm_up: WARM_UP, measure: BLOCK };
        let mut pairs = Vec::new();
        for _ in 0..PILOT {
            let one = stage.block(&self.base, &self.bench, self.shape, limit)?.samples;
            pairs.push((one, stage.block(&self.base, &self.bench, self.shape, limit)?.samples));
        }
        let spread = |statistic: Statistic| {
            let ratios: Vec<f64> = pairs
                .iter()
                .flat_map(|(one, other)| {
                    let ln = (statistic.of(one) / statistic.of(other)).ln();
                    [ln, -ln]
                })
                .collect();
            robust_spread(&ratios).unwrap_or(f64::INFINITY)
        };
        let best = Statistic::ALL.into_iter().min_by(|a, b| spread(*a).total_cmp(&spread(*b)));
        self.statistic = best.unwrap_or(Statistic::Median);
        self.spread = spread(self.statistic);
        Ok(())
    }
}

fn noisiest(contests: &[Contest]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..contests.len()).filter(|nth| contests[*nth].broken.is_none()).collect();
    order.sort_by(|a, b| contests[*b].spread.total_cmp(&contests[*a].spread));
    order.truncate(CONTROLS);
    order
}

fn by_name(built: Built) -> BTreeMap<String, Executable> {
    built.executables.into_iter().map(|one| (one.name.clone(), one)).collect()
}

fn told(bench: String, verdict: Verdict, note: String) -> Judged {
    Judged { bench, verdict, statistic: None, rounds: 0, figures: None, note }
}

fn conclude(contests: Vec<Contest>, report: &mut GateReport) {
    for contest in contests {
        let verdict = if contest.broken.is_some() { Verdict::Broken } else { Verdict::Undecided };
        let statistic = contest.broken.is_none().then_some(contest.statistic);
        let note = contest.broken.unwrap_or(contest.note);
        report.benches.push(Judged { statistic, ..told(contest.name, verdict, note) });
    }
    report.benches.sort_by(|a, b| a.bench.cmp(&b.bench));
    report.judge();
}
