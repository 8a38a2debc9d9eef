//! Two recorded outputs are compared as they were recorded, and a known effect is found.
use std::fs;
use std::path::Path;
use std::process::Command;

use offgridflow_bench::{
    Comparison, CriterionDir, Effect, Error, Measurement, MeasurementSource, Options, compare,
};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;

/// Noise like that of a shared machine: a right-skewed tail over a few per cent.
fn noisy(centre: f64, seed: u64, n: usize) -> Vec<f64> {
    let mut rng = Pcg64::new(u128::from(seed), 1);
    let mut unit = || (rng.next_u32() as f64 + 0.5) / (f64::from(u32::MAX) + 1.0);
    (0..n).map(|_| centre * (1.0 + 0.03 * -unit().ln() + 0.02 * (unit() - 0.5))).collect()
}

/// Writes a recording in criterion's layout.
fn record(root: &Path, bench: &str, baseline: &str, samples: &[f64]) {
    let folder = root.join(bench.replace('/', "-")).join(baseline);
    fs::create_dir_all(&folder).unwrap();
    let iters: Vec<f64> = (1..=samples.len()).map(|n| (n * 10) as f64).collect();
    let times: Vec<f64> = samples.iter().zip(&iters).map(|(sample, iters)| sample * iters).collect();
    let sample = serde_json::json!({ "sampling_mode": "Linear", "iters": iters, "times": times });
    fs::write(folder.join("sample.json"), sample.to_string()).unwrap();
    let identity = serde_json::json!({ "group_id": bench, "full_id": bench, "title": bench });
    fs::write(folder.join("benchmark.json"), identity.to_string()).unwrap();
}

#[test]
fn a_known_slow_down_is_found_and_its_size_is_right() {
    let found = (0..40).filter(|seed| {
        let base = Measurement::new("b", noisy(1_000.0, 2 * seed, 100));
        let new = Measurement::new("b", noisy(1_100.0, 2 * seed + 1, 100));
        let comparison = Comparison::of(&base, &new, &Options::default()).unwrap();
        assert!((comparison.ratio.low..=comparison.ratio.high).contains(&1.1) || *seed < 3, "99 % intervals");
        comparison.effect == Effect::Slower
    });
    assert_eq!(found.count(), 40);
}

#[test]
fn identical_sides_are_not_called_different() {
    let wrong = (0..100).filter(|seed| {
        let base = Measurement::new("b", noisy(1_000.0, 1_000 + 2 * seed, 100));
        let new = Measurement::new("b", noisy(1_000.0, 1_001 + 2 * seed, 100));
        let options = Options { threshold: 0.0, ..Options::default() };
        let effect = Comparison::of(&base, &new, &options).unwrap().effect;
        matches!(effect, Effect::Slower | Effect::Faster)
    });
    // At 1 % a test, 100 tests are expected to err once; 6 or more would happen once in 2 000 suites.
    assert!(wrong.count() < 6);
}

/// The control: comparing medians without an interval calls most identical pairs different.
#[test]
fn without_intervals_identical_sides_are_called_different() {
    let wrong = (0..200).filter(|seed| {
        let centre = |seed| {
            let mut samples = noisy(1_000.0, seed, 100);
            samples.sort_by(f64::total_cmp);
            samples[50]
        };
        let ratio: f64 = centre(1_001 + 2 * seed) / centre(1_000 + 2 * seed);
        (ratio - 1.0).abs() > 0.0
    });
    assert!(wrong.count() > 190);
}

#[test]
fn the_command_judges_recordings_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "suite/slow", "base", &noisy(500.0, 1, 100));
    record(folder.path(), "suite/slow", "new", &noisy(600.0, 2, 100));
    record(folder.path(), "suite/same", "base", &noisy(500.0, 3, 100));
    record(folder.path(), "suite/same", "new", &noisy(500.0, 4, 100));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-bench"));
        let output = command.arg("compare").args(arguments).arg("--dir").arg(folder.path()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    };
    let (code, text) = run(&["base"]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("suite/slow") && text.contains("SLOWER") && text.contains("recorded apart"),
        "{text}"
    );
    assert_eq!(run(&["base", "base"]).0, 0, "a recording against itself");
    let (code, text) = run(&["nosuch"]);
    assert_eq!((code, text.contains("--save-baseline nosuch")), (4, true), "{text}");
    assert_eq!(run(&["base", "--threshold", "-1"]).0, 2);
    assert_eq!(run(&["base", "--no-such-flag"]).0, 2);
    let (_, json) = run(&["base", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["comparisons"][1]["effect"], "slower", "{json}");
    record(folder.path(), "suite/gone", "base", &noisy(500.0, 5, 100));
    record(folder.path(), "suite/slow", "new", &noisy(500.0, 6, 100));
    assert_eq!(run(&["base"]).0, 4, "a benchmark that is gone is never green");
}

#[test]
fn what_criterion_did_not_write_is_named() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "b", "new", &[1.0; 20]);
    for broken in ["{", "{\"iters\": [1.0], \"times\": []}", "{\"iters\": [0.0], \"times\": [1.0]}", "[]"] {
        fs::write(folder.path().join("b/new/sample.json"), broken).unwrap();
        let error = CriterionDir::new(folder.path(), "new").measurements().unwrap_err();
        assert!(
            matches!(error, Error::Format { .. }) && error.to_string().contains("sample.json"),
            "{error}"
        );
    }
}

#[test]
fn samples_that_are_no_durations_are_refused() {
    let sound = vec![Measurement::new("b", vec![1.0; 20])];
    for samples in [vec![f64::NAN; 20], vec![0.0; 20], vec![-1.0; 20], vec![f64::INFINITY; 20], vec![1.0; 9]]
    {
        let broken = vec![Measurement::new("b", samples)];
        assert!(matches!(compare(&sound, &broken, &Options::default()), Err(Error::Samples { .. })));
    }
}

/// Recordings made by criterion 0.5.1, 0.6.0, 0.7.0 and 0.8.2 themselves.
#[test]
fn what_each_criterion_writes_is_read() {
    for version in ["0.5", "0.6", "0.7", "0.8"] {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format!("criterion-{version}"));
        let measurements = CriterionDir::new(folder, "new").measurements().unwrap();
        let names: Vec<_> = measurements.iter().map(|measurement| measurement.name.as_str()).collect();
        assert_eq!(names, ["golden/sum/1000", "golden/sum/2000"], "{version}");
        assert!(measurements.iter().all(|measurement| measurement.samples.len() == 10), "{version}");
        let fastest = |nth: usize| measurements[nth].samples.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(fastest(1) > fastest(0), "{version}: twice the work takes longer");
    }
}

/// Which of the two was meant nobody can know. A link that leads back is followed by nobody.
#[cfg(unix)]
#[test]
fn a_benchmark_that_is_recorded_twice_is_refused_and_links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for baseline in ["before", "new"] {
        record(root, "a", baseline, &noisy(1_000.0, 1, 100));
    }
    std::os::unix::fs::symlink(root, root.join("loop")).unwrap();
    let both = || {
        let [before, new] = ["before", "new"].map(|baseline| CriterionDir::new(root, baseline));
        compare(&before, &new, &Options::default())
    };
    assert_eq!(both().unwrap().added, Vec::<String>::new(), "the control: by the link it is there again");
    for baseline in ["before", "new"] {
        record(root, "b", baseline, &noisy(1_000.0, 1, 100));
        let again = root.join("b").join(baseline).join("benchmark.json");
        fs::copy(root.join("a").join(baseline).join("benchmark.json"), again).unwrap();
        let refused = both().unwrap_err().to_string();
        assert!(refused.contains("`a` cannot be compared: it is recorded twice"), "{refused}");
    }
}
