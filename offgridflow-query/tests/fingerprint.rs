//! A fingerprint depends on what a statement does, not on how it is written, and no text can hurt it.
#![cfg(feature = "observe")]

use offgridflow_query::{By, Class, Fingerprint, Observer, StatementStats, normalize};
use proptest::prelude::*;
use std::time::Duration;

/// Pieces that rewrite freely: (canonical, variants).
fn blank() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![" ", "\n\t", " /* note */ ", " -- note\n", "  "])
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u32>().prop_map(|n| format!("{n}.5e-3")),
        "[^'\\\\\0]{0,12}".prop_map(|text| format!("'{text}'")),
        "[a-z ]{0,12}".prop_map(|text| format!("$tag${text}$tag$")),
        Just("?".to_owned()),
        (1u8..99).prop_map(|n| format!("${n}")),
        Just(":name".to_owned()),
    ]
}

fn statement() -> impl Strategy<Value = String> {
    let list = prop::collection::vec(literal(), 1..20);
    (prop::collection::vec(blank(), 12), literal(), list, any::<bool>()).prop_map(
        |(b, value, list, upper)| {
            let word = |text: &str| if upper { text.to_uppercase() } else { text.to_owned() };
            [
                word("select"),
                b[0].into(),
                "*".into(),
                b[1].into(),
                word("from"),
                b[2].into(),
                word("readings"),
                b[3].into(),
                word("where"),
                b[4].into(),
                word("id"),
                b[5].into(),
                "=".into(),
                b[6].into(),
                value,
                b[7].into(),
                word("and"),
                b[8].into(),
                word("kind"),
                b[9].into(),
                word("in"),
                b[10].into(),
                "(".into(),
                list.join(","),
                b[11].into(),
                ")".into(),
            ]
            .concat()
        },
    )
}

fn element() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "1",
        "'x'",
        "$1::uuid",
        "now()",
        "lower(?)",
        "(1 - b)",
        "- 3",
        "c[1]",
        "array[1, 2]",
        "case when a in (1, 2) then 1 end",
        "/* , ) */ d",
    ])
}

proptest! {
    #[test]
    fn rewritten_statements_are_one(sql in statement()) {
        prop_assert_eq!(normalize(&sql), "select * from readings where id = ? and kind in (?)");
    }

    /// However long, and whatever its elements are.
    #[test]
    fn a_list_of_equal_elements_is_one_of_them(pieces in prop::collection::vec(element(), 1..4), times in 2usize..40) {
        let element = pieces.join(" + ");
        let list = |times: usize| vec![element.as_str(); times].join(", ");
        let tuples = |times: usize| vec![format!("({element}, {element})"); times].join(",");
        let texts = |times: usize| [
            format!("select a from t where b in ({}) and c = 1", list(times)),
            format!("select array[{}], d", list(times)),
            format!("insert into t values {} on conflict do nothing", tuples(times)),
            format!("select * from (values {}) as v, w", tuples(times)),
        ];
        for (many, one) in texts(times).iter().zip(texts(1)) {
            prop_assert_eq!(normalize(many), normalize(&one), "{}", many);
        }
    }

    #[test]
    fn no_text_panics_and_no_literal_stays(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for text in [text.as_str(), &String::from_utf8_lossy(&bytes)] {
            let normal = normalize(text);
            prop_assert_eq!(Fingerprint::of(text), Fingerprint::of(text));
            prop_assert!(normal.len() <= 2 * text.len() + 1, "grew from {} to {}", text.len(), normal.len());
        }
    }

    #[test]
    fn sql_like_noise_is_read_to_its_end(text in "[-'\"$?:@.,;()/*0-9a-zA-Z \\\\\n\0é]{0,200}") {
        let _ = (Fingerprint::of(&text), normalize(&text));
    }

    #[test]
    fn secrets_in_strings_do_not_show(secret in "[a-z]{12}", tail in "[a-z0-9 =]{0,20}") {
        let sql = format!("select a from b where c = '{secret}' and {tail}");
        prop_assert!(!normalize(&sql).contains(&secret));
    }
}

#[tokio::test(start_paused = true)]
async fn figures_are_those_of_what_ran() {
    let observer = Observer::new("sqlite");
    for ms in 1..=100u64 {
        let work = async {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            if ms % 10 == 0 { Err(()) } else { Ok(3) }
        };
        let _ = observer.time_rows("SELECT a FROM t WHERE id = ?", work, |rows| *rows).await;
    }
    drop(observer.start_text("select A from T where ID = 12"));
    let report = observer.report();
    assert_eq!(report.statements.len(), 1);
    let stats = &report.statements[0];
    assert_eq!((stats.calls, stats.errors, stats.cancelled, stats.rows), (101, 10, 1, 270));
    let p95_ms = stats.latency.p95_ns as f64 / 1e6;
    assert!((94.0..97.5).contains(&p95_ms), "{p95_ms}");
}

#[test]
fn in_a_full_table_the_least_used_make_room_and_no_execution_is_lost() {
    let observer = Observer::with_capacity("sqlite", 8);
    for n in 0..100 {
        observer.start_text(&format!("select c{n} from t")).succeeded(1);
        observer.start("select hot from t").succeeded(2);
    }
    let report = observer.report();
    let calls: u64 = report.statements.iter().map(|stats| stats.calls).sum();
    assert_eq!((report.statements.len(), calls + report.other.calls), (8, 200));
    assert_eq!((report.evicted, report.other.calls, report.other.latency.count), (93, 93, 93));
    assert_eq!((report.statements[0].text.as_str(), report.other.rows), ("select hot from t", 93));
    assert_eq!(report.top(1, By::Calls)[0].calls, 100, "what is used keeps its place");
}

/// Ten thousand here; ten million in `scripts/verify.sh query --only Q6`.
#[test]
fn texts_that_never_come_again_do_not_fill_the_memory() {
    let observer = Observer::with_capacity("sqlite", 64);
    for n in 0..10_000 {
        observer.start_text(&format!("select a from t{n}")).succeeded(0);
    }
    let report = observer.report();
    assert_eq!((report.statements.len(), report.evicted), (64, 10_000 - 64));
    assert_eq!(report.other.calls, 10_000 - 64);
}

#[tokio::test(start_paused = true)]
async fn two_snapshots_tell_what_ran_between_them() {
    let observer = Observer::new("sqlite");
    let run = |sql: &'static str, ms: u64, times: u64| {
        let observer = observer.clone();
        async move {
            for _ in 0..times {
                let slow = async {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    Ok::<_, ()>(())
                };
                observer.time_rows(sql, slow, |()| 1).await.unwrap();
            }
        }
    };
    run("select a from t", 1, 50).await;
    run("select b from t", 5, 10).await;
    let earlier = observer.snapshot();
    run("select a from t", 64, 20).await;
    run("select c from t", 2, 7).await;
    let between = observer.snapshot().since(&earlier);
    let told = |stats: &StatementStats| (stats.text.clone(), stats.calls, stats.rows);
    let [a, c] = &between.statements[..] else { panic!("{between:?}") };
    assert_eq!((told(a), told(c)), (("select a from t".into(), 20, 20), ("select c from t".into(), 7, 7)));
    assert!(a.latency.p50_ns.abs_diff(64_000_000) <= 1_000_000, "the fast ones were before: {a:?}");
    assert_eq!(a.latency.sum_ns, 20 * 64_000_000);

    observer.reset();
    assert!(observer.report().statements.is_empty());
    run("select a from t", 3, 2).await;
    let after = observer.snapshot();
    assert_eq!(after.report().statements[0].calls, 2);
    assert_eq!(after.since(&earlier).statements[0].calls, 2, "begun anew: everything since then");
}

#[test]
fn lists_begin_with_what_they_are_asked_for() {
    let observer = Observer::new("sqlite");
    observer.start("select many from t").succeeded(900);
    (0..9).for_each(|_| observer.start("select often from t").succeeded(1));
    (0..2).for_each(|_| observer.start("select bad from t").failed(Class::Contention));
    let report = observer.report();
    let first = |by| report.top(1, by)[0].text.clone();
    assert_eq!(first(By::Rows), "select many from t");
    assert_eq!(first(By::Calls), "select often from t");
    assert_eq!(first(By::Errors), "select bad from t");
    let bad = &report.top(1, By::Errors)[0].by_class[..];
    assert_eq!(bad.iter().map(|one| (one.class, one.times)).collect::<Vec<_>>(), [(Class::Contention, 2)]);
}

#[test]
fn a_reused_address_is_not_mistaken_for_a_known_text() {
    let observer = Observer::new("sqlite");
    let mut text = String::from("select a from t");
    observer.start_text(&text).succeeded(0);
    text.replace_range(7..8, "b"); // same address, same length
    observer.start_text(&text).succeeded(0);
    assert_eq!(observer.report().statements.len(), 2);
}

/// What a statement did before the first snapshot is no part of the difference, though it lost its place after it.
#[test]
fn a_difference_of_snapshots_counts_what_ran_between_them_whoever_lost_its_place() {
    let observer = Observer::with_capacity("sqlite", 4);
    let run = |text: &str, times: usize| (0..times).for_each(|_| observer.start_text(text).succeeded(2));
    run("select a from t", 3);
    run("select b from t", 50);
    let earlier = observer.snapshot();
    for n in 0..20 {
        run(&format!("select c{n} from t"), 1);
    }
    run("select a from t", 7);
    let between = observer.snapshot().since(&earlier);
    let calls: u64 = between.statements.iter().map(|one| one.calls).sum();
    let rows: u64 = between.statements.iter().map(|one| one.rows).sum();
    assert!(between.evicted > 0);
    assert_eq!((calls + between.other.calls, rows + between.other.rows), (27, 54));
    let latency: u64 = between.statements.iter().map(|one| one.latency.count).sum();
    assert_eq!(latency + between.other.latency.count, 27);
}

/// Statements lose their places while they are executed, and the figures are read meanwhile.
#[test]
fn no_execution_is_lost_where_many_threads_meet_in_a_full_table() {
    const EACH: u64 = 15_000;
    let observer = Observer::with_capacity("sqlite", 16);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let observer = &observer;
            scope.spawn(move || {
                for n in 0..EACH {
                    let column = (n.wrapping_mul(2_654_435_761) >> 3) % 100 + thread;
                    observer.start_text(&format!("select c{column} from t")).succeeded(1);
                    if n % 2_000 == 0 {
                        let _ = observer.report();
                    }
                }
            });
        }
    });
    let report = observer.report();
    let calls: u64 = report.statements.iter().map(|one| one.calls).sum();
    let rows: u64 = report.statements.iter().map(|one| one.rows).sum();
    assert_eq!((calls + report.other.calls, rows + report.other.rows), (4 * EACH, 4 * EACH));
}
