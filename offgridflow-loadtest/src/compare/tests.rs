//! How often a comparison is wrong, over runs whose truth is known.

use super::*;
use crate::histogram::as_f64;

/// Runs whose percentile drifts, jumps and has outliers, as those of a shared machine do.
struct Machine {
    rng: OpRng,
    level: f64,
    run: u64,
    slower: f64, // B, in ln
}

impl Machine {
    fn run(&mut self, side: Side) -> Ran {
        let normal = |rng: &OpRng| {
            libm::sqrt(-2.0 * libm::log(1.0 - rng.unit())) * libm::cos(std::f64::consts::TAU * rng.unit())
        };
        self.level = 0.8 * self.level + 0.03 * normal(&self.rng); // neighbours resemble each other
        self.run += 1;
        let drift = 0.002 * as_f64(self.run); // it grows slower all the time
        let jump = if self.run > 25 { 0.1 } else { 0.0 }; // and another tenth in the middle
        let outlier = if self.rng.chance(0.03) { 0.5 } else { 0.0 };
        let own = if side == Side::B { self.slower } else { 0.0 };
        let log = self.level + 0.04 * normal(&self.rng) + drift + jump + outlier + own;
        Ran { seconds: 0.02 * libm::exp(log), failed: 0.0 }
    }
}

fn compared(seed: u64, slower: f64, blocks: usize) -> Comparison {
    let mut machine = Machine { rng: OpRng::new(seed, 77), level: 0.0, run: 0, slower };
    let mut compare = Compare::default().seed(seed).blocks(blocks).tolerance(0.0);
    compare.cool_down = Duration::ZERO;
    let mut run = async |side| Ok::<_, ConfigError>(Some(machine.run(side)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(compare.over(&mut run)).poll(&mut context) {
        std::task::Poll::Ready(compared) => compared.expect("sound"),
        std::task::Poll::Pending => unreachable!("it waits for nothing"),
    }
}

fn share(seeds: std::ops::Range<u64>, is: impl Fn(u64) -> bool) -> f64 {
    let n = as_f64(seeds.end - seeds.start);
    as_f64(seeds.filter(|&seed| is(seed)).count() as u64) / n
}

#[test]
fn targets_that_are_alike_are_called_slower_at_most_once_in_twenty() {
    let slower = share(0..4_000, |seed| compared(seed, 0.0, 16).finding == Finding::Slower);
    // One-sided 99 % bound of 4 000 comparisons at 5 %.
    assert!(slower <= 0.058, "{slower}");
}

/// The control: all runs of A, then all of B, which is what people do.
#[test]
fn one_after_the_other_the_same_machine_is_called_slower_nearly_always() {
    let alarms = share(0..200, |seed| {
        let mut machine = Machine { rng: OpRng::new(seed, 77), level: 0.0, run: 0, slower: 0.0 };
        let a: Vec<_> = (0..24).map(|_| machine.run(Side::A)).collect();
        let b: Vec<_> = (0..24).map(|_| machine.run(Side::B)).collect();
        let logs: Vec<_> = a.iter().zip(&b).map(|(a, b)| libm::log(b.seconds / a.seconds)).collect();
        ranks::exceeds_zero(&logs) <= 0.05
    });
    assert!(alarms > 0.9, "{alarms}");
}

#[test]
fn a_tenth_more_is_caught_nine_times_in_ten_and_its_interval_holds_it() {
    let slower = libm::log(1.1);
    let caught = share(0..1_000, |seed| compared(seed, slower, 16).finding == Finding::Slower);
    assert!(caught >= 0.9, "{caught}");
    let held = share(0..1_000, |seed| {
        let (low, high) = compared(seed, slower, 16).interval;
        low <= 1.1 && 1.1 <= high
    });
    assert!(held >= 0.93, "{held}");
}

#[test]
fn what_cannot_be_told_is_undecided_and_what_is_near_is_alike() {
    let far = compared(3, libm::log(0.7), 12);
    assert_eq!((far.finding, far.exit_code()), (Finding::Faster, 0));
    let blocks = |failed_b: f64, seconds_b: f64, n: usize| {
        let ran = |side| match side {
            Side::A => (side, Ran { seconds: 0.01, failed: 0.0 }),
            Side::B => (side, Ran { seconds: seconds_b, failed: failed_b }),
        };
        vec![vec![ran(Side::A), ran(Side::B), ran(Side::B), ran(Side::A)]; n]
    };
    let found = |blocks: &[Vec<(Side, Ran)>], spoiled| Comparison::of(blocks, spoiled, 0.95, 0.02).finding;
    assert_eq!(found(&blocks(0.0, 0.010_1, 8), 0), Finding::Alike);
    assert_eq!(found(&blocks(0.0, 0.010_3, 8), 0), Finding::Slower);
    assert_eq!(found(&blocks(0.05, 0.005, 8), 0), Finding::Fails);
    assert_eq!(found(&blocks(0.0, 0.02, 5), 0), Finding::Invalid);
    assert_eq!(found(&blocks(0.0, 0.02, 8), 17), Finding::Invalid);
    assert_eq!(compared(5, 0.0, 6).exit_code(), 3, "six blocks of a noisy machine");
}

#[test]
fn blocks_are_symmetric_and_a_spoiled_one_is_run_to_its_end_and_again() {
    let mut order = Vec::new();
    let mut run = async |side| {
        order.push(side);
        let spoiled = order.len() == 6; // one of the second block
        Ok::<_, ConfigError>((!spoiled).then_some(Ran { seconds: 0.01, failed: 0.0 }))
    };
    let compare = Compare::default().blocks(6);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(found) = std::pin::pin!(compare.over(&mut run)).poll(&mut context) else {
        unreachable!("it waits for nothing")
    };
    let found = found.expect("sound");
    assert_eq!((order.len(), found.spoiled, found.blocks.len()), (28, 1, 6));
    assert!(
        order.chunks(4).all(|block| block[0] == block[3] && block[1] == block[2] && block[0] != block[1])
    );
    let first = |side| order.chunks(4).filter(|block| block[0] == side).count();
    assert!(first(Side::A) > 0 && first(Side::B) > 0, "the coin has two sides");
    assert_eq!(compare.clone().blocks(5).validate().expect_err("too few").field, "blocks");
    assert_eq!(compare.clone().percentile(0.97).validate().expect_err("not held").field, "percentile");
}
