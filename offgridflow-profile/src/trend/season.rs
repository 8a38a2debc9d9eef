use super::Point;
use super::floor::floor_series;
use super::steps::median;
use super::theil_sen::median_slope;

/// Bins a window is cut into while a period is sought.
const BINS: usize = 360;
/// Fewest periods that show a season.
const PERIODS: usize = 3;
/// Shortest period sought, in bins: shorter ones fit into the blocks of the floor several times.
const SHORTEST: usize = 12;
/// A swing below this is none, bytes: a page.
const LEAST: f64 = 4_096.0;
/// How alike two periods that follow each other must be (correlation), each pair of them.
const ALIKE: f64 = 0.8;

/// A pattern that comes back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Season {
    bin: f64,          // seconds
    began: f64,        // seconds
    profile: Vec<f64>, // bytes above the lowest phase, one a bin of the period
    window: f64,       // seconds
}

impl Season {
    /// The season of `points`, if at least three periods of it look alike.
    pub(super) fn of(points: &[Point]) -> Option<Self> {
        let (first, last) = (points.first()?, points.last()?);
        let (began, window) = (first.seconds, last.seconds - first.seconds);
        let bin = window / BINS as f64;
        let levels = binned(points, began, bin)?;
        let period = period(&detrended(&levels, median_slope(&floor_series(points))? * bin))?;
        let growth = median(pairs(&levels, period).map(|(a, b)| b - a).collect()) / period as f64;
        let level = detrended(&levels, growth);
        let profile =
            (0..period).map(|phase| median(level.iter().skip(phase).step_by(period).copied().collect()));
        let profile: Vec<f64> = profile.collect();
        let (lowest, highest) = ends(&profile);
        let profile = profile.iter().map(|bytes| bytes - lowest).collect();
        (highest - lowest >= LEAST).then_some(Self { bin, began, profile, window })
    }

    pub(super) fn seconds(&self) -> f64 {
        self.profile.len() as f64 * self.bin
    }

    /// `points` without the pattern.
    pub(super) fn removed_from(&self, points: &[Point]) -> Vec<Point> {
        points.iter().map(|point| Point { bytes: point.bytes - self.at(point.seconds), ..*point }).collect()
    }

    /// Between the middles of two bins, a straight line.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at or above 0, below the length"
    )]
    fn at(&self, seconds: f64) -> f64 {
        let n = self.profile.len();
        let phase = ((seconds - self.began) / self.bin - 0.5).rem_euclid(n as f64);
        let (index, share) = ((phase as usize).min(n - 1), phase.fract());
        self.profile[index] * (1.0 - share) + self.profile[(index + 1) % n] * share
    }

    /// What the variance of Mann–Kendall's S grows by. The pattern is taken from the very noise that is tested: of k periods a share
    /// 1/k of it goes, while the trend, which is taken from one period to the next, keeps all of its own.
    pub(super) fn inflation(&self) -> f64 {
        let periods = self.window / self.seconds();
        (periods + 1.0) / (periods - 1.0)
    }
}

/// The mean of each bin, gaps bridged by the last one seen; none where a third of the bins is empty.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the number of bins")]
fn binned(points: &[Point], began: f64, bin: f64) -> Option<Vec<f64>> {
    let mut sums = vec![(0.0, 0_u32); BINS];
    for point in points {
        let (sum, count) = &mut sums[(((point.seconds - began) / bin) as usize).min(BINS - 1)];
        (*sum, *count) = (*sum + point.bytes, *count + 1);
    }
    let seen = sums.iter().filter(|(_, count)| *count > 0).count();
    let mut last = points[0].bytes;
    let bridge = |(sum, count): &(f64, u32)| {
        last = if *count > 0 { sum / f64::from(*count) } else { last };
        last
    };
    (seen * 3 >= BINS * 2).then(|| sums.iter().map(bridge).collect())
}

fn detrended(levels: &[f64], growth: f64) -> Vec<f64> {
    levels.iter().enumerate().map(|(index, bytes)| bytes - growth * index as f64).collect()
}

fn pairs(levels: &[f64], lag: usize) -> impl Iterator<Item = (f64, f64)> + '_ {
    levels.iter().copied().zip(levels[lag..].iter().copied())
}

/// The lag at which the series resembles itself most, if every period resembles the one before.
fn period(levels: &[f64]) -> Option<usize> {
    let likeness = |lag: usize| {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs(levels, lag).unzip();
        correlation(&a, &b)
    };
    let all: Vec<f64> = (SHORTEST..=BINS / PERIODS).map(likeness).collect();
    let best = all.iter().copied().fold(f64::MIN, f64::max);
    let lag = SHORTEST + all.iter().position(|one| *one >= best - 0.02)?;
    let peak = (lag..(lag + lag / 4).min(BINS / PERIODS + 1))
        .max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)))?;
    let periods: Vec<&[f64]> = levels.chunks_exact(peak).collect();
    periods.windows(2).all(|two| correlation(two[0], two[1]) >= ALIKE).then_some(peak)
}

fn ends(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
}

/// Pearson's.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let dot = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    let spread = (dot(&|x, _| x * x) * dot(&|_, y| y * y)).sqrt();
    if spread > 0.0 { dot(&|x, y| x * y) / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(bytes: impl Fn(f64) -> f64) -> Vec<Point> {
        (0..1_800).map(f64::from).map(|seconds| Point { seconds, bytes: bytes(seconds) }).collect()
    }

    #[test]
    fn a_season_is_found_and_taken_out() {
        let series = points(|t| 1e9 + 1e6 * (std::f64::consts::TAU * t / 450.0).sin() + 200.0 * t);
        let season = Season::of(&series).unwrap();
        assert!((season.seconds() - 450.0).abs() <= 5.0, "{}", season.seconds());
        let left = season.removed_from(&series);
        assert!((median_slope(&floor_series(&left)).unwrap() - 200.0).abs() < 40.0);
    }

    #[test]
    fn a_ramp_has_no_season() {
        assert_eq!(Season::of(&points(|t| 3.0 * t)), None);
    }
}
