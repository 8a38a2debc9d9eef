//! How many replicas the usage of pods wants.

use crate::autoscale::{Resource, Target, Tolerance};

/// A pod as the metrics server and its status show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pod {
    /// What it uses, in thousandths of a core or bytes; `None` without a sample.
    pub usage: Option<u64>,
    /// What it requests, in the same unit.
    pub request: u64,
    /// Whether it counts.
    pub state: PodState,
}

/// The state of a pod, as far as the calculation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodState {
    /// It works.
    Ready,
    /// It starts: what it uses of the processor says nothing yet.
    Unready,
    /// It waits for a node.
    Pending,
    /// It is being deleted, or has failed: ignored.
    Gone,
}

/// What one metric wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// Replicas.
    pub replicas: u32,
    /// The average utilisation that was seen, in percent of the requests, cut to an integer as Kubernetes does.
    pub percent: u64,
}

/// How many replicas `pods` want for `target` while `current` are asked for; `None` where nothing is known of any of them, or where one has no
/// request, so that there is nothing to be percent of.
///
/// Pods without a sample are taken to use all of their request when there seem to be too many replicas, and nothing when there seem to be too
/// few; starting pods nothing when there seem to be too few. If that turns the direction round, nothing changes.
///
/// ```
/// use offgridflow_loadtest::autoscale::{Pod, PodState, Resource, Target, Tolerance, calculate};
/// let pods = [300, 500, 700].map(|usage| Pod { usage: Some(usage), request: 1_000, state: PodState::Ready });
/// let target = Target { resource: Resource::Cpu, percent: 30 };
/// assert_eq!(calculate(&pods, 3, target, Tolerance::default()).unwrap().replicas, 5); // 50 % ÷ 30 % × 3
/// ```
#[must_use]
pub fn calculate(pods: &[Pod], current: u32, target: Target, tolerance: Tolerance) -> Option<Proposal> {
    let counted = Counted::of(pods, target.resource)?;
    let percent = counted.percent()?;
    let ratio = ratio(percent, target);
    let unready = counted.unready.as_slice();
    let replicas = if counted.missing.is_empty() && (unready.is_empty() || ratio <= 1.0) {
        if tolerance.holds(ratio) { current } else { ceil(ratio, counted.seen.len()) }
    } else {
        counted.filled(ratio, target).map_or(current, |(percent, pods)| {
            settle(self::ratio(percent, target), ratio, pods, current, tolerance)
        })
    };
    Some(Proposal { replicas, percent })
}

/// What the second look, with assumptions for pods that say nothing, makes of it.
fn settle(ratio: f64, before: f64, pods: usize, current: u32, tolerance: Tolerance) -> u32 {
    let turned = (before < 1.0 && ratio > 1.0) || (before > 1.0 && ratio < 1.0);
    if tolerance.holds(ratio) || turned {
        return current;
    }
    let replicas = ceil(ratio, pods);
    let contradicts = (ratio < 1.0 && replicas > current) || (ratio > 1.0 && replicas < current);
    if contradicts { current } else { replicas }
}

/// Usage and request of each pod.
type Uses = Vec<(u64, u64)>;

struct Counted {
    seen: Uses,
    missing: Vec<u64>, // requests of pods without a sample
    unready: Vec<u64>, // of pods that start, where that matters
}

impl Counted {
    /// `None` where a pod has no request.
    fn of(pods: &[Pod], resource: Resource) -> Option<Self> {
        let mut counted = Self { seen: Vec::new(), missing: Vec::new(), unready: Vec::new() };
        for pod in pods.iter().filter(|pod| pod.state != PodState::Gone) {
            if pod.request == 0 {
                return None;
            }
            let starts = pod.state == PodState::Unready && resource == Resource::Cpu;
            match pod.usage {
                _ if pod.state == PodState::Pending || (starts && pod.usage.is_some()) => {
                    counted.unready.push(pod.request);
                }
                Some(usage) => counted.seen.push((usage, pod.request)),
                None => counted.missing.push(pod.request),
            }
        }
        Some(counted)
    }

    fn percent(&self) -> Option<u64> {
        percent(&self.seen)
    }

    /// The utilisation with assumptions for those of which nothing is known, and of how many pods that is.
    fn filled(&self, ratio: f64, target: Target) -> Option<(u64, usize)> {
        let mut uses = self.seen.clone();
        let assumed = |request: &u64| match ratio {
            ratio if ratio < 1.0 => request * u64::from(target.percent.max(100)) / 100,
            ratio if ratio > 1.0 => 0,
            _ => *request,
        };
        if ratio != 1.0 {
            uses.extend(self.missing.iter().map(|request| (assumed(request), *request)));
        }
        if ratio > 1.0 {
            uses.extend(self.unready.iter().map(|request| (0, *request)));
        }
        Some((percent(&uses)?, uses.len()))
    }
}

fn percent(uses: &[(u64, u64)]) -> Option<u64> {
    let (used, requested) = uses.iter().fold((0, 0), |(used, requested), (u, r)| (used + u, requested + r));
    (requested > 0).then(|| used * 100 / requested)
}

#[expect(clippy::cast_precision_loss, reason = "percents")]
fn ratio(percent: u64, target: Target) -> f64 {
    percent as f64 / f64::from(target.percent)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a number of pods"
)]
fn ceil(ratio: f64, pods: usize) -> u32 {
    (ratio * pods as f64).ceil() as u32
}
