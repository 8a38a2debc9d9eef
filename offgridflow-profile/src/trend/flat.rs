use super::{Series, Shape, TrendOptions};

/// For tests: panics unless `series` neither grows nor jumps by what matters.
///
/// A test has no half hour: let one round of work be a second of the series, and set what matters.
///
/// ```
/// use std::time::Duration;
/// use offgridflow_profile::{Sample, Series, TrendOptions, assert_flat};
///
/// let in_use = |_round: u64| 5_000_000; // what your allocator counts after a round of work
/// let rounds: Series = (0..200).map(|at| Sample { at: Duration::from_secs(at), bytes: in_use(at) }).collect();
/// let options = TrendOptions { min_window: Duration::from_secs(100), material_bytes: 64 << 10, ..TrendOptions::default() };
/// assert_flat(&rounds, &options);
/// ```
///
/// # Panics
/// With the verdict's sentence when it is anything but [`Shape::Stable`]: also when there are too few readings to say.
#[track_caller]
pub fn assert_flat(series: &Series, options: &TrendOptions) {
    // A test's rounds have no long cycles.
    let options = TrendOptions { leak_window: options.min_window, ..options.clone() };
    let verdict = series.verdict(&options);
    assert!(verdict.shape == Shape::Stable, "memory is not shown to be flat: {verdict}");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Sample;

    fn options() -> TrendOptions {
        TrendOptions { min_window: Duration::from_secs(100), ..TrendOptions::default() }
    }

    fn rounds(count: u64, bytes: impl Fn(u64) -> u64) -> Series {
        (0..count).map(|at| Sample { at: Duration::from_secs(at), bytes: bytes(at) }).collect()
    }

    #[test]
    #[should_panic(expected = "leak: grows by")]
    fn growth_fails_a_test() {
        assert_flat(&rounds(200, |round| 5_000_000 + (round << 15)), &options());
    }

    #[test]
    #[should_panic(expected = "watched for")]
    fn too_few_rounds_show_nothing() {
        assert_flat(&rounds(50, |_| 5_000_000), &options());
    }
}
