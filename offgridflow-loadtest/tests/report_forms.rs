//! A report says the same in every form: JSON by its schema, JUnit, Prometheus, windows.
#![cfg(feature = "serde")]

mod outputs;

use std::collections::BTreeSet;

use offgridflow_loadtest::{LoadTest, NdjsonWindows, Quantile, Rate, Report, Stretch, workload_fn};
use outputs::{Full, Kept, SECOND, all, mixed};
use serde_json::{Value, json};

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

/// The same stretches whatever form they are read in, and each operation in one of them.
#[tokio::test(start_paused = true)]
async fn the_timeline_adds_up_to_the_report() {
    let lasted = |report: &Report| !report.elapsed.is_zero(); // one is stopped before it begins
    for report in all().await.into_iter().filter(lasted) {
        let (rows, stretches) = (&report.timeline.rows, &report.timeline.stretches);
        let measured = || stretches.iter().filter(|stretch| stretch.measured);
        let sum = |of: fn(&Stretch) -> u64| measured().map(of).sum::<u64>();
        assert_eq!(
            (sum(|one| one.ok), sum(|one| one.failed)),
            (report.total.ok, report.total.failed),
            "{report}"
        );
        assert_eq!(sum(|one| one.unanswered), report.total.response.unanswered, "{report}");
        assert!(stretches.iter().all(|one| one.heat.len() == rows.len()), "a matrix");
        assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "{rows:?}");
    }
}

/// A point of the curve and the same percentile of the summary are one figure.
#[tokio::test(start_paused = true)]
async fn the_curve_goes_through_the_percentiles_of_the_summary() {
    for report in all().await {
        let seen = &report.total.response;
        let named =
            [(0.5, seen.p50), (0.9, seen.p90), (0.95, seen.p95), (0.99, seen.p99), (0.999, seen.p999)];
        for (share, said) in named {
            let point = report.percentiles.iter().find(|point| point.share == share);
            let told = matches!(said, Quantile::Value(_) | Quantile::AtLeast(_));
            assert_eq!(point.map(|point| point.response), told.then_some(said), "{share} of {report}");
        }
        assert!(report.percentiles.windows(2).all(|pair| pair[0].share < pair[1].share));
    }
}

/// What an earlier version wrote has neither curve nor timeline.
#[tokio::test(start_paused = true)]
async fn a_report_of_an_earlier_version_reads_back() {
    let report = mixed().run_here().await.expect("runs");
    let mut json: Value = serde_json::from_str(&report.to_json().expect("plain data")).expect("JSON");
    for later in ["environment", "percentiles", "timeline"] {
        json.as_object_mut().expect("an object").remove(later).expect(later);
    }
    let read = Report::from_json(&json.to_string()).expect("reads");
    assert_eq!((read.total, read.percentiles.len()), (report.total, 0));
}

#[tokio::test]
async fn windows_that_cannot_be_written_cost_no_result() {
    let test = LoadTest::new(workload_fn(|_op| async {})).rate(Rate::constant(500.0, SECOND));
    let report = test.reporter(NdjsonWindows::to(Full)).run_here().await.expect("runs");
    let noted = report.notes.iter().any(|note| note.contains("windows as NDJSON could not deliver"));
    assert!(report.total.ok == 500 && noted, "{:?}", report.notes);
}
