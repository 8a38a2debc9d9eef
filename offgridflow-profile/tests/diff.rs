//! What changed between two profiles, and how often that is wrong.

use std::time::{Duration, SystemTime};

use offgridflow_profile::{Counting, Frame, Profile, Stack, ValueKind};

/// Seeded chance, as `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % n
    }
}

fn profile(kind: &str, stacks: &[(&[&str], i64)]) -> Profile {
    let frame = |name: &&str| Frame::named(*name);
    Profile {
        kinds: vec![ValueKind::new(kind, "count")],
        stacks: stacks
            .iter()
            .map(|(frames, value)| Stack {
                frames: frames.iter().map(frame).collect(),
                values: vec![*value],
                labels: Vec::new(),
            })
            .collect(),
        began: SystemTime::UNIX_EPOCH,
        duration: Duration::from_secs(10),
        period: 1,
        period_kind: ValueKind::new(kind, "count"),
        comments: Vec::new(),
        mappings: vec![],
    }
}

/// `samples` over functions whose weights are 1 to 60, the first of them `times` as heavy.
fn sampled(dice: &mut Dice, samples: u64, times: u64) -> Profile {
    let names: Vec<String> = (1..=60).map(|weight| format!("function_{weight}")).collect();
    let weight = |index: u64| if index == 20 { 20 * times } else { index };
    let total: u64 = (1..=60).map(weight).sum();
    let mut counts = vec![0; 60];
    for _ in 0..samples {
        let mut left = dice.below(total);
        let index = (1..=60).find(|index| left.checked_sub(weight(*index)).map(|rest| left = rest).is_none());
        counts[usize::try_from(index.unwrap() - 1).unwrap()] += 1;
    }
    let stacks: Vec<([&str; 2], i64)> =
        names.iter().zip(counts).map(|(name, count)| ([name.as_str(), "main"], count)).collect();
    profile("samples", &stacks.iter().map(|(frames, count)| (frames.as_slice(), *count)).collect::<Vec<_>>())
}

/// Where nothing changed, any discovery is false: 5 % of diffs may hold one.
#[test]
fn two_equal_windows_differ_in_nothing() {
    let mut dice = Dice(7);
    let runs = 200;
    let wrong = (0..runs).filter(|_| {
        let (before, after) = (sampled(&mut dice, 1_000, 1), sampled(&mut dice, 3_000, 1));
        after.diff(&before, Counting::Own).unwrap().significant().next().is_some()
    });
    let wrong = wrong.count();
    assert!(wrong <= 20, "{wrong} of {runs}"); // of a true 5 %, more come once in a thousand
}

#[test]
fn a_function_that_doubled_is_named_first_and_alone() {
    let mut dice = Dice(8);
    let (mut first, mut false_ones, mut all) = (0, 0, 0);
    for _ in 0..100 {
        let (before, after) = (sampled(&mut dice, 10_000, 1), sampled(&mut dice, 10_000, 2));
        let diff = after.diff(&before, Counting::Own).unwrap();
        first += usize::from(diff.changes[0].function == "function_20" && diff.changes[0].significant);
        all += diff.significant().count();
        false_ones += diff.significant().filter(|change| change.function != "function_20").count();
    }
    assert!(first >= 95, "{first}");
    assert!(false_ones * 5 <= all, "{false_ones} of {all}"); // the others' shares do shrink by 1 %
}

#[test]
fn totals_count_a_recursive_function_once() {
    let before = profile("samples", &[(&["a", "b", "a"], 100), (&["c"], 100)]);
    let after = profile("samples", &[(&["a", "b", "a"], 100), (&["c"], 100)]);
    let diff = after.diff(&before, Counting::Total).unwrap();
    let a = diff.changes.iter().find(|change| change.function == "a").unwrap();
    assert_eq!((a.before, a.after, a.significant), (100, 100, false));
    assert_eq!((diff.before, diff.after), (200, 200));
}

#[test]
fn only_samples_can_be_compared() {
    let bytes = profile("inuse_space", &[(&["a"], 1)]);
    let error = bytes.diff(&bytes, Counting::Own).unwrap_err().to_string();
    assert!(error.contains("compare CPU profiles"), "{error}");
}

/// A file may hold any numbers.
#[test]
fn the_largest_counts_there_are_are_added_and_compared() {
    let huge = profile("samples", &[(&["a", "main"], i64::MAX), (&["a", "main"], i64::MAX), (&["b"], 7)]);
    let least = profile("samples", &[(&["a"], i64::MIN), (&["b"], i64::MIN), (&["c"], i64::MAX)]);
    assert_eq!((huge.total(0), huge.top(0, 1)[0].1), (i64::MAX, i64::MAX));
    assert!(huge.to_folded(0).contains(&i64::MAX.to_string()));
    for counting in [Counting::Own, Counting::Total] {
        for (after, before) in [(&huge, &huge), (&huge, &least), (&least, &huge), (&least, &least)] {
            let diff = after.diff(before, counting).unwrap();
            assert!(diff.changes.iter().all(|change| (0.0..=1.0).contains(&change.p)), "{diff:?}");
        }
    }
}

#[cfg(feature = "flamegraph")]
#[test]
fn a_differential_flame_graph_is_drawn() {
    let before = profile("samples", &[(&["a", "main"], 100), (&["b", "main"], 100)]);
    let after = profile("samples", &[(&["a", "main"], 300), (&["b", "main"], 100)]);
    let svg = String::from_utf8(after.to_diff_svg(&before, 0, "since monday").unwrap()).unwrap();
    assert!(svg.contains("<svg") && svg.contains("since monday") && svg.contains("main"));
}
