//! The Universal Scalability Law, fitted.

use crate::{histogram::as_f64, rng::OpRng};

/// How a target scales: with `n` workers it answers `n·λ / (1 + α(n−1) + βn(n−1))` a second (Gunther, *Guerrilla Capacity Planning*, 2007).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Scaling {
    /// λ: answers a second of one worker alone.
    pub lambda: f64,
    /// α, contention: the share of the work that is done by one at a time. The rate ends at λ/α, however many workers.
    pub alpha: f64,
    /// β, crosstalk: what every pair of workers costs. Above zero, more workers get less from some number on.
    pub beta: f64,
    /// N*: with how many workers the rate is highest, `√((1−α)/β)`; `None` without crosstalk.
    pub peak_workers: Option<f64>,
    /// The highest rate by this law: at N*, or λ/α; `None` if it has no end.
    pub peak_per_sec: Option<f64>,
    /// How much of the variation of the rates it explains.
    pub r_squared: f64,
    /// The 95 % interval of α, by drawing the runs of each level anew (bootstrap, Efron 1979); `None` of a single round.
    pub alpha_interval: Option<(f64, f64)>,
    /// That of β.
    pub beta_interval: Option<(f64, f64)>,
    /// That of N*, over the draws in which there is one; `None` too if there is none in more than a twentieth of them.
    pub peak_interval: Option<(f64, f64)>,
}

/// How many times runs are drawn anew.
const DRAWS: u64 = 500;

/// Fits the law to runs of (workers, answers a second). Relative errors count alike, so that one worker says as much as a hundred; α and β are not negative.
///
/// `None` for fewer than four numbers of workers, or rates that are not positive.
///
/// ```
/// let law = |n: f64| n * 100.0 / (1.0 + 0.05 * (n - 1.0) + 0.001 * n * (n - 1.0));
/// let runs: Vec<(usize, f64)> = [1, 2, 4, 8, 16, 32, 64].map(|n| (n, law(n as f64))).into();
/// let found = offgridflow_loadtest::fit_scaling(&runs, 0).expect("seven levels");
/// assert!((found.alpha - 0.05).abs() < 1e-9 && (found.beta - 0.001).abs() < 1e-9);
/// assert!((found.peak_workers.expect("crosstalk") - 30.8).abs() < 0.1);
/// ```
#[must_use]
pub fn fit_scaling(runs: &[(usize, f64)], seed: u64) -> Option<Scaling> {
    let mut levels: Vec<usize> = runs.iter().map(|run| run.0).collect();
    levels.sort_unstable();
    levels.dedup();
    let usable = runs.iter().all(|run| run.0 > 0 && run.1 > 0.0 && run.1.is_finite());
    if levels.len() < *super::LEVELS.start() || !usable {
        return None;
    }
    let law = Law::fit(runs)?;
    let draws = drawn(runs, &levels, seed);
    let of = |value: fn(&Law) -> f64| interval(draws.iter().map(value).collect());
    let peaks: Vec<f64> = draws.iter().filter_map(Law::peak_workers).collect();
    let peak_interval =
        (!draws.is_empty() && peaks.len() * 20 >= draws.len() * 19).then(|| interval(peaks)).flatten();
    Some(Scaling {
        lambda: law.lambda,
        alpha: law.alpha,
        beta: law.beta,
        peak_workers: law.peak_workers(),
        peak_per_sec: law.peak_per_sec(),
        r_squared: law.r_squared(runs),
        alpha_interval: of(|law| law.alpha),
        beta_interval: of(|law| law.beta),
        peak_interval,
    })
}

/// Fits of runs that are drawn anew, level by level; none of a single round, whose draws would all be the same.
fn drawn(runs: &[(usize, f64)], levels: &[usize], seed: u64) -> Vec<Law> {
    let of = |level: usize| runs.iter().copied().filter(|run| run.0 == level).collect::<Vec<_>>();
    let by_level: Vec<Vec<(usize, f64)>> = levels.iter().map(|&level| of(level)).collect();
    if by_level.iter().any(|level| level.len() < 2) {
        return Vec::new();
    }
    let draw = |number: u64| {
        let rng = OpRng::new(seed, number);
        let again = by_level.iter().flat_map(|level| {
            level.iter().map(|_| rng.choose(level).copied().unwrap_or(level[0])).collect::<Vec<_>>()
        });
        Law::fit(&again.collect::<Vec<_>>())
    };
    (0..DRAWS).filter_map(draw).collect()
}

fn interval(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values.get(values.len() * part / 1_000).copied();
    at(25).zip(at(975))
}

/// The three parameters.
#[derive(Debug, Clone, Copy)]
struct Law {
    lambda: f64,
    alpha: f64,
    beta: f64,
}

impl Law {
    /// `n/X = (1 + α(n−1) + βn(n−1)) / λ` is linear in its three coefficients. Weighted by `(X/n)²`, its squares are those of relative errors. Of all
    /// fits with some coefficients at zero, the best that has none below.
    fn fit(runs: &[(usize, f64)]) -> Option<Self> {
        let subsets: [&[usize]; 4] = [&[0, 1, 2], &[0, 1], &[0, 2], &[0]];
        let fits = subsets.into_iter().filter_map(|used| {
            let found = least_squares(runs, used)?;
            (found[0] > 0.0 && found[1] >= 0.0 && found[2] >= 0.0).then_some(found)
        });
        let best = fits.min_by(|one, two| error(runs, one).total_cmp(&error(runs, two)))?;
        Some(Self { lambda: 1.0 / best[0], alpha: best[1] / best[0], beta: best[2] / best[0] })
    }

    fn at(&self, workers: f64) -> f64 {
        let slower = 1.0 + self.alpha * (workers - 1.0) + self.beta * workers * (workers - 1.0);
        workers * self.lambda / slower
    }

    fn peak_workers(&self) -> Option<f64> {
        (self.beta > 0.0 && self.alpha < 1.0).then(|| libm::sqrt((1.0 - self.alpha) / self.beta))
    }

    fn peak_per_sec(&self) -> Option<f64> {
        match self.peak_workers() {
            Some(workers) => Some(self.at(workers.max(1.0))),
            None => (self.alpha > 0.0).then(|| self.lambda / self.alpha),
        }
    }

    fn r_squared(&self, runs: &[(usize, f64)]) -> f64 {
        let n = as_f64(runs.len() as u64);
        let mean = runs.iter().map(|run| run.1).sum::<f64>() / n;
        let left: f64 = runs.iter().map(|run| square(run.1 - self.at(as_f64(run.0 as u64)))).sum();
        let all: f64 = runs.iter().map(|run| square(run.1 - mean)).sum();
        if all > 0.0 { 1.0 - left / all } else { 0.0 }
    }
}

fn square(x: f64) -> f64 {
    x * x
}

fn features(workers: usize) -> [f64; 3] {
    let n = as_f64(workers as u64);
    [1.0, n - 1.0, n * (n - 1.0)]
}

fn error(runs: &[(usize, f64)], found: &[f64; 3]) -> f64 {
    let off = |&(workers, rate): &(usize, f64)| {
        let expected: f64 = features(workers).iter().zip(found).map(|(x, c)| x * c).sum();
        square(1.0 - expected * rate / as_f64(workers as u64))
    };
    runs.iter().map(off).sum()
}

/// The normal equations of the coefficients in use, by elimination; the others are zero.
fn least_squares(runs: &[(usize, f64)], used: &[usize]) -> Option<[f64; 3]> {
    let k = used.len();
    let mut rows = vec![vec![0.0; k + 1]; k];
    for &(workers, rate) in runs {
        let weight = rate / as_f64(workers as u64); // of the row; squared below
        let x: Vec<f64> = used.iter().map(|&feature| features(workers)[feature] * weight).collect();
        for i in 0..k {
            (0..k).for_each(|j| rows[i][j] += x[i] * x[j]);
            rows[i][k] += x[i]; // weight × n/X is 1
        }
    }
    let solved = eliminated(rows)?;
    let mut found = [0.0; 3];
    used.iter().zip(solved).for_each(|(&feature, value)| found[feature] = value);
    Some(found)
}

/// Gauß, with the largest pivot.
fn eliminated(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let k = rows.len();
    for column in 0..k {
        let pivot = (column..k).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, pivot);
        if rows[column][column].abs() < 1e-12 {
            return None;
        }
        let top = rows[column].clone();
        for row in rows.iter_mut().skip(column + 1) {
            let factor = row[column] / top[column];
            row.iter_mut().zip(&top).for_each(|(value, above)| *value -= factor * above);
        }
    }
    let mut solved = vec![0.0; k];
    for row in (0..k).rev() {
        let known: f64 = (row + 1..k).map(|column| rows[row][column] * solved[column]).sum();
        solved[row] = (rows[row][k] - known) / rows[row][row];
    }
    Some(solved)
}
