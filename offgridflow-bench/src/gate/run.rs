use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::allowance::{Allowances, fresh_blessings};
use super::build::{Built, Recipe};
use super::contest::Contest;
use super::git::{Repository, Sides};
use super::journal::{Journal, Past, Start, digest};
use super::rounds::Measuring;
use super::session::Stage;
use super::settings::MOST_LAYOUTS;
use super::suite::Sorter;
use super::weather::Weather;
use super::witness::LONGEST;
use super::{Allocations, Cancel, GateError, GateReport, Instructions, Judged, Rule, SCHEMA, Verdict, Via};

/// What to compare and how. [`Gate::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Gate {
    /// A folder of the repository: where cargo would be started. Default: the current one.
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
    /// Limits of single benchmarks: a name, `*` for any text, and the slow-down that does not matter, as a share.
    pub slowdowns: Vec<(String, f64)>,
    /// Names, `*` for any text, of benchmarks that may be gone.
    pub allow_missing: Vec<String>,
    /// Where accepted slow-downs stand in the repository, seen from `folder`. Default: `bench-blessed.jsonl`.
    pub blessings: PathBuf,
    /// Time for measuring, building not counted. Default: 5 min.
    pub budget: Duration,
    /// Longest a benchmark process may take. Default: 60 s.
    pub process_limit: Duration,
    /// How a benchmark tells its samples. Default: while it runs.
    pub via: Via,
    /// Leaves code generation as the project sets it; else one codegen unit.
    pub as_is: bool,
    /// Measures even what is identical: for trying the gate itself.
    pub force: bool,
    /// Environment variables that hold a build stamp.
    pub stamps: Vec<String>,
    /// Link orders that rounds go through in turn, where the linker can shuffle functions; red is only what is slower in each. Default: 1.
    pub layouts: usize,
    /// Counts instructions beside time, under callgrind: they grade a verdict and do not make one.
    pub instructions: bool,
    /// Counts allocations, too, of programs with a [counting allocator](crate::allocations).
    pub allocations: bool,
    /// Goes on with a run of the same revisions that was cut short: its rounds and its seed are kept.
    pub resume: bool,
}

impl Gate {
    /// HEAD against its merge base with `base`, in the current folder, with the defaults.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        Self {
            folder: PathBuf::from("."),
            base: base.into(),
            head: None,
            dirty: false,
            cargo: Vec::new(),
            filter: String::new(),
            rule: Rule::default(),
            slowdowns: Vec::new(),
            allow_missing: Vec::new(),
            blessings: PathBuf::from("bench-blessed.jsonl"),
            budget: Duration::from_secs(300),
            process_limit: Duration::from_secs(60),
            via: Via::Protocol,
            as_is: false,
            force: false,
            stamps: Vec::new(),
            layouts: 1,
            instructions: false,
            allocations: false,
            resume: false,
        }
    }

    /// Builds both sides, measures, and judges. `progress` gets a sentence now and then. Every round is written down as soon as it is
    /// measured, so that a run that is killed can be gone on with ([`resume`](Self::resume)).
    ///
    /// # Errors
    /// [`GateError::Usage`] for a rule or link orders that make no sense. When there is nothing to judge: no git, an unknown revision, a side that does not build, a folder in use or without space, or
    /// [`GateError::Interrupted`].
    pub fn run(&self, cancel: &Cancel, progress: &mut dyn FnMut(&str)) -> Result<GateReport, GateError> {
        self.check()?;
        let repository = Repository::at(&self.folder)?;
        let sides = repository.sides(&self.base, self.head.as_deref(), self.dirty)?;
        let home = home(&repository);
        let _lock = lock(&home)?;
        let allowances = self.allowances(&repository, &sides)?;
        let (base, head) = self.build(&repository, &sides, &home, cancel, progress)?;
        let mut start = self.start(&sides, &base, &head)?;
        let journal = home.join("journal.jsonl");
        let (journal, past) = if self.resume {
            Journal::resume(&journal, &mut start)?
        } else {
            (Journal::begin(&journal, start.clone())?, Past::default())
        };
        let mut report = begun(start, sides.dirty, sides.notes);
        report.notes.extend(compilers(&base, &head));
        report.notes.extend(head.skipped.iter().cloned());
        report.notes.extend(self.unshuffled(&base, &head));
        let stage = Stage::new(home.join("run"), self.via, cancel.clone())?;
        let sorter = Sorter {
            stage: &stage,
            filter: &self.filter,
            allowances: &allowances,
            force: self.force,
            limit: self.process_limit,
        };
        let mut contests = sorter.sort(base, head, &mut report)?;
        let rule = report.rule.clone();
        let mut measuring = Measuring {
            stage: &stage,
            rule: &rule,
            budget: self.budget,
            limit: self.process_limit,
            journal,
            before: past.spent,
            began: Instant::now(),
            weather: Weather::default(),
        };
        measuring.rounds(&mut contests, past, &mut report, progress)?;
        let witnesses = self.witnesses(&contests, &home, cancel, progress, &mut report.notes)?;
        conclude(contests, &witnesses, &mut report);
        Ok(report)
    }

    fn check(&self) -> Result<(), GateError> {
        self.rule.check().map_err(GateError::Usage)?;
        if (1..=MOST_LAYOUTS).contains(&self.layouts) {
            return Ok(());
        }
        Err(GateError::Usage(format!("layouts = {}: a whole number from 1 to {MOST_LAYOUTS}", self.layouts)))
    }

    fn allowances(&self, repository: &Repository, sides: &Sides) -> Result<Allowances, GateError> {
        let file = self.blessings.to_string_lossy();
        Ok(Allowances {
            limits: self.slowdowns.clone(),
            blessings: fresh_blessings(repository, &sides.base, &sides.head, &file)?,
            missing: self.allow_missing.clone(),
        })
    }

    /// Both sides, one after the other in the same folder, so that no path tells them apart.
    fn build(
        &self,
        repository: &Repository,
        sides: &Sides,
        home: &Path,
        cancel: &Cancel,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(Built, Built), GateError> {
        let tree = home.join("tree");
        let recipe = Recipe {
            folder: tree.join(&repository.prefix),
            target: home.join("build"),
            cargo: self.cargo.clone(),
            as_is: self.as_is,
            stamps: self.stamps.clone(),
            layouts: self.layouts,
            home: home.to_owned(),
        };
        let mut build = |commit: &str, side: &str| {
            progress(&format!("building the {side}, {commit:.12}"));
            repository.check_out(commit, &tree)?;
            recipe.build(side, &home.join(side), cancel)
        };
        Ok((build(&sides.base, "base")?, build(&sides.head, "head")?))
    }

    /// What was asked to be counted, of each benchmark that can run; what could not be counted is in the notes.
    fn witnesses(
        &self,
        contests: &[Contest],
        home: &Path,
        cancel: &Cancel,
        progress: &mut dyn FnMut(&str),
        notes: &mut Vec<String>,
    ) -> Result<BTreeMap<String, Witnesses>, GateError> {
        let (began, folder, mut all) = (Instant::now(), home.join("run"), BTreeMap::new());
        let wanted = self.instructions || self.allocations;
        for contest in contests.iter().filter(|contest| wanted && contest.can_run()) {
            if began.elapsed() > LONGEST {
                notes.push(format!(
                    "{} and what follows were not counted: {LONGEST:?} were spent",
                    contest.name
                ));
                break;
            }
            progress(&format!("counting: {}", contest.name));
            let mut counted = Witnesses::default();
            if self.allocations {
                match contest.allocations(&folder, cancel)? {
                    Ok(count) => counted.allocations = Some(count),
                    Err(why) => notes.push(format!("{}: allocations were not counted: {why}", contest.name)),
                }
            }
            if self.instructions {
                match contest.instructions(&folder, cancel)? {
                    Ok(count) => counted.instructions = Some(count),
                    Err(why) => notes.push(format!("{}: instructions were not counted: {why}", contest.name)),
                }
            }
            all.insert(contest.name.clone(), counted);
        }
        Ok(all)
    }

    fn unshuffled(&self, base: &Built, head: &Built) -> Option<String> {
        let all = base.executables.iter().chain(&head.executables);
        let lacks = all.filter(|program| program.layouts.len() + 1 < self.layouts).count();
        (lacks > 0).then(|| {
            "the linker cannot shuffle functions (lld can, from `--shuffle-sections` on): one link order"
                .to_owned()
        })
    }

    fn start(&self, sides: &Sides, base: &Built, head: &Built) -> Result<Start, GateError> {
        let mut programs = BTreeMap::new();
        for (side, built) in [("base", base), ("head", head)] {
            for program in &built.executables {
                programs.insert(format!("{side} {}", program.name), digest(&program.file)?);
            }
        }
        let (base, head) = (sides.base.clone(), sides.head.clone());
        Ok(Start { schema: SCHEMA.to_owned(), base, head, rule: self.rule.clone(), programs })
    }
}

fn home(repository: &Repository) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository.root.join("target"), PathBuf::from)
        .join("offgridflow-bench")
}

/// Holds the folder for one gate at a time.
fn lock(home: &Path) -> Result<File, GateError> {
    fs::create_dir_all(home).map_err(|error| GateError::write(home, &error))?;
    let lock = File::create(home.join("lock")).map_err(|error| GateError::write(home, &error))?;
    lock.try_lock()
        .map_err(|_| GateError::Setup(format!("another gate is running in {}", home.display())))?;
    Ok(lock)
}

fn begun(start: Start, dirty: bool, notes: Vec<String>) -> GateReport {
    GateReport {
        schema: start.schema,
        base: start.base,
        head: start.head,
        rule: start.rule,
        dirty,
        machine: crate::origin::machine(),
        at: crate::origin::now(),
        environment_suspect: false,
        benches: Vec::new(),
        notes,
        raw: Vec::new(),
    }
}

fn compilers(base: &Built, head: &Built) -> Option<String> {
    (base.compiler != head.compiler)
        .then(|| format!("the sides want different compilers: {}, {}", base.compiler, head.compiler))
}

/// What was counted of a benchmark beside its time.
#[derive(Debug, Clone, Copy, Default)]
struct Witnesses {
    instructions: Option<Instructions>,
    allocations: Option<Allocations>,
}

fn conclude(contests: Vec<Contest>, witnesses: &BTreeMap<String, Witnesses>, report: &mut GateReport) {
    let with_counts = |judged: Judged| {
        let Witnesses { instructions, allocations } =
            witnesses.get(&judged.bench).copied().unwrap_or_default();
        Judged { instructions, allocations, ..judged }
    };
    report.benches.extend(contests.into_iter().map(conclusion).map(with_counts));
    report.benches.sort_by(|a, b| a.bench.cmp(&b.bench));
    report.judge();
}

/// What is known of a contest before its rounds are judged.
fn conclusion(contest: Contest) -> Judged {
    let layouts = contest.layouts();
    if let Some(why) = contest.broken {
        return Judged::told(contest.name, Verdict::Broken, why);
    }
    let Some(plan) = contest.plan else {
        let note = "the budget was spent before its turn".to_owned();
        return Judged::told(contest.name, Verdict::Undecided, note);
    };
    let (allowed, why) = contest.allowed.map_or((None, String::new()), |(limit, why)| (Some(limit), why));
    let note = [plan.note, why].into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join("; ");
    Judged {
        statistic: Some(plan.statistic),
        allowed,
        layouts,
        ..Judged::told(contest.name, Verdict::Undecided, note)
    }
}
