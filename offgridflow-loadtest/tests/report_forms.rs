//! A report says the same in every form: JSON by its schema, JUnit, Prometheus, windows.
#![cfg(feature = "serde")]

mod outputs;

use std::{collections::BTreeSet, time::Duration};

use offgridflow_loadtest::{
    Executor, FailKind, LoadTest, NdjsonWindows, OnCap, Op, Outcome, Overload, Rate, Report, ShardCtx,
    TargetError, WarmUp, Workload, workload_fn,
};
use outputs::{Full, Kept};
use serde_json::{Value, json};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Two routes, one of them slow; of a hundred one fails and one is never answered.
fn mixed() -> LoadTest<impl Workload> {
    let work = workload_fn(|op| async move {
        op.route(if op.index() % 5 == 0 { "GET /slow{id} \"<&" } else { "fast" });
        match op.index() % 100 {
            7 => return Err("a \"bad\" <answer> & more\\\u{1}"),
            8 => std::future::pending().await,
            n => sleep(ms(if n % 5 == 0 { 40 } else { 4 })).await,
        }
        Ok(())
    });
    LoadTest::new(work.named("kettle & \"pot\"")).rate(Rate::constant(200.0, SECOND * 20)).timeout(ms(300))
}

struct Unreachable;

impl Workload for Unreachable {
    type Session = ();
    async fn open(&self, _: &ShardCtx) -> Result<(), TargetError> {
        Err(TargetError::unanswered(FailKind::Connect, "refused"))
    }
    async fn call(&self, (): &mut (), _: &mut Op) -> Outcome {
        Outcome::ok()
    }
}

/// One of each way in which a run comes out.
async fn all() -> Vec<Report> {
    let fine = || workload_fn(|_| sleep(ms(5)));
    let rate = |per_sec| Rate::constant(per_sec, SECOND * 5);
    let stopped = LoadTest::new(fine()).rate(rate(100.0));
    let stop = stopped.stop_handle();
    tokio::spawn(async move {
        sleep(SECOND * 2).await;
        stop.stop();
    });
    vec![
        mixed().threshold("failure_ratio < 5%").warm_up(WarmUp::For(SECOND)).run_here().await,
        mixed().threshold("p95(response) < 10ms").deadline(ms(100), Overload::Queue).run_here().await,
        mixed().abort_if("failure_ratio[2s] > 0.5%").run_here().await,
        LoadTest::new(Unreachable).rate(rate(100.0)).run_here().await,
        LoadTest::new(workload_fn(|_| std::future::pending::<()>()))
            .rate(rate(100.0))
            .timeout(ms(50))
            .run_here()
            .await,
        LoadTest::new(fine()).rate(rate(10.0)).run_here().await,
        LoadTest::new(workload_fn(|_| sleep(SECOND)))
            .rate(rate(100.0))
            .max_in_flight(5, OnCap::CountAsFailure)
            .run_here()
            .await,
        LoadTest::new(fine()).executor(Executor::closed(4, SECOND * 5)).run_here().await,
        stopped.run_here().await,
    ]
    .into_iter()
    .map(|report| report.expect("runs"))
    .collect()
}

/// What of the draft the schema uses.
fn fault(schema: &Value, root: &Value, value: &Value, at: &str) -> Option<String> {
    let wrong = |what: &str| Some(format!("{at}: {what}: {value}"));
    if let Some(name) = schema["$ref"].as_str() {
        return fault(&root["$defs"][name.trim_start_matches("#/$defs/")], root, value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().filter(|choice| fault(choice, root, value, at).is_none()).count();
        return if fits == 1 { None } else { wrong(&format!("{fits} of oneOf")) };
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return wrong("not the constant");
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        return wrong("not in the enumeration");
    }
    let kinds: Vec<_> = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is(kind)) {
        return wrong("of another type");
    }
    if value.as_f64().is_some_and(|number| schema["minimum"].as_f64().is_some_and(|least| number < least)) {
        return wrong("below the minimum");
    }
    if let Some(fields) = value.as_object() {
        let known = &schema["properties"];
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        if let Some(name) = required.iter().filter_map(Value::as_str).find(|name| !fields.contains_key(*name))
        {
            return wrong(&format!("without {name}"));
        }
        if schema["additionalProperties"] == json!(false)
            && let Some(name) = fields.keys().find(|name| known.get(name).is_none())
        {
            return wrong(&format!("with {name}"));
        }
        return fields
            .iter()
            .find_map(|(name, value)| fault(known.get(name)?, root, value, &format!("{at}.{name}")));
    }
    value
        .as_array()?
        .iter()
        .enumerate()
        .find_map(|(index, item)| fault(&schema["items"], root, item, &format!("{at}[{index}]")))
}

#[tokio::test(start_paused = true)]
async fn every_report_is_what_its_schema_says() {
    let schema: Value = serde_json::from_str(Report::JSON_SCHEMA).expect("JSON");
    let check = |report: &Value| fault(&schema, &schema, report, "report");
    for report in all().await {
        let json: Value = serde_json::from_str(&report.to_json().expect("plain data")).expect("JSON");
        assert_eq!(check(&json), None);
        let unknown: Vec<_> = json
            .as_object()
            .expect("fields")
            .keys()
            .filter(|name| schema["properties"].get(name).is_none())
            .collect();
        assert!(unknown.is_empty(), "the schema leaves out {unknown:?}");
        for (pointer, value) in [
            ("/verdict", json!({"validity": {"is": "fine"}, "limit": {"is": "not_reached"}})),
            ("/total/response/p95", json!({"value": 1.5})),
            ("/total/response/p95", json!({"value": 1, "needs": 3})),
            ("/offered", json!(-1)),
            ("/ending", json!("stopped")),
            ("/routes", json!([{}])),
            ("/warm_up", json!("none")),
        ] {
            let mut damaged = json.clone();
            *damaged.pointer_mut(pointer).expect(pointer) = value;
            assert!(check(&damaged).is_some(), "{pointer}");
        }
    }
}

/// The element names of a document, each closed in its order, and the attributes' values.
fn elements(xml: &str) -> (Vec<String>, Vec<String>) {
    let (mut open, mut names, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("a declaration");
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains(['>', '"']), "{text}");
        let (tag, after) = after.split_once('>').expect("a tag is closed");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "in order");
            continue;
        }
        let (inner, empty) = tag.strip_suffix('/').map_or((tag, false), |inner| (inner, true));
        let name = inner.split(' ').next().unwrap_or_default().to_owned();
        values.extend(inner.split('"').skip(1).step_by(2).map(str::to_owned));
        assert_eq!(inner.matches('"').count() % 2, 0, "{tag}");
        names.push(name.clone());
        if !empty {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    (names, values)
}

#[tokio::test(start_paused = true)]
async fn junit_is_red_where_the_exit_code_is() {
    for report in all().await {
        let xml = report.to_junit();
        let (names, values) = elements(&xml);
        let count = |name: &str| names.iter().filter(|other| *other == name).count();
        assert_eq!(count("testcase"), 1 + report.thresholds.len(), "{xml}");
        let red = count("failure") + count("error");
        assert_eq!(red > 0, report.exit_code() != 0, "{xml}");
        assert!(values.iter().all(|value| !value.chars().any(char::is_control)), "{xml}");
        assert!(!xml.contains('\u{1}') && !xml.contains("& "), "{xml}");
        let totals = format!(
            "failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
            count("failure"),
            count("error"),
            count("skipped")
        );
        assert_eq!(xml.matches(&totals).count(), 2, "{totals} in {xml}");
    }
}

/// Name, labels and value of each sample.
fn samples(text: &str) -> Vec<(String, String, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let value = if value == "+Inf" { f64::INFINITY } else { value.parse().expect("a number") };
        (name.to_owned(), labels.trim_end_matches('}').to_owned(), value)
    };
    lines.map(sample).collect()
}

#[tokio::test(start_paused = true)]
async fn prometheus_has_each_series_once_and_the_reports_figures() {
    for report in all().await {
        let text = report.to_prometheus();
        let samples = samples(&text);
        let series: BTreeSet<_> = samples.iter().map(|(name, labels, _)| (name, labels)).collect();
        assert_eq!(series.len(), samples.len(), "{text}");
        for (name, ..) in &samples {
            let family = name.trim_end_matches("_count");
            assert_eq!(text.matches(&format!("# TYPE {family} ")).count(), 1, "{name} in {text}");
        }
        let value = |name: &str, labels: &str| {
            let found = samples.iter().find(|(other, others, _)| other == name && others == labels);
            found.map(|(.., value)| *value)
        };
        let count = report.total.ok as f64;
        assert_eq!(
            value("offgridflow_loadtest_operations", "route=\"\",outcome=\"ok\""),
            Some(count),
            "{text}"
        );
        assert_eq!(value("offgridflow_loadtest_exit_code", ""), Some(f64::from(report.exit_code())));
        let p95 = value("offgridflow_loadtest_response_seconds", "route=\"\",quantile=\"0.95\"");
        let expected = report.total.response.p95.value().map(|time| time.as_secs_f64());
        assert!(p95.filter(|seconds| seconds.is_finite()) == expected, "{p95:?} {expected:?}");
    }
    let report = mixed().run_here().await.expect("runs");
    let text = report.to_prometheus();
    assert!(text.contains(r#"route="GET /slow{id} \"<&",outcome="ok""#), "{text}");
    let never = "offgridflow_loadtest_response_seconds{route=\"\",quantile=\"0.999\"} +Inf\n";
    assert!(text.contains(never), "one of a hundred was never answered: {text}");
}

#[tokio::test(start_paused = true)]
async fn windows_as_lines_of_json_add_up_to_the_report() {
    let out = Kept::default();
    let report = mixed().reporter(NdjsonWindows::to(out.clone())).run_here().await.expect("runs");
    let text = out.text();
    let windows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let sum = |field: &str| windows.iter().filter_map(|window| window[field].as_u64()).sum::<u64>();
    assert_eq!(
        (sum("ok"), sum("failed"), sum("offered")),
        (report.total.ok, report.total.failed, report.offered)
    );
    assert!(windows.windows(2).all(|pair| pair[0]["to_ns"] == pair[1]["from_ns"]), "without a gap");
    assert!(text.ends_with('\n') && windows.len() >= 20, "{}", windows.len());
}

#[tokio::test]
async fn windows_that_cannot_be_written_cost_no_result() {
    let test = LoadTest::new(workload_fn(|_op| async {})).rate(Rate::constant(500.0, SECOND));
    let report = test.reporter(NdjsonWindows::to(Full)).run_here().await.expect("runs");
    let noted = report.notes.iter().any(|note| note.contains("windows as NDJSON could not deliver"));
    assert!(report.total.ok == 500 && noted, "{:?}", report.notes);
}
