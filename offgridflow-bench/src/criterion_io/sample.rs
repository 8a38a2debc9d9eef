use serde::Deserialize;

/// `sample.json`: how many iterations each sample ran and what they took together. Criterion 0.3 to 0.8 write these two;
/// what else stands there is ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Sample {
    iters: Vec<f64>,
    times: Vec<f64>, // nanoseconds
}

impl Sample {
    /// Nanoseconds an iteration; `None` when the two lists cannot belong together.
    pub(super) fn nanoseconds_an_iteration(&self) -> Option<Vec<f64>> {
        nanoseconds_an_iteration(&self.iters, &self.times)
    }
}

/// Nanoseconds an iteration; `None` when the two lists cannot belong together.
pub(super) fn nanoseconds_an_iteration(iters: &[f64], times: &[f64]) -> Option<Vec<f64>> {
    let sound = iters.len() == times.len() && iters.iter().all(|iterations| *iterations > 0.0);
    sound.then(|| times.iter().zip(iters).map(|(time, iterations)| time / iterations).collect())
}

/// `benchmark.json`: what the benchmark is called.
#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    pub(super) full_id: String,
}
