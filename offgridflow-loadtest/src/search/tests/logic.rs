//! What a search asks, by answers that are given.

use std::time::Duration;

use super::super::{Found, Leaning, LimitedBy, Observation, Purpose, Search, Trial};
use super::at_once;
use crate::error::ConfigError;

fn asked(search: &Search, answer: impl Fn(&Trial) -> Observation) -> Found {
    let oracle = async |trial: Trial| Ok::<_, ConfigError>(answer(&trial));
    at_once(search.over(oracle)).expect("sound")
}

fn up_to(limit: f64) -> impl Fn(&Trial) -> Observation {
    move |trial| if trial.rate <= limit { Observation::meets() } else { Observation::breaks("slow") }
}

#[test]
fn any_rate_from_a_tenth_to_a_hundred_thousand_is_found_in_fourteen_steps() {
    for exponent in -9..=50 {
        let limit = libm::pow(10.0, f64::from(exponent) / 10.0);
        let found = asked(&Search::default(), up_to(limit));
        let rate = found.rate.expect("found");
        assert!(found.steps.len() <= 14 && found.confirmed, "{limit}: {found}");
        assert!((rate / limit - 1.0).abs() < 0.06, "{limit}: {found}");
        assert_eq!(found.exit_code(), 0);
    }
}

#[test]
fn a_step_that_does_not_decide_is_asked_again_for_twice_as_long() {
    let found = asked(&Search::default(), |trial| {
        let open = (900.0..1_100.0).contains(&trial.rate) && trial.length < Duration::from_secs(20);
        if open { Observation::unsure("either way") } else { up_to(1_000.0)(trial) }
    });
    let lengths = |step: &super::super::Step| {
        step.trials.iter().map(|(trial, _)| trial.length.as_secs()).collect::<Vec<_>>()
    };
    assert!(found.steps.iter().any(|step| lengths(step) == [5, 10, 20]), "{found}");
    assert!((found.rate.expect("found") / 1_000.0 - 1.0).abs() < 0.03);
}

#[test]
fn what_stays_open_lies_between_the_answer_s_ends() {
    let found = asked(&Search::default(), |trial| {
        let open = (950.0..1_060.0).contains(&trial.rate);
        if open { Observation::unsure("either way") } else { up_to(1_000.0)(trial) }
    });
    let (low, high) = (found.at_least.expect("one met"), found.below.expect("one did not"));
    assert!((920.0..950.0).contains(&low) && (1_060.0..1_095.0).contains(&high), "{found}");
    assert!(found.within().expect("both") < 0.09, "{found}");
}

#[test]
fn an_answer_that_does_not_hold_for_longer_is_lowered() {
    let found = asked(&Search::default(), |trial| match trial.purpose {
        Purpose::Confirm if trial.rate > 900.0 => Observation::breaks("a leak"),
        _ => up_to(1_000.0)(trial),
    });
    assert!(found.below.expect("the one that did not hold") <= 1_000.0, "{found}");
    assert!(found.at_least.expect("a lower one") < 1_000.0);
}

#[test]
fn the_generator_s_limit_is_said_to_be_one_and_is_asked_twice() {
    let found = asked(&Search::default(), |trial| match trial.rate {
        rate if rate > 3_000.0 => Observation::limited("dispatch lag"),
        _ => Observation::meets(),
    });
    assert_eq!((found.exit_code(), &found.limited_by), (3, &LimitedBy::Generator("dispatch lag".into())));
    let limited = found.steps.iter().filter(|step| step.leaning() == Leaning::Limited);
    assert!(limited.clone().count() > 0 && limited.clone().all(|step| step.trials.len() == 2), "{found}");
    assert!(found.to_string().contains("the target may do more"), "{found}");
}

/// A machine that is busy with something else: no rate is too low for it, so going lower finds nothing.
#[test]
fn a_generator_that_keeps_no_rate_ends_the_search_soon_and_takes_nothing_back() {
    let busy = asked(&Search::default(), |trial| match trial.step {
        1 => Observation::meets(),
        _ => Observation::limited("no core"),
    });
    assert_eq!((busy.steps.len(), busy.at_least, busy.confirmed), (5, Some(100.0), false), "{busy}");
    assert_eq!((busy.exit_code(), &busy.limited_by), (3, &LimitedBy::Generator("no core".into())));
    let never = asked(&Search::default(), |_| Observation::limited("no core"));
    assert_eq!((never.steps.len(), never.rate, never.exit_code()), (3, None, 3));
    assert!(never.to_string().contains("too much for the generator"), "{never}");
}

#[test]
fn nothing_that_meets_and_nothing_that_breaks_are_answers_too() {
    let nothing = asked(&Search::default(), |_| Observation::breaks("down"));
    assert_eq!((nothing.rate, nothing.exit_code()), (None, 1));
    let all = asked(&Search::default().to(1_000.0), |_| Observation::meets());
    assert_eq!((all.rate, all.below, all.exit_code()), (Some(1_000.0), None, 3));
    assert_eq!(all.limited_by, LimitedBy::NotReached);
    assert!(all.confirmed);
}

#[test]
fn steps_at_low_rates_are_as_long_as_a_verdict_needs_and_rests_follow_breaks() {
    let found = asked(&Search::default().from(16.0), up_to(10.0));
    let first = &found.steps[0].trials[0].0;
    assert_eq!((first.length, first.rest), (Duration::from_millis(20_557), Duration::ZERO));
    assert_eq!(found.steps[1].trials[0].0.rest, Duration::from_secs(4));
    assert!(found.steps.iter().skip(2).any(|step| step.trials[0].0.rest == Duration::from_secs(1)));
}

#[test]
fn what_cannot_work_is_refused() {
    let refused = |search: Search| search.validate().expect_err("refused").field;
    assert_eq!(refused(Search::default().from(0.0)), "from");
    assert_eq!(refused(Search::default().from(f64::NAN)), "from");
    assert_eq!(refused(Search::default().to(10.0)), "to");
    assert_eq!(refused(Search::default().tolerance(0.0)), "tolerance");
    assert_eq!(refused(Search::default().step(Duration::ZERO)), "step");
    assert_eq!(refused(Search::default().longest_step(Duration::from_secs(1))), "longest_step");
    assert_eq!(refused(Search::default().max_steps(2)), "max_steps");
}
