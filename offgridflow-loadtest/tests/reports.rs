//! A report says the same in text and JSON, and reads back.
#![cfg(feature = "serde")]

mod outputs;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use offgridflow_loadtest::{
    FailKind, LoadTest, ProgressLines, Rate, Report, ReportError, Reporter, SCHEMA, TargetError,
    ThresholdStatus, workload_fn,
};
use outputs::Kept;
use tokio::time::sleep;

async fn report() -> Report {
    let work = workload_fn(|op| async move {
        op.route(if op.index() % 5 == 0 { "slow" } else { "fast" });
        sleep(Duration::from_millis(if op.index() % 5 == 0 { 40 } else { 4 })).await;
        if op.index() % 100 == 0 { Err("teapot") } else { Ok(()) }
    });
    let test =
        LoadTest::new(work.named("kettle")).rate(Rate::constant(100.0, Duration::from_secs(10))).seed(3);
    let test = test.threshold("p95(response){fast} < 10ms").threshold("p95(response) < 10ms");
    test.run_here().await.expect("runs")
}

#[tokio::test(start_paused = true)]
async fn json_reads_back_as_the_same_report() {
    let report = report().await;
    let json = report.to_json().expect("plain data");
    assert_eq!(Report::from_json(&json).expect("its own text"), report);
}

/// Rates and shares of any run are read to the last bit.
#[tokio::test(start_paused = true)]
async fn json_reads_back_whatever_the_numbers_are() {
    for k in 0..60_u64 {
        let mut report = report().await;
        let ugly = (1.0 + k as f64).sqrt() / 7.0;
        report.total.rate_per_sec = ugly * 1e3;
        report.achieved_share = Some(ugly.fract());
        report.generator.cpu_share = Some(ugly.exp());
        report.generator.waited_share = Some(ugly / 3e7);
        report.generator.littles_residual = Some(ugly.sin().abs() * 1e-9);
        let json = report.to_json().expect("plain data");
        assert_eq!(Report::from_json(&json).expect("its own text"), report);
    }
}

#[tokio::test(start_paused = true)]
async fn json_has_the_fields_a_reader_relies_on() {
    let json: serde_json::Value =
        serde_json::from_str(&report().await.to_json().expect("plain data")).expect("json");
    assert_eq!(json["schema"], SCHEMA);
    assert_eq!(json["verdict"]["validity"]["is"], "valid");
    assert_eq!(json["verdict"]["limit"]["is"], "not_reached");
    assert_eq!(json["ending"], "completed");
    assert_eq!((&json["offered"], &json["total"]["response"]["count"]), (&1000.into(), &1000.into()));
    assert_eq!(json["total"]["response"]["p999"]["needs"], 2995);
    assert!(json["total"]["response"]["p95"]["value"].as_u64().is_some_and(|ns| ns > 30_000_000));
    assert_eq!(json["routes"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["errors"][0]["message"], "teapot");
    assert_eq!(
        (&json["thresholds"][0]["status"], &json["thresholds"][1]["status"]),
        (&"met".into(), &"broken".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_report_of_another_schema_is_refused() {
    let json = report().await.to_json().expect("plain data").replace(SCHEMA, "somebody-else/7");
    assert!(Report::from_json(&json).expect_err("refused").to_string().contains("somebody-else/7"));
}

#[tokio::test(start_paused = true)]
async fn the_text_fits_a_screen_and_ends_with_the_verdict() {
    let report = report().await;
    let text = report.to_string();
    assert!(text.lines().count() < 35 && text.lines().all(|line| line.chars().count() <= 120), "{text}");
    assert_eq!(text.lines().last(), Some("verdict: Valid"));
    for part in
        ["kettle", "offered 100.0/s", "response", "service", "dispatch lag", "n≥2995", "teapot", "BROKEN"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert_eq!((report.exit_code(), report.thresholds[1].status), (1, ThresholdStatus::Broken));
}

/// Each answer takes five seconds, so half of them come after the ten of the plan.
#[tokio::test(start_paused = true)]
async fn a_rate_is_of_answers_within_the_measured_window() {
    let test = || LoadTest::new(workload_fn(|_| sleep(Duration::from_secs(5))));
    let rate = || Rate::constant(100.0, Duration::from_secs(10));
    let report = test().rate(rate()).run_here().await.expect("runs");
    assert_eq!(report.total.answered, 1_000, "{report}");
    assert!((49.5..=50.5).contains(&report.total.rate_per_sec), "500 in 10 s\n{report}");
    let text = report.to_string();
    assert!(text.contains("/s over 10.0s, ") && text.contains("s of draining"), "{text}");
    // Stopped after seven seconds: two seconds' answers in seven.
    let test = test().rate(rate());
    let stop = test.stop_handle();
    tokio::spawn(async move {
        sleep(Duration::from_secs(7)).await;
        stop.stop();
    });
    let report = test.run_here().await.expect("runs");
    assert!((27.0..=29.0).contains(&report.total.rate_per_sec), "200 in 7 s\n{report}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_below_one_a_second_is_not_rounded_away() {
    let test = LoadTest::new(workload_fn(|_| sleep(Duration::from_millis(4))));
    let report = test.rate(Rate::constant(0.04, Duration::from_secs(1_000))).run_here().await.expect("runs");
    let text = report.to_string();
    assert!(text.contains("offered 0.04/s, answered 0.04/s over 1000s"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn progress_is_a_line_a_second() {
    let out = Kept::default();
    let test = LoadTest::new(workload_fn(|_| sleep(Duration::from_millis(4))));
    let test =
        test.rate(Rate::constant(50.0, Duration::from_secs(5))).reporter(ProgressLines::to(out.clone()));
    test.run_here().await.expect("runs");
    let text = out.text();
    let lines: Vec<_> = text.lines().collect();
    assert!((6..=7).contains(&lines.len()), "{text}");
    assert!(lines[3].contains("3 s / 5 s  offered 50/s  done 50/s  failed 0"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_reporter_that_fails_is_noted_and_costs_no_result() {
    struct Full;
    impl Reporter for Full {
        fn on_end(&mut self, _: &Report) -> Result<(), ReportError> {
            Err(ReportError { reporter: "disk", source: "no space left".into() })
        }
    }
    let test = LoadTest::new(workload_fn(|_| async {})).rate(Rate::constant(100.0, Duration::from_secs(5)));
    let report = test.reporter(Full).run_here().await.expect("runs");
    assert_eq!(report.notes, ["disk could not deliver the report: no space left"]);
    assert!(report.verdict.is_valid());
}

/// What operations and routes are called is up to the workload: the table stays a table, the verdict one line.
#[tokio::test(start_paused = true)]
async fn any_text_keeps_the_report_in_its_columns() {
    let work = workload_fn(|op| async move {
        match op.index() % 3 {
            0 => op.route(&format!("GET /{}", "排出量".repeat(20))),
            1 => op.route("POST /two\nlines\u{1b}[31m"),
            _ => op.route("GET /short"),
        }
        Err::<(), _>(TargetError::unanswered(
            FailKind::Connect,
            format!("first\nsecond {}", "long ".repeat(90)),
        ))
    });
    let rate = Rate::constant(100.0, Duration::from_secs(4));
    let report = LoadTest::new(work).rate(rate).run_here().await.expect("runs");
    let text = report.to_string();
    assert_eq!(report.verdict.name(), "TargetDown");
    assert!(text.trim_end().lines().last().expect("lines").contains("first\\nsecond long"), "{text}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
    let rows = |name: &str| text.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
    let (wide, short) = (rows("GET /排出量"), rows("GET /short"));
    let columns = |line: &str| line.chars().map(|c| 1 + usize::from(c > '\u{2E80}')).sum::<usize>();
    assert_eq!((wide.len(), short.len()), (1, 1), "{text}");
    assert_eq!(columns(wide[0]), columns(short[0]), "{text}");
    let ledger = text.lines().skip_while(|line| *line != "errors").skip(1).take(3).collect::<Vec<_>>();
    assert!(ledger.iter().all(|line| line.contains("connect") && columns(line) <= 170), "{text}");
}

/// A writer that others can look into.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn progress_past_the_end_of_the_plan_is_called_draining() {
    let lines = Lines::default();
    let work = workload_fn(|op| {
        sleep(Duration::from_millis(if op.index() < 150 { 10 } else { 3_000 + op.index() * 10 }))
    });
    let test = LoadTest::new(work).rate(Rate::constant(100.0, Duration::from_secs(3)));
    test.reporter(ProgressLines::to(lines.clone())).run_here().await.expect("runs");
    let text = String::from_utf8(lines.0.lock().expect("lock").clone()).expect("text");
    assert!(
        text.contains(" 3 s / 3 s  offered 100/s") && text.contains(" 3 s + 3.0 s draining  done"),
        "{text}"
    );
    assert!(
        text.lines().filter(|line| line.contains("draining")).all(|line| !line.contains("offered")),
        "{text}"
    );
    assert!(!text.contains("4 s / 3 s"), "{text}");
}
