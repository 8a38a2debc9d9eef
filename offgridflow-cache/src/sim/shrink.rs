//! What a failure needs: steps and mishaps are left out as long as the same promise breaks (after delta debugging, Zeller &
//! Hildebrandt 2002).

use std::collections::HashSet;

use super::plan::Step;
use super::play::{Plan, play};
use super::store::Store;
use super::world::Mishaps;

#[derive(Debug, Clone)]
enum Part {
    Step(Step),
    Mishap(u64),
}

/// Replays at most; a trace that is not minimal by then is short all the same.
const REPLAYS: u32 = 3_000;

/// The least of `plan` that still breaks `promise`; `mishaps` are those that it drew, of so many in a hundred messages.
pub(super) fn shrink<S: Store>(
    plan: &Plan,
    mishaps: &[u64],
    share: u64,
    promise: &str,
    store: &dyn Fn() -> S,
) -> Plan {
    let mut parts: Vec<Part> = mishaps.iter().copied().map(Part::Mishap).collect();
    parts.extend(plan.steps.iter().cloned().map(Part::Step));
    let mut replays = 0;
    let mut breaks = |parts: &[Part]| {
        replays += 1;
        let broken = play(&rebuilt(plan, parts, share), store(), false).broken;
        broken.is_some_and(|broken| broken.promise == promise).then_some(replays)
    };
    if breaks(&parts).is_none() {
        return plan.clone(); // all of it, then
    }
    let mut size = parts.len().div_ceil(2);
    loop {
        let before = parts.len();
        let spent = leave_out(&mut parts, size, &mut breaks);
        if spent > REPLAYS || (size == 1 && parts.len() == before) {
            return rebuilt(plan, &parts, share);
        }
        size = size.div_ceil(2);
    }
}

/// Leaves out every stretch of `size` parts that is not needed; how many replays were spent so far.
fn leave_out(parts: &mut Vec<Part>, size: usize, breaks: &mut impl FnMut(&[Part]) -> Option<u32>) -> u32 {
    let (mut end, mut spent) = (parts.len(), 0);
    while end > 0 && spent <= REPLAYS {
        let begin = end.saturating_sub(size);
        let fewer = [&parts[..begin], &parts[end..]].concat();
        if let Some(replays) = breaks(&fewer) {
            (*parts, spent) = (fewer, replays);
        }
        end = begin;
    }
    spent
}

fn rebuilt(plan: &Plan, parts: &[Part], share: u64) -> Plan {
    let mishap = |part: &Part| if let Part::Mishap(id) = part { Some(*id) } else { None };
    let step = |part: &Part| if let Part::Step(step) = part { Some(step.clone()) } else { None };
    let mishaps: HashSet<u64> = parts.iter().filter_map(mishap).collect();
    let steps = parts.iter().filter_map(step).collect();
    Plan { mishaps: Mishaps::Only(share, mishaps), steps, ..plan.clone() }
}
