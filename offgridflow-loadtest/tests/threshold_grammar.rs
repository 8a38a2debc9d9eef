//! Thresholds read what they write, and refuse the rest in a sentence.

use offgridflow_loadtest::Threshold;
use proptest::prelude::*;

fn threshold() -> impl Strategy<Value = String> {
    let statistic = prop_oneof![
        (1..100_u32, 0..1_000_u32).prop_map(|(whole, part)| format!("p{whole}.{part:03}")),
        prop::sample::select(vec!["p50", "p95", "p99.9", "mean", "max", "min"]).prop_map(str::to_owned),
    ];
    let sign = || prop::sample::select(vec!["<", "<=", ">", ">="]);
    let route = prop::option::of("[A-Z]{3,6} /[a-z{}/_]{0,20}[a-z]");
    let braces = |route: Option<String>| route.map(|route| format!("{{{route}}}")).unwrap_or_default();
    let time = (
        statistic,
        prop::sample::select(vec!["response", "service"]),
        route.clone(),
        sign(),
        1..10_000_000_u64,
    )
        .prop_map(move |(statistic, series, route, sign, us)| {
            format!("{statistic}({series}){} {sign} {us}us", braces(route))
        });
    let share = (route, sign(), 0..10_000_u32).prop_map(move |(route, sign, percent)| {
        format!("failure_ratio{} {sign} {}%", braces(route), f64::from(percent) / 100.0)
    });
    prop_oneof![time, share, (sign(), 0..1_000_u64).prop_map(|(sign, n)| format!("answered{sign}{n}"))]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(text in threshold()) {
        let parsed: Threshold = text.parse().expect("valid");
        prop_assert_eq!(parsed.to_string().parse::<Threshold>().expect("its own text"), parsed);
    }

    #[test]
    fn any_text_is_answered_without_panic(text in "\\PC{0,40}") {
        if let Err(error) = text.parse::<Threshold>() {
            prop_assert_eq!(error.field, "thresholds");
            prop_assert!(!error.hint.is_empty());
        }
    }

    #[test]
    fn nearly_right_text_is_answered_without_panic(text in threshold(), cut in 0..60_usize, extra in "[<>={}%()a-z0-9.]{0,3}") {
        let cut = (0..=cut.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let _ = format!("{}{extra}{}", &text[..cut], &text[cut..]).parse::<Threshold>();
    }
}

#[test]
fn refusals_say_what_to_write() {
    let hint = |text: &str| text.parse::<Threshold>().expect_err(text).hint;
    assert!(hint("p95(latency) < 1s").contains("use response, service"));
    assert!(hint("p100(response) < 1s").contains("percentile"));
    assert!(hint("p99.99999999(response) < 1s").contains("at most three decimals"));
    assert!(hint("p95(response) < 1e99s").contains("exponent"));
    assert!(hint("p95(response) < 100").contains("needs a unit"));
    assert!(hint("p95(response)").contains("comparison"));
    assert!(hint("errors < 1%").contains("failure_ratio"));
    assert!(hint("achieved_rate{GET /} > 99%").contains("whole run"));
    assert!(hint("failures < many").contains("whole number"));
    assert!(hint("p95(response){GET / < 1s").contains("closing brace"));
}

#[test]
fn the_documented_forms_are_accepted() {
    for text in [
        "p95(response) < 100ms",
        "p99.9(service){GET /users/{id}} <= 2s",
        "failure_ratio < 1%",
        "failure_ratio < 0.01",
        "achieved_rate >= 99% of offered",
        "max(dispatch_lag) < 5ms",
        "mean(first_byte) < 5ms",
        "failures < 10",
        "answered >= 1000",
    ] {
        text.parse::<Threshold>().expect(text);
    }
}
