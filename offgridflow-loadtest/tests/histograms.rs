//! Merging is exact, and quantiles agree with sorting.

use std::time::Duration;

use offgridflow_loadtest::{Distribution, Latencies, Quantile};
use proptest::prelude::*;

fn seen(answered: &[u64], unanswered: &[u64]) -> Distribution {
    let mut seen = Distribution::default();
    answered.iter().for_each(|&ns| seen.record(Duration::from_nanos(ns)));
    unanswered.iter().for_each(|&ns| seen.record_unanswered(Duration::from_nanos(ns)));
    seen
}

fn merged<'a>(parts: impl IntoIterator<Item = &'a Distribution>) -> Distribution {
    let mut whole = Distribution::default();
    parts.into_iter().for_each(|part| whole.merge(part));
    whole
}

fn times() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(
        prop_oneof![0..1_000_u64, 1_000..10_000_000_u64, 10_000_000..4_000_000_000_000_u64],
        0..300,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn merging_parts_equals_recording_the_whole(a in times(), b in times(), lost in times()) {
        let (left, right) = (seen(&a, &lost), seen(&b, &[]));
        let whole = seen(&[a, b].concat(), &lost);
        prop_assert_eq!(&merged([&left, &right]), &whole);
        prop_assert_eq!(&merged([&right, &left]), &whole);
    }

    #[test]
    fn merging_is_associative(a in times(), b in times(), c in times()) {
        let (a, b, c) = (seen(&a, &b), seen(&b, &c), seen(&c, &a));
        prop_assert_eq!(merged([&merged([&a, &b]), &c]), merged([&a, &merged([&b, &c])]));
    }

    #[test]
    fn quantiles_agree_with_sorting_to_three_digits(mut values in times(), q in 0.001..1.0_f64) {
        prop_assume!(!values.is_empty());
        values.iter_mut().for_each(|ns| *ns = (*ns).min(3_600_000_000_000));
        let found = seen(&values, &[]).empirical(q).and_then(Quantile::value).expect("not empty");
        values.sort_unstable();
        let n = values.len();
        let rank = (1..=n).find(|&rank| rank as f64 >= q * n as f64 - 1e-9).unwrap_or(n);
        let (found, truth) = (found.as_nanos() as f64, values[rank - 1] as f64);
        prop_assert!((found - truth).abs() <= (truth * 0.001).max(100.0), "{} {}", found, truth);
    }

    #[test]
    fn an_unanswered_operation_never_makes_a_quantile_faster(answered in times(), lost in times(), q in 0.5..1.0_f64) {
        prop_assume!(!answered.is_empty());
        let without = seen(&answered, &[]).empirical(q).and_then(Quantile::value).expect("not empty");
        if let Some(Quantile::Value(with)) = seen(&answered, &lost).empirical(q) {
            prop_assert!(with >= without);
        }
    }
}

#[test]
fn percentiles_of_a_union_are_not_the_worst_of_its_parts() {
    let (fast, slow) = (seen(&[10_000_000; 1_000], &[]), seen(&[2_000_000_000; 10], &[]));
    let whole = merged([&fast, &slow]);
    assert!(whole.quantile(0.95).value().expect("enough") < Duration::from_millis(11));
    assert_eq!(whole.max(), Some(Quantile::Value(Duration::from_secs(2))));
}

#[test]
fn quantiles_are_refused_below_their_minimum() {
    let n = |count: usize| seen(&vec![1_000_000; count], &[]);
    assert_eq!(n(58).quantile(0.95), Quantile::Needs(59));
    assert!(n(59).quantile(0.95).value().is_some());
    assert_eq!(n(298).quantile(0.99), Quantile::Needs(299));
    assert_eq!(n(2_994).quantile(0.999), Quantile::Needs(2_995));
}

#[test]
fn values_beyond_the_range_are_counted_at_its_ends() {
    let mut latencies = Latencies::new();
    latencies.record(Duration::ZERO);
    latencies.record(Duration::from_secs(86_400));
    assert_eq!((latencies.count(), latencies.max()), (2, Some(Duration::from_secs(86_400))));
    assert_eq!(latencies.min(), Some(Duration::ZERO));
}

#[test]
fn what_is_no_share_is_no_quantile() {
    let mut seen = Distribution::default();
    (1..=1_000).for_each(|ms| seen.record(Duration::from_millis(ms)));
    for q in [f64::NAN, -0.5, -f64::INFINITY, 1.000_001, f64::INFINITY] {
        assert_eq!((seen.quantile(q), seen.empirical(q)), (Quantile::Needs(u64::MAX), None), "{q}");
    }
    assert_eq!(seen.empirical(0.0), seen.empirical(0.001));
    assert_eq!(seen.empirical(1.0), Some(Quantile::Value(Duration::from_millis(1_000))));
}
