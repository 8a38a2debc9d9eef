//! A load, replicas and an autoscaler, second by second.

use std::time::Duration;

use crate::autoscale::{Capacity, Controller, Hpa, Pod, PodState, Replica, Resource, Use};

/// How often the controller looks, and what of the past the metrics average over.
const TICK: u64 = 15;
/// No simulation is longer.
pub(super) const LONGEST: Duration = Duration::from_secs(31 * 86_400);

/// What an autoscaler did with a load.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Course {
    /// Each look of the controller.
    pub ticks: Vec<Tick>,
    /// Seconds in which more was asked than the ready replicas do within the objective.
    pub breach_secs: u64,
    /// Replica-seconds beyond what was needed, the least number of replicas aside.
    pub waste_replica_secs: u64,
    /// Replica-seconds in all.
    pub replica_secs: u64,
}

/// One look of the controller.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Tick {
    /// Seconds since the start.
    pub at_secs: u64,
    /// Requests a second since the look before.
    pub per_sec: f64,
    /// Replicas asked for, after this look.
    pub replicas: u32,
    /// Replicas that take requests, before it.
    pub ready: u32,
    /// What the metrics wanted.
    pub wanted: u32,
    /// How many would have been enough; no more than there may be.
    pub needed: u32,
    /// Average use of a ready replica's request, in percent.
    pub cpu_percent: u64,
    /// The same of memory.
    pub memory_percent: u64,
}

impl Course {
    /// How often the number of replicas changed.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.ticks.windows(2).filter(|pair| pair[0].replicas != pair[1].replicas).count()
    }

    /// The most replicas there were.
    #[must_use]
    pub fn peak(&self) -> u32 {
        self.ticks.iter().map(|tick| tick.replicas).max().unwrap_or(0)
    }
}

/// What `hpa` does with `demand` (requests a second at an instant) for `length`, from its least number of replicas on, all of them ready.
///
/// Starting replicas take no requests and count as Kubernetes counts them. Where fewer are asked for, the youngest go, at once. Time-outs,
/// retries and the users who leave are not modelled: what is too much is too much for that second only.
///
/// ```
/// use {offgridflow_loadtest::autoscale::*, std::time::Duration};
/// let cpu = Use { request: 500, idle: 25, full: 500, limit: None };
/// let memory = Use { request: 256 << 20, idle: 64 << 20, full: 128 << 20, limit: None };
/// let replica = Replica { capacity: Capacity::Each(100.0), starts_in: Duration::from_secs(20), cpu, memory };
/// let mut hpa = Hpa::new("api", 2, 10);
/// hpa.targets.push(Target { resource: Resource::Cpu, percent: 70 });
/// let hour = Duration::from_secs(3_600);
/// let course = simulate(&hpa, &replica, |at| if at < hour / 2 { 100.0 } else { 600.0 }, hour);
/// assert_eq!(course.peak(), 9); // 6 × 100 % ÷ 70 %
/// assert!(course.breach_secs < 90, "until they are there: {}", course.breach_secs);
/// ```
#[must_use]
pub fn simulate(hpa: &Hpa, replica: &Replica, demand: impl Fn(Duration) -> f64, length: Duration) -> Course {
    let mut world = World::new(hpa, replica);
    let mut controller = Controller::new(hpa.clone());
    let mut course = Course { ticks: Vec::new(), breach_secs: 0, waste_replica_secs: 0, replica_secs: 0 };
    for at in 0..=length.min(LONGEST).as_secs() {
        let per_sec = demand(Duration::from_secs(at));
        world.second(at, per_sec, &mut course);
        if at % TICK == 0 {
            course.ticks.push(world.look(at, &mut controller));
        }
    }
    course
}

/// How many replicas memory alone keeps without any load, and so for ever: more than the least where the requests are too small for what idle replicas hold.
///
/// ```
/// use {offgridflow_loadtest::autoscale::*, std::time::Duration};
/// let mut hpa = Hpa::new("api", 2, 10);
/// hpa.targets.push(Target { resource: Resource::Memory, percent: 80 });
/// let idle = |percent| Use { request: 100, idle: percent, full: percent, limit: None };
/// let kept = [72, 70, 60, 40].map(|percent| pinned(&hpa, idle(percent)));
/// assert_eq!(kept, [10, 7, 3, 2]);
/// ```
#[must_use]
pub fn pinned(hpa: &Hpa, memory: Use) -> u32 {
    let mut replicas = hpa.max;
    loop {
        let idle = Pod { usage: Some(memory.idle), request: memory.request, state: PodState::Ready };
        let pods = |resource| match resource {
            Resource::Memory => vec![idle; replicas as usize],
            Resource::Cpu => vec![Pod { usage: Some(0), request: 1, ..idle }; replicas as usize],
        };
        let wanted = Controller::new(hpa.clone()).desired(replicas, pods).unwrap_or(replicas);
        let next = wanted.clamp(hpa.min, replicas);
        if next == replicas {
            return replicas;
        }
        replicas = next;
    }
}

/// Replicas, and what they did since the last look.
struct World<'a> {
    hpa: &'a Hpa,
    replica: &'a Replica,
    ready_from: Vec<u64>, // one a replica, oldest first
    asked: f64,           // requests since the last look
    seconds: f64,
}

impl<'a> World<'a> {
    fn new(hpa: &'a Hpa, replica: &'a Replica) -> Self {
        let ready_from = vec![0; hpa.min as usize];
        Self { hpa, replica, ready_from, asked: 0.0, seconds: 0.0 }
    }

    fn replicas(&self) -> u32 {
        u32::try_from(self.ready_from.len()).unwrap_or(u32::MAX)
    }

    fn ready(&self, at: u64) -> u32 {
        u32::try_from(self.ready_from.iter().filter(|from| **from <= at).count()).unwrap_or(u32::MAX)
    }

    fn needed(&self, per_sec: f64) -> u32 {
        self.replica.capacity.needed(per_sec, self.hpa.max).unwrap_or(self.hpa.max).max(self.hpa.min)
    }

    fn second(&mut self, at: u64, per_sec: f64, course: &mut Course) {
        self.asked += per_sec;
        self.seconds += 1.0;
        course.breach_secs += u64::from(per_sec > self.replica.capacity.of(self.ready(at)));
        course.waste_replica_secs += u64::from(self.replicas().saturating_sub(self.needed(per_sec)));
        course.replica_secs += u64::from(self.replicas());
    }

    fn look(&mut self, at: u64, controller: &mut Controller) -> Tick {
        let (per_sec, ready, current) = (self.asked / self.seconds, self.ready(at), self.replicas());
        let load = load(self.replica.capacity, per_sec, ready);
        let wanted = controller.desired(current, |resource| self.pods(resource, at, load)).unwrap_or(current);
        let replicas = controller.reconcile(Duration::from_secs(at), current, wanted);
        let starts = at + self.replica.starts_in.as_secs();
        self.ready_from.resize(replicas as usize, starts);
        (self.asked, self.seconds) = (0.0, 0.0);
        let percent = |used: Use| used.at(load) * 100 / used.request.max(1);
        Tick {
            at_secs: at,
            per_sec,
            replicas,
            ready,
            wanted,
            needed: self.needed(per_sec),
            cpu_percent: percent(self.replica.cpu),
            memory_percent: percent(self.replica.memory),
        }
    }

    fn pods(&self, resource: Resource, at: u64, load: f64) -> Vec<Pod> {
        let used = match resource {
            Resource::Cpu => self.replica.cpu,
            Resource::Memory => self.replica.memory,
        };
        let pod = |from: &u64| match *from <= at {
            true => Pod { usage: Some(used.at(load)), request: used.request, state: PodState::Ready },
            false => Pod { usage: Some(used.idle), request: used.request, state: PodState::Unready },
        };
        self.ready_from.iter().map(pod).collect()
    }
}

/// What each ready replica is asked for, as a share of what it can do.
fn load(capacity: Capacity, per_sec: f64, ready: u32) -> f64 {
    let most = capacity.of(ready);
    if most > 0.0 { per_sec / most } else { 0.0 }
}
