//! Incidents whose cause is known, replayed through the real trigger engine in virtual time: caught how soon, and named right how often.
//! Then quiet processes: captures there should be none of.
//!
//! `cargo run --release -p offgridflow-profile --no-default-features --features profiler,families --example replay -- [SEEDS] [FIRST] [MONTHS]`

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use offgridflow_profile::families::Family;
use offgridflow_profile::{
    Budget, Evidence, Fired, Frame, LeakAlarm, Observation, Place, Profile, Stack, TaskCount, TrendOptions,
    Trigger, TriggerEngine, ValueKind, WaitTime, suspects,
};

/// Seconds.
const WINDOW: f64 = 10.0;
/// Readings of a window of half an hour, both ends included.
const LEAK_WINDOW: u64 = 1_801;
const MIB: f64 = 1_048_576.0;
/// What memory must not exceed, MiB.
const LIMIT: u64 = 2_048;
/// Growth from which on a leak is to be seen, MiB: the larger of 32 and 5 % of the limit.
const PLAIN: f64 = 102.4;
const FUNCTIONS: [&str; 6] = [
    "shop::serve",
    "shop::cart::price",
    "shop::tax::rates",
    "shop::search::rank",
    "shop::json::write",
    "shop::hash",
];
const PLACES: [Place; 4] = [place("request"), place("export"), place("mailer"), place("refresh")];

const fn place(name: &'static str) -> Place {
    Place { name, file: "src/shop.rs", line: 1 }
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let mut next = |default| numbers.next().unwrap_or(default);
    let (seeds, first, months): (u64, u64, u64) = (next(20), next(1), next(1));
    for kind in [Kind::Cpu, Kind::Tasks, Kind::Pool, Kind::Leak] {
        let runs: Vec<Outcome> = (first..first + seeds).map(|seed| replay(kind, seed)).collect();
        let count = |what: fn(&Outcome) -> bool| runs.iter().filter(|run| what(run)).count();
        let windows = runs.iter().filter_map(|run| run.windows).fold(0.0, f64::max);
        println!(
            "{kind:?}\tcaught {}\tin time {}\tnamed {}\tnamed without before {}\tof {seeds}\tlatest {windows:.1} windows",
            count(|run| run.windows.is_some()),
            count(|run| run.windows.is_some_and(|windows| windows <= 2.0)),
            count(|run| run.named),
            count(|run| run.named_without)
        );
    }
    let quiet: usize = (first..first + 3 * seeds).map(quiet).sum();
    println!("Quiet\tcaptures {quiet}\tof {} half hours", 3 * seeds);
    let families: Vec<&Family> = Family::all().iter().filter(|family| family.truth.is_quiet()).collect();
    let alarms: usize = families.iter().map(|family| alarms(family, first, months * 1_440)).sum();
    println!("Months\tfalse leaks {alarms}\tof {} instance-months", months * families.len() as u64);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Cpu,
    Tasks,
    Pool,
    Leak,
}

struct Outcome {
    /// From when it can be seen until it is caught. Of a level in windows of 10 s; of a leak in whole windows of the detector's, half an hour
    /// each, that begin after it has grown by [`PLAIN`].
    windows: Option<f64>,
    named: bool,
    named_without: bool,
}

fn triggers() -> Vec<Trigger> {
    vec![
        Trigger::leak(),
        Trigger::cpu_above(1.2),
        Trigger::tasks_above(2_000),
        Trigger::wait_above(Duration::from_millis(500)),
        Trigger::latency_above(Duration::from_secs(1)),
        Trigger::pressure_above(0.2),
    ]
}

fn replay(kind: Kind, seed: u64) -> Outcome {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ kind as u64);
    let begins = 60 + dice.below(1_500);
    let mut world = World::new(&mut dice);
    let mut engine = TriggerEngine::new(triggers(), Budget::default());
    let mut seen_at = None;
    let culprit = 1 + dice.pick(FUNCTIONS.len() - 1); // what is largest anyway is no test
    let ends = if kind == Kind::Leak { begins + 6 * 1_800 } else { begins + 120 };
    for second in 0..ends {
        let since = second.checked_sub(begins);
        let seen = world.observe(second, since.map(|since| (kind, since)), &mut dice);
        let plain = match kind {
            Kind::Leak => since.is_some_and(|since| world.leaked(since) >= PLAIN * MIB),
            _ => since.is_some(),
        };
        if plain && seen_at.is_none() {
            seen_at = Some(second);
        }
        if let Some(fired) = engine.step(&seen, UNIX_EPOCH + Duration::from_secs(1_000_000 + second)).first()
        {
            let since = seen_at.unwrap_or(second);
            let late = match kind {
                Kind::Leak => (second / LEAK_WINDOW - since / LEAK_WINDOW) as f64,
                _ => (second - since) as f64 / WINDOW,
            };
            return outcome(kind, fired, culprit, late, &world, &mut dice);
        }
    }
    Outcome { windows: None, named: false, named_without: false }
}

fn outcome(
    kind: Kind,
    fired: &Fired,
    culprit: usize,
    windows: f64,
    world: &World,
    dice: &mut Dice,
) -> Outcome {
    let right = fired.kind
        == match kind {
            Kind::Cpu => "cpu",
            Kind::Tasks => "tasks",
            Kind::Pool => "wait",
            Kind::Leak => "leak",
        };
    let (what, name) = match kind {
        Kind::Cpu => ("cpu", FUNCTIONS[culprit]),
        Kind::Leak => ("heap", FUNCTIONS[culprit]),
        Kind::Tasks => ("tasks", PLACES[1].name),
        Kind::Pool => ("waits", PLACES[2].name),
    };
    let before = world.profile(what, None, dice);
    let after = world.profile(what, Some(culprit), dice);
    let named = |before: Option<Profile>, place| {
        let evidence = [Evidence { what: what.to_owned(), before, after: Some(after.clone()) }];
        right && suspects(fired.kind, place, &evidence).first().is_some_and(|first| first.name == name)
    };
    Outcome {
        windows: Some(windows),
        named: named(Some(before), fired.place),
        named_without: named(None, None),
    }
}

/// A process as its counters show it.
struct World {
    cores: f64,
    level: f64,
    noise: f64,
    leak_a_second: f64,
}

impl World {
    fn new(dice: &mut Dice) -> Self {
        Self {
            cores: 0.2 + 0.5 * dice.uniform(),
            level: (100.0 + 300.0 * dice.uniform()) * MIB,
            noise: 0.0,
            leak_a_second: (30.0 + 60.0 * dice.uniform()) * MIB / 1_800.0,
        }
    }

    fn leaked(&self, since: u64) -> f64 {
        self.leak_a_second * since as f64
    }

    /// A second of it.
    fn observe(&mut self, second: u64, incident: Option<(Kind, u64)>, dice: &mut Dice) -> Observation {
        let is = |kind| incident.is_some_and(|(one, _)| one == kind);
        self.noise = 0.9 * self.noise + 0.436 * dice.normal();
        let leaked =
            incident.filter(|(kind, _)| *kind == Kind::Leak).map_or(0.0, |(_, since)| self.leaked(since));
        let mut seen = Observation::new(Duration::from_secs(second));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive and far below 2^53"
        )]
        let bytes = (self.level + leaked + 2.0 * MIB * self.noise).max(0.0) as u64;
        seen.memory_bytes = Some(bytes);
        seen.limit_bytes = Some(LIMIT << 20);
        // A burst now and then: shorter than a trigger asks for.
        let burst = if second % 97 < 4 { 0.9 } else { 0.0 };
        let more = if is(Kind::Cpu) { 1.3 + 0.3 * dice.uniform() } else { burst };
        seen.cpu_cores = Some((self.cores + more + 0.1 * dice.normal()).clamp(0.0, 2.0));
        seen.pressure = Some(0.02 * dice.uniform());
        seen.latency_p99 = Some(Duration::from_secs_f64(0.05 + 0.05 * dice.uniform()));
        let piled = incident.filter(|(kind, _)| *kind == Kind::Tasks).map_or(0, |(_, since)| 600 * since);
        let live = |at: usize, dice: &mut Dice| {
            20 * (at as u64 + 1) + dice.below(30) + if at == 1 { piled } else { 0 }
        };
        seen.tasks =
            (0..PLACES.len()).map(|at| TaskCount { place: PLACES[at], live: live(at, dice) }).collect();
        let stuck =
            incident.filter(|(kind, _)| *kind == Kind::Pool).map_or(0, |(_, since)| 1_000 * (since + 1));
        seen.waits = vec![
            WaitTime {
                place: PLACES[0],
                waiting: dice.below(3),
                mean: Duration::from_millis(dice.below(80)),
            },
            WaitTime {
                place: PLACES[2],
                waiting: dice.below(5),
                mean: Duration::from_millis(dice.below(20) + stuck),
            },
        ];
        seen
    }

    /// What a profiler would have: CPU by Poisson counts of samples, heap by estimates from samples of 512 KiB.
    fn profile(&self, what: &str, culprit: Option<usize>, dice: &mut Dice) -> Profile {
        let weights = [50.0, 20.0, 12.0, 9.0, 6.0, 3.0];
        let (kind, unit) = match what {
            "cpu" => ("samples", "count"),
            "heap" => ("inuse_space", "bytes"),
            "tasks" => ("goroutine", "count"),
            _ => ("delay", "nanoseconds"),
        };
        let seconds = if culprit.is_some() { 5.0 } else { 300.0 };
        let mut stacks = Vec::new();
        for (at, weight) in weights.iter().enumerate() {
            let guilty = culprit == Some(at);
            let value = match what {
                "cpu" => dice.poisson(self.cores * weight + if guilty { 90.0 } else { 0.0 }, seconds),
                "heap" => {
                    dice.poisson((weight * 2.0 + if guilty { 40.0 } else { 0.0 }) * 2.0, 1.0) * (512 << 10)
                }
                _ => continue,
            };
            stacks.push(stack(FUNCTIONS[at], value));
        }
        if stacks.is_empty() {
            let grows = if what == "tasks" { 1 } else { 2 };
            for (at, place) in PLACES.iter().enumerate() {
                let base = 50_000 * (at as i64 % 2) + dice.below(100) as i64; // what is always there is large
                let more = if culprit.is_some() && at == grows { 9_000 } else { 0 };
                stacks.push(stack(place.name, base + more));
            }
        }
        let kind = ValueKind::new(kind, unit);
        Profile {
            kinds: vec![kind.clone()],
            stacks,
            began: SystemTime::UNIX_EPOCH,
            duration: Duration::from_secs_f64(seconds),
            period: 10_000_000,
            period_kind: kind,
            comments: Vec::new(),
            mappings: vec![],
        }
    }
}

fn stack(function: &str, value: i64) -> Stack {
    let frame = Frame::named(function);
    Stack { frames: vec![frame], values: vec![value], labels: Vec::new() }
}

/// Half an hour without an incident; captures.
fn quiet(seed: u64) -> usize {
    let mut dice = Dice(seed ^ 0xD1CE);
    let mut world = World::new(&mut dice);
    let mut engine = TriggerEngine::new(triggers(), Budget::default());
    (0..1_800)
        .map(|second| {
            let seen = world.observe(second, None, &mut dice);
            engine.step(&seen, UNIX_EPOCH + Duration::from_secs(1_000_000 + second)).len()
        })
        .sum()
}

/// The alarm behind the trigger, over half hours of a quiet family.
fn alarms(family: &Family, first: u64, windows: u64) -> usize {
    let mut alarm = LeakAlarm::new(Duration::from_secs(1_800), TrendOptions::default());
    let verdicts = (first..first + windows).map(|seed| family.series(seed).verdict(&TrendOptions::default()));
    verdicts.filter(|verdict| alarm.judge(verdict.clone()).is_some()).count()
}

/// Seeded chance (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick(&mut self, of: usize) -> usize {
        usize::try_from(self.below(of as u64)).unwrap_or(0)
    }

    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// How many come in so many seconds, at that rate.
    fn poisson(&mut self, rate: f64, seconds: f64) -> i64 {
        let mut left = rate * seconds;
        let mut count = -1;
        while left > 0.0 {
            left += self.uniform().ln();
            count += 1;
        }
        count.max(0)
    }
}
