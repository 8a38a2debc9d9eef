//! The report as a page: its figures are the report's, nothing on it runs or asks for anything, and it stays small.
#![cfg(feature = "html")]

mod outputs;

use std::fs;

use offgridflow_loadtest::{
    FailKind, LoadTest, Rate, Report, TargetError, WarmUp, parse_duration, workload_fn,
};
use outputs::{SECOND, all, mixed, ms};
use serde_json::Value;
use testkit::Browser;
use tokio::time::sleep;

/// Each figure of a page: where it stands in the JSON, its value, and what is shown.
fn figures(page: &str) -> Vec<[&str; 3]> {
    let parts = page.split("<data data-at=\"").skip(1);
    let figure = |part| -> Option<[&str; 3]> {
        let (at, rest) = str::split_once(part, "\" value=\"")?;
        let (value, rest) = rest.split_once("\">")?;
        Some([at, value, rest.split_once("</data>")?.0])
    };
    parts.map(|part| figure(part).expect("a figure")).collect()
}

/// What is wrong with a figure, by the JSON.
fn wrong(json: &Value, [at, value, shown]: [&str; 3]) -> Option<String> {
    let there = json.pointer(at).and_then(Value::as_f64);
    let value: f64 = value.parse().expect("a number");
    if there != Some(value) {
        return Some(format!("{at}: {value} on the page, {there:?} in the data"));
    }
    let shown = shown.trim_start_matches(['≥', 'n']).replace('\u{202F}', "");
    let read = if let Some(percent) = shown.strip_suffix(" %") {
        percent.parse::<f64>().ok().map(|percent| percent / 100.0)
    } else if let Some(rate) = shown.strip_suffix("/s") {
        rate.parse().ok()
    } else if at.ends_with("ns") || at.ends_with("value") || at.ends_with("at_least") {
        parse_duration(&shown).ok().map(|time| time.as_secs_f64() * 1e9)
    } else {
        shown.parse().ok()
    };
    let near = read.is_some_and(|read| (read - value).abs() <= 0.006 * value.abs() + 0.000_051);
    (!near).then(|| format!("{at}: `{shown}` is shown for {value}"))
}

#[tokio::test(start_paused = true)]
async fn every_figure_on_the_page_is_the_reports() {
    let mut seen = 0;
    for report in all().await {
        let json: Value = serde_json::from_str(&report.to_json().expect("plain data")).expect("JSON");
        let page = report.to_html();
        let figures = figures(&page);
        let faults: Vec<_> = figures.iter().filter_map(|figure| wrong(&json, *figure)).collect();
        assert_eq!(faults, Vec::<String>::new());
        seen += figures.len();
    }
    assert!(seen > 500, "{seen}");
    // The control: figures of another run are not this one's.
    let [one, other] = [200.0, 210.0].map(|rate| {
        let work = workload_fn(|op| sleep(ms(5 + op.index() % 7)));
        LoadTest::new(work).rate(Rate::constant(rate, SECOND * 5)).run_here()
    });
    let (one, other) = (one.await.expect("runs"), other.await.expect("runs"));
    let json: Value = serde_json::from_str(&other.to_json().expect("plain data")).expect("JSON");
    assert!(figures(&one.to_html()).iter().filter_map(|figure| wrong(&json, *figure)).count() > 5);
}

#[tokio::test(start_paused = true)]
async fn a_page_holds_its_report_and_reads_back_as_it() {
    for report in all().await {
        let page = report.to_html();
        assert_eq!(Report::from_html(&page).expect("its own page"), report);
        assert!(!page.contains("NaN") && !page.contains("inf\""), "{page}");
        for tag in ["table", "tr", "section", "svg", "figure", "details"] {
            let opened =
                page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
    let refused = Report::from_html("<!doctype html><p>hello").expect_err("no report");
    assert!(refused.to_string().contains("holds no report"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn the_page_says_in_words_how_the_run_came_out() {
    let words = [
        "passed",
        "threshold broken",
        "ended by its rule",
        "target down",
        "target down",
        "not valid",
        "not valid",
        "passed",
        "interrupted",
    ];
    for (report, word) in all().await.into_iter().zip(words) {
        let page = report.to_html();
        assert!(page.contains(&format!("<h1>Load test: <span>{word}</span></h1>")), "{word}: {report}");
        assert!(page.contains(&format!("the exit code, which is {}.", report.exit_code())), "{report}");
        let cause = report.verdict.cause().map(|cause| cause.chars().take(20).collect::<String>());
        assert!(cause.is_none_or(|cause| page.contains(&cause.replace('\'', "&#39;"))), "{report}");
    }
}

/// Every cell of the map in use: fifty routes, more seconds than stretches, response times over all octaves.
#[tokio::test(start_paused = true)]
async fn a_page_is_small_however_much_was_measured() {
    let work = workload_fn(|op| async move {
        op.route(&format!("GET /a/rather/long/path/of/an/api/{}/{{id}}/items", op.index() % 50));
        if op.rng().chance(0.1) {
            return Err(TargetError::answered(
                FailKind::Check(format!("check {}", op.rng().below(300)).into()),
                "what the server said ".repeat(9),
            ));
        }
        let octave = op.rng().below(14);
        sleep(ms((1 << octave) + op.rng().below(1 << octave))).await;
        Ok(())
    });
    let test = LoadTest::new(work).rate(Rate::constant(200.0, SECOND * 180)).timeout(SECOND * 8);
    let report = test.run_here().await.expect("runs");
    let page = report.to_html();
    assert!(report.routes.len() == 50 && report.timeline.stretches.len() > 60, "{report}");
    assert!(page.len() <= 500_000, "{} bytes", page.len());
    assert_eq!(Report::from_html(&page).expect("its own page"), report);
}

const HOSTILE: [&str; 6] = [
    "</script><script>document.title = 'owned'</script>",
    "<!--<script>",
    "\" onload=\"document.title='owned'\" '",
    "\u{202E}drawkcab\u{2028}\u{2029}\u{0}\n",
    "<img src=http://example.invalid/x onerror=alert(1)>",
    "&lt;b&gt; ]]> {{x}} ${y}",
];

async fn hostile() -> Report {
    let work = workload_fn(|op| async move {
        let nth = usize::try_from(op.index() % 7).expect("small");
        match HOSTILE.get(nth) {
            Some(name) => op.route(name),
            None => op.route(&"<wide>".repeat(2_000)),
        }
        sleep(ms(4)).await;
        let said = HOSTILE[nth % HOSTILE.len()];
        if op.index() % 3 == 0 {
            Err(TargetError::answered(FailKind::Check(said.into()), said))
        } else {
            Ok(())
        }
    });
    let test = LoadTest::new(work.named(HOSTILE[0])).rate(Rate::constant(200.0, SECOND * 5));
    test.warm_up(WarmUp::For(SECOND)).run_here().await.expect("runs")
}

#[tokio::test(start_paused = true)]
async fn names_of_anybodys_are_text_and_no_markup() {
    let report = hostile().await;
    let page = report.to_html();
    assert_eq!(page.matches("<script").count(), 1, "the data");
    assert_eq!(page.matches("</script").count(), 1, "the data's end");
    for markup in ["<!--", "<img", "<b>", "<wide>", " onload=\"", "\u{202E}", "\u{2028}", "\u{0}"] {
        assert!(!page.contains(markup), "{markup:?}");
    }
    assert_eq!(Report::from_html(&page).expect("its own page"), report, "and in the data they are whole");
    assert!(page.len() <= 500_000);

    // Names that no page has room for: cut, and that is said.
    let work =
        workload_fn(|op| async move { op.route(&format!("{}{}", op.index() % 60, "<>&".repeat(4_000))) });
    let report = LoadTest::new(work).rate(Rate::constant(200.0, SECOND * 5)).run_here().await.expect("runs");
    let page = report.to_html();
    assert!(page.len() <= 500_000 && page.contains("are cut: they were too long"), "{}", page.len());
    let read = Report::from_html(&page).expect("its own page");
    assert_eq!((read.routes.len(), &read.total), (60, &report.total));
}

/// The control: a page that runs something and asks for something is caught at both.
#[tokio::test(start_paused = true)]
async fn the_page_runs_nothing_and_asks_for_nothing_in_a_browser() {
    let Some(browser) = Browser::find() else { return eprintln!("SKIP no browser is here") };
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("report.html");
    for report in [mixed().run_here().await.expect("runs"), hostile().await] {
        let page = report.to_html();
        fs::write(&file, &page).expect("writes");
        let seen = browser.open(&file).expect("opens");
        assert!(seen.console.is_empty() && seen.asked.is_empty(), "{seen:?}");
        assert!(!seen.document.contains("<title>owned") && !seen.document.contains("<img"), "{seen:?}");
        // What the browser has are the same figures, and all of the plots.
        let json: Value = serde_json::from_str(&report.to_json().expect("plain data")).expect("JSON");
        let shown = figures(&seen.document);
        assert_eq!(shown.len(), figures(&page).len());
        assert_eq!(
            shown.iter().filter_map(|figure| wrong(&json, *figure)).collect::<Vec<_>>(),
            Vec::<String>::new()
        );
        for id in ["curve", "rates", "heat", "lag"] {
            assert!(seen.document.contains(&format!("<title id=\"{id}-title\">")), "{id}");
        }
        assert!(seen.document.contains("<h2>Environment</h2>") && seen.document.contains("</footer>"));
    }
    let restless = hostile().await.to_html();
    let restless = restless.replace(
        "</main>",
        "<img src=\"http://example.invalid/x\"><script>document.title = 'ran'</script></main>",
    );
    fs::write(&file, &restless).expect("writes");
    let seen = browser.open(&file).expect("opens");
    assert!(seen.console.len() >= 2 && seen.asked.is_empty(), "the page's own policy refused both: {seen:?}");
    let (before, rest) = restless.split_once("<meta http-equiv").expect("a policy");
    let without = format!("{before}{}", rest.split_once('>').expect("its end").1);
    fs::write(&file, without).expect("writes");
    let asked = browser.open(&file).expect("opens").asked;
    assert_eq!(asked.first().map(String::as_str), Some("http://example.invalid/x"));
}
