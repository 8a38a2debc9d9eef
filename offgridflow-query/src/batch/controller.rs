//! How many rows a flush should have, and how many flushes should be under way: pure functions over what flushes took.

use std::time::Duration;

/// What one flush took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) rows: usize,
    pub(crate) took: Duration,
    /// Something was tried again: a deadlock, a busy database, a link that broke.
    pub(crate) trouble: bool,
    /// As many rows as were allowed, and as many flushes under way: others say little about a limit.
    pub(crate) saturated: bool,
}

/// How fast old samples are forgotten: a weight of 0.85 a sample remembers about seven.
const MEMORY: f64 = 0.85;
/// The share of a flush that its fixed cost may be; a larger flush would gain less than that.
const FIXED_SHARE: f64 = 0.05;
/// The share of the latency target that a flush is sized for.
const HEADROOM: f64 = 0.7;

/// Rows of the next flush, between two limits.
///
/// A flush is modelled as a fixed cost and a cost a row, fitted by least squares with exponential forgetting. The size goes
/// to where the fixed cost is a twentieth, unless that exceeds the latency target; by at most a factor of two a step. Every
/// other flush is a fifth smaller, because a line needs two sizes.
#[derive(Debug, Clone)]
pub(crate) struct SizeController {
    min: usize,
    max: usize,
    target: Option<Duration>,
    rows: f64, // within min..=max
    smaller: bool,
    fit: Fit,
}

impl SizeController {
    /// Starts at `min`, and stays there if that is `max`.
    pub(crate) fn between(min: usize, max: usize, target: Option<Duration>) -> Self {
        Self { min, max, target, rows: min as f64, smaller: false, fit: Fit::default() }
    }

    /// Rows of the next flush.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two sizes")]
    pub(crate) fn rows(&self) -> usize {
        let share = if self.smaller { 0.8 } else { 1.0 };
        ((self.rows * share) as usize).clamp(self.min, self.max)
    }

    pub(crate) fn observe(&mut self, sample: &Sample) {
        if self.min == self.max {
            return;
        }
        let (took, target) = (sample.took.as_secs_f64(), self.target.map(|target| target.as_secs_f64()));
        self.fit.add(sample.rows as f64, took);
        if sample.trouble || target.is_some_and(|target| took > target) {
            return self.go(self.rows / 2.0);
        }
        if !sample.saturated {
            return;
        }
        self.smaller = !self.smaller;
        let Some((fixed, a_row)) = self.fit.line() else { return self.go(self.rows * 2.0) };
        let knee = fixed / (FIXED_SHARE * a_row);
        let ceiling = target.map_or(f64::INFINITY, |target| (HEADROOM * target - fixed) / a_row);
        self.go(knee.min(ceiling));
    }

    fn go(&mut self, wanted: f64) {
        let step = wanted.clamp(self.rows / 2.0, self.rows * 2.0);
        self.rows = step.clamp(self.min as f64, self.max as f64);
    }
}

/// A line through weighted points.
#[derive(Debug, Clone, Copy, Default)]
struct Fit {
    weight: f64,
    n: f64,
    t: f64,
    nn: f64,
    nt: f64,
}

impl Fit {
    fn add(&mut self, n: f64, t: f64) {
        for sum in [&mut self.weight, &mut self.n, &mut self.t, &mut self.nn, &mut self.nt] {
            *sum *= MEMORY;
        }
        self.weight += 1.0;
        self.n += n;
        self.t += t;
        self.nn += n * n;
        self.nt += n * t;
    }

    /// Fixed cost and cost a row; `None` while the sizes seen are too alike, or the line makes no sense.
    fn line(&self) -> Option<(f64, f64)> {
        let mean = self.n / self.weight;
        let spread = self.nn / self.weight - mean * mean;
        if spread < (0.03 * mean).powi(2) {
            return None;
        }
        let slope = (self.nt / self.weight - mean * self.t / self.weight) / spread;
        let fixed = self.t / self.weight - slope * mean;
        (slope > 0.0).then_some((fixed.max(0.0), slope))
    }
}

/// Samples at one limit before it is judged.
const JUDGE_AFTER: u32 = 16;
/// Judgements for which a limit is kept before the next one up is tried again.
const KEEP_FOR: u32 = 16;
/// What one more flush under way must gain.
const GAIN: f64 = 1.05;

/// Flushes that may be under way, from one to a limit: climbs while one more gains at least 5 % of throughput, and halves
/// at trouble.
#[derive(Debug, Clone)]
pub(crate) struct FlightController {
    max: usize,
    limit: usize, // 1..=max
    adaptive: bool,
    rate: Vec<f64>, // rows a second of one flush, by how many are under way; 0: not known
    samples: u32,
    keep: u32,
}

impl FlightController {
    pub(crate) fn fixed(limit: usize) -> Self {
        Self { max: limit, limit, adaptive: false, rate: Vec::new(), samples: 0, keep: 0 }
    }

    pub(crate) fn up_to(max: usize) -> Self {
        Self { max, limit: 1, adaptive: true, rate: vec![0.0; max.saturating_add(1)], samples: 0, keep: 0 }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn observe(&mut self, sample: &Sample) {
        if !self.adaptive {
            return;
        }
        if sample.trouble {
            return self.go((self.limit / 2).max(1), KEEP_FOR);
        }
        if !sample.saturated {
            return;
        }
        let rate = sample.rows as f64 / sample.took.as_secs_f64().max(1e-9);
        let known = &mut self.rate[self.limit];
        *known =
            if self.samples == 0 { rate } else { *known + (rate - *known) / f64::from(self.samples + 1) };
        self.samples += 1;
        if self.samples >= JUDGE_AFTER {
            self.judge();
        }
    }

    fn judge(&mut self) {
        let throughput = |limit: usize| limit as f64 * self.rate[limit];
        let (limit, keep) = (self.limit, self.keep.saturating_sub(1));
        if limit > 1 && throughput(limit) < GAIN * throughput(limit - 1) {
            self.go(limit - 1, KEEP_FOR);
        } else if keep == 0 && limit < self.max {
            self.go(limit + 1, 0);
        } else {
            self.go(limit, keep);
        }
    }

    fn go(&mut self, limit: usize, keep: u32) {
        (self.limit, self.samples, self.keep) = (limit, 0, keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database with a fixed cost a flush and a cost a row, in seconds.
    #[derive(Clone, Copy)]
    struct Model {
        fixed: f64,
        a_row: f64,
    }

    impl Model {
        fn took(self, rows: usize, noise: f64) -> Duration {
            Duration::from_secs_f64((self.fixed + self.a_row * rows as f64) * noise)
        }

        fn rate(self, rows: usize) -> f64 {
            rows as f64 / (self.fixed + self.a_row * rows as f64)
        }
    }

    /// Noise within 10 %, from a fixed sequence.
    fn noise(turn: usize) -> f64 {
        0.9 + 0.2 * ((turn * 7_919) % 101) as f64 / 100.0
    }

    fn run(sizes: &mut SizeController, model: Model, flushes: usize) {
        for turn in 0..flushes {
            let rows = sizes.rows();
            let took = model.took(rows, noise(turn));
            sizes.observe(&Sample { rows, took, trouble: false, saturated: true });
        }
    }

    const NEAR: Model = Model { fixed: 0.001, a_row: 2e-6 };

    #[test]
    fn from_the_worst_size_to_nine_tenths_of_the_best_in_thirty_flushes() {
        let mut sizes = SizeController::between(64, 32_768, None);
        run(&mut sizes, NEAR, 30);
        assert!(NEAR.rate(sizes.rows()) >= 0.9 * NEAR.rate(32_768), "{} rows", sizes.rows());
        assert!(sizes.rows() < 32_768, "the knee is far below the limit");
    }

    #[test]
    fn a_round_trip_that_grows_and_shrinks_is_followed() {
        let mut sizes = SizeController::between(64, 32_768, None);
        let far = Model { fixed: 0.016, ..NEAR };
        run(&mut sizes, NEAR, 30);
        let before = sizes.rows();
        run(&mut sizes, far, 30);
        assert!(far.rate(sizes.rows()) >= 0.9 * far.rate(32_768), "{} rows", sizes.rows());
        assert!(sizes.rows() > before);
        run(&mut sizes, NEAR, 40);
        assert!(NEAR.rate(sizes.rows()) >= 0.9 * NEAR.rate(32_768), "{} rows", sizes.rows());
    }

    #[test]
    fn the_latency_target_is_kept_when_rows_get_a_hundred_times_larger() {
        let target = Duration::from_millis(50);
        let mut sizes = SizeController::between(64, 32_768, Some(target));
        run(&mut sizes, NEAR, 30);
        let large = Model { a_row: 2e-4, ..NEAR };
        run(&mut sizes, large, 30);
        assert!(large.took(sizes.rows(), 1.1) <= target, "{} rows", sizes.rows());
        let best_rows = 200; // (0.7 · 50 ms − 1 ms) / 0.2 ms, and something more
        assert!(large.rate(sizes.rows()) >= 0.9 * large.rate(best_rows), "{} rows", sizes.rows());
    }

    #[test]
    fn trouble_halves_the_size_and_small_flushes_change_nothing() {
        let mut sizes = SizeController::between(64, 4_096, None);
        run(&mut sizes, NEAR, 20);
        let before = sizes.rows();
        let idle = Sample { rows: 3, took: Duration::from_millis(1), trouble: false, saturated: false };
        sizes.observe(&idle);
        assert_eq!(sizes.rows(), before);
        sizes.observe(&Sample { trouble: true, ..idle });
        assert!(sizes.rows() <= before / 2 + 1);
    }

    #[test]
    fn a_fixed_size_stays() {
        let mut sizes = SizeController::between(500, 500, None);
        run(&mut sizes, NEAR, 10);
        assert_eq!(sizes.rows(), 500);
    }

    /// A server that works on at most `cores` flushes at a time.
    fn climb(cores: usize, flushes: usize) -> Vec<usize> {
        let mut flights = FlightController::up_to(8);
        let mut path = Vec::new();
        for turn in 0..flushes {
            let limit = flights.limit();
            let queued = (limit as f64 / cores as f64).max(1.0);
            let took = Duration::from_secs_f64(0.01 * queued * noise(turn));
            flights.observe(&Sample { rows: 1_000, took, trouble: false, saturated: true });
            path.push(limit);
        }
        path
    }

    #[test]
    fn as_many_flushes_as_the_server_has_use_for() {
        for cores in [1, 2, 4] {
            let path = climb(cores, 4_000);
            let settled = &path[400..];
            let right = settled.iter().filter(|&&limit| limit == cores).count();
            assert!(right * 10 >= settled.len() * 8, "{cores} cores: {right} of {}", settled.len());
            assert!(settled.iter().all(|&limit| limit <= cores + 2));
        }
    }

    #[test]
    fn trouble_halves_the_flushes_under_way() {
        let mut flights = FlightController::up_to(8);
        for turn in 0..400 {
            let took = Duration::from_millis(10).mul_f64(noise(turn));
            flights.observe(&Sample { rows: 1_000, took, trouble: false, saturated: true });
        }
        assert_eq!(flights.limit(), 8);
        let sample = Sample { rows: 1_000, took: Duration::from_millis(10), trouble: true, saturated: true };
        flights.observe(&sample);
        assert_eq!(flights.limit(), 4);
        assert_eq!(FlightController::fixed(3).limit(), 3);
    }
}
