//! A wrong scenario is refused with field, line and advice.
#![cfg(feature = "cli")]

use std::time::Duration;

use offgridflow_loadtest::{ConfigError, Scenario};
use proptest::prelude::*;

const GOOD: &str = r#"seed = 7
thresholds = ["p95(response) < 100ms"]

[target]
url = "http://127.0.0.1:8080/api"
headers = { authorization = "Bearer hunter2" }

[load]
requests_per_second = 100
duration = "30s"
failure_threshold = "2%"

[[route]]
path = "/emissions"
weight = 2

[[route]]
method = "POST"
path = "/activities"
expect = "201"
body = "{}"
"#;

fn refuse(text: &str) -> ConfigError {
    match Scenario::parse(text).and_then(|scenario| scenario.load_test()) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error,
    }
}

/// What replacing a part of a good scenario is refused with: field, line, and a part of the advice.
#[test]
fn refusals_name_field_line_and_remedy() {
    let cases = [
        (
            "duration = \"30s\"",
            "durration = \"30s\"",
            "load.durration",
            10,
            "unknown field `durration`: did you mean `duration`?",
        ),
        (
            "duration = \"30s\"",
            "for = \"30s\"",
            "load.for",
            10,
            "unknown field `for`: did you mean `duration`?",
        ),
        (
            "seed = 7",
            "rate = 7",
            "rate",
            1,
            "unknown field `rate`: `requests_per_second` belongs into [load]",
        ),
        (
            "headers = {",
            "timeout = \"1s\"\nheaders = {",
            "target.timeout",
            6,
            "`timeout` belongs into [load]",
        ),
        ("weight = 2", "wieght = 2", "route.0.wieght", 15, "did you mean `weight`?"),
        (
            "weight = 2",
            "colour = 2",
            "route.0.colour",
            15,
            "unknown field `colour`: there are `path`, `method`, `name`",
        ),
        ("duration = \"30s\"", "duration = 30", "load.duration", 10, "in quotes"),
        ("duration = \"30s\"", "duration = \"30\"", "load.duration", 10, "needs a unit"),
        ("duration = \"30s\"", "duration = \"0s\"", "load.duration", 10, "longer than zero"),
        ("= 100\n", "= -5\n", "load.requests_per_second", 9, "above zero"),
        ("\"2%\"", "\"lots\"", "load.failure_threshold", 11, "not a share"),
        ("\"2%\"", "7", "load.failure_threshold", 11, "7%"),
        ("p95(response)", "p95(latency)", "thresholds", 2, "not measured"),
        (
            "p95(response)",
            "p95(response){GET /emission}",
            "thresholds",
            2,
            "`GET /emissions`, `POST /activities`",
        ),
        ("< 100ms", "< 0ms", "thresholds", 2, "no run could meet this"),
        #[cfg(not(feature = "tls"))]
        ("http://127", "https://127", "target.url", 5, "TLS is not built in: install with `--features tls`"),
        (
            "headers = {",
            "insecure = true\nheaders = {",
            "target.insecure",
            6,
            "is for a service behind https://",
        ),
        ("authorization =", "content-length =", "target.headers.content-length", 6, "follows from the body"),
        ("authorization =", "\"bad header\" =", "target.headers.bad header", 6, "header name"),
        ("path = \"/emissions\"", "path = \"emissions\"", "route.0.path", 14, "begin with a slash"),
        ("weight = 2", "weight = 0", "route.0.weight", 15, "at least 1"),
        ("\"POST\"", "\"PO ST\"", "route.1.method", 18, "not an HTTP method"),
        ("\"201\"", "\"2xx\"", "route.1.expect", 20, "range of statuses"),
        ("seed = 7", "seed = ", "", 1, ""),
    ];
    for (from, to, field, line, hint) in cases {
        let error = refuse(&GOOD.replace(from, to));
        assert_eq!(error.line, Some(line), "{to}: {error}");
        assert!(field.is_empty() || error.field == field, "{to}: {error}");
        assert!(error.hint.contains(hint), "{to}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn statuses_are_one_range_or_several() {
    for expect in ["\"200-299, 404\"", "[\"200-299\", \"404\"]", "[\"204\"]"] {
        let plan = Scenario::parse(&GOOD.replace("\"201\"", expect)).and_then(|s| s.load_test()?.validate());
        assert_eq!(plan.expect(expect).seed, 7);
    }
    for (expect, hint) in [
        ("[]", "at least one"),
        ("[\"404-200\"]", "range of statuses"),
        ("404", "statuses in quotes"),
        ("[404]", "text"),
    ] {
        let error = refuse(&GOOD.replace("\"201\"", expect));
        assert!(error.hint.contains(hint) && error.line == Some(20), "{expect}: {error}");
    }
}

#[test]
fn another_seed_takes_the_place_of_the_files() {
    let random = GOOD.replace("[load]", "[load]\narrivals = \"poisson\"");
    let plan = |scenario: Scenario| scenario.load_test()?.validate();
    let parsed = || Scenario::parse(&random).expect("good");
    let (own, same, other) = (plan(parsed()), plan(parsed().with_seed(7)), plan(parsed().with_seed(8)));
    let said = |plan: Result<offgridflow_loadtest::Plan, _>| {
        plan.map(|plan| (plan.seed, plan.load())).expect("good")
    };
    let (own, same, other) = (said(own), said(same), said(other));
    assert_eq!(own, same);
    assert!(other.0 == 8 && other.1 != own.1, "{other:?}");
}

/// What a reader of files calls its types is nothing to who writes them.
#[test]
fn refusals_are_in_plain_words() {
    for (from, to, hint) in [
        ("weight = 2", "weight = \"two\"", "a whole number from 0 up, not text"),
        ("weight = 2", "weight = -1", "a whole number from 0 up, not a number below 0"),
        ("weight = 2", "weight = 1.5", "a whole number from 0 up, not a number with a fraction"),
        ("seed = 7", "seed = true", "a whole number from 0 up, not true or false"),
        ("= 100\n", "= \"many\"\n", "a number, not text"),
        ("body = \"{}\"", "body = 7", "text in quotes, not a number"),
        ("url = \"http://127.0.0.1:8080/api\"", "url = 7", "text in quotes, not a number"),
        ("[load]", "[load]\nspin = 1", "true or false, not a number"),
        ("[load]", "[load]\narrivals = \"often\"", "`often` is not known: write one of `steady`"),
        ("thresholds = [\"p95(response) < 100ms\"]", "thresholds = \"x\"", "a list, not text"),
        ("headers = { authorization = \"Bearer hunter2\" }", "headers = \"hunter2\"", "a table, not text"),
        ("headers = { authorization = \"Bearer hunter2\" }", "headers = 1", "a table, not a number"),
    ] {
        let error = refuse(&GOOD.replacen(from, to, 1));
        let said = error.to_string();
        assert!(said.contains(hint), "{to}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
        for name in ["u64", "u32", "u16", "usize", "f64", "i64", "struct", "sequence", "map", "floating"] {
            assert!(!said.contains(name), "{to}: {said}");
        }
    }
}

#[test]
fn contradictions_are_refused() {
    let stages = GOOD.replace("duration = \"30s\"\n", "stages = [{ over = \"10s\", to = 100 }]\n");
    assert!(refuse(&stages).hint.contains("not both"));
    let twice = stages.replace("requests_per_second = 100", "ramp_up = \"1s\"");
    assert!(refuse(&twice).hint.contains("durations of their own"));
    let busy = GOOD.replace("[load]", "[load]\nconcurrent_workers = 10\nthink_time = \"1s\"");
    assert_eq!((&*refuse(&busy).field, refuse(&busy).line), ("load.concurrent_workers", Some(9)));
    let twice = format!("{GOOD}\n[[route]]\npath = \"/emissions\"\n");
    let refused = refuse(&twice);
    assert!(
        refused.field == "route.2.path" && refused.hint.contains("`GET /emissions` stands there twice"),
        "{refused}"
    );
    let together = twice.replace("path = \"/emissions\"", "path = \"/emissions\"\nname = \"emissions\"");
    assert!(Scenario::parse(&together).and_then(|s| s.load_test()?.validate()).is_ok());
}

#[test]
fn stages_and_random_arrivals_are_understood() {
    let plan = |text: &str| {
        Scenario::parse(text).and_then(|s| s.load_test()).and_then(|test| test.validate()).expect(text)
    };
    let stages =
        "stages = [{ over = \"10s\", to = 100 }, { over = \"20s\", to = 100 }, { over = \"10s\", to = 0 }]\n";
    let staged = plan(&GOOD.replace("requests_per_second = 100\nduration = \"30s\"\n", stages));
    assert_eq!(staged.executor.duration(), Duration::from_secs(40));
    assert!(staged.load().contains("3000 operations"), "{}", staged.load());
    let random = plan(&GOOD.replace("[load]", "[load]\narrivals = \"poisson\""));
    assert!(!random.load().contains(" 3000 operations"), "{}", random.load());
    assert_eq!(random.seed, 7);
}

/// A good scenario with other lines in place of its rate and duration.
fn loaded(lines: &str) -> String {
    GOOD.replace("requests_per_second = 100\nduration = \"30s\"\n", lines)
}

#[test]
fn every_kind_of_stage_is_understood() {
    let stages = r#"stages = [
    { over = "10s", to = 100 },
    { over = "60s", sine = { mean = 100, amplitude = 50, period = "20s" } },
    { steps = { from = 100, to = 300, count = 3, each = "10s" } },
]
"#;
    let plan = |text: &str| {
        Scenario::parse(text).and_then(|s| s.load_test()).and_then(|test| test.validate()).expect(text)
    };
    let staged = plan(&loaded(stages));
    assert_eq!(staged.executor.duration(), Duration::from_secs(100));
    assert!(
        staged.load().contains("12500 operations") && staged.load().contains("300/s"),
        "{}",
        staged.load()
    );
    let bursts = plan(&loaded(&format!("{stages}arrivals = \"gamma\"\nshape = 0.5\n")));
    assert!(!bursts.load().contains(" 12500 operations"), "{}", bursts.load());
    let lasting = "arrivals = \"bursts\"\nbursts = { times = 4, share = \"20%\", length = \"2s\" }\n";
    let lasting = plan(&loaded(&format!("{stages}{lasting}")));
    assert!(lasting.load().contains("up to 1200/s"), "{}", lasting.load());

    for (stages, field, line, hint) in [
        ("stages = [{ over = \"1s\" }]\n", "load.stages.0", 9, "write { over ="),
        ("stages = [{ to = 1.0 }]\n", "load.stages.0", 9, "write { over ="),
        (
            "stages = [{ over = \"1s\", to = 1 },\n{ over = \"1s\", to = nan }]\n",
            "load.stages.1",
            10,
            "a rate must be",
        ),
        (
            "stages = [{ over = \"1s\", to = 1, sine = { mean = 1, amplitude = 1, period = \"1s\" } }]\n",
            "load.stages.0",
            9,
            "write",
        ),
        (
            "stages = [{ over = \"1s\", sine = { mean = 1, amplitude = 2, period = \"1s\" } }]\n",
            "load.stages.0.sine",
            9,
            "below zero",
        ),
        (
            "stages = [{ over = \"1s\",\nsine = { mean = 1, amplitude = 1, period = \"0s\" } }]\n",
            "load.stages.0.sine",
            10,
            "1 ms",
        ),
        (
            "stages = [{ steps = { from = 1, to = 2, count = 1, each = \"1s\" } }]\n",
            "load.stages.0.steps",
            9,
            "from 2 to",
        ),
        (
            "stages = [{ steps = { from = 1, to = inf, count = 2, each = \"1s\" } }]\n",
            "load.stages.0.steps",
            9,
            "a rate must be",
        ),
        ("stages = [{ over = \"0s\", to = 1 }]\n", "load.stages.0", 9, "duration above zero"),
        ("stages = [{ over = \"1s\", to = 0 }]\n", "load.stages", 9, "nothing is ever due"),
        ("stages = []\n", "load.stages", 9, "at least one stage"),
        ("requests_per_second = 5\narrivals = \"gamma\"\n", "load.arrivals", 10, "need a shape"),
        ("requests_per_second = 5\narrivals = \"gamma\"\nshape = nan\n", "load.shape", 11, "0.01 to 1000"),
        ("requests_per_second = 5\narrivals = \"bursts\"\n", "load.arrivals", 10, "need to be described"),
        (
            "requests_per_second = 5\nbursts = { times = 2, share = \"9%\", length = \"1s\" }\n",
            "load.bursts",
            10,
            "is for arrivals",
        ),
        ("requests_per_second = 5\nshape = 2.0\n", "load.shape", 10, "gamma"),
        ("requests_per_second = nan\n", "load.requests_per_second", 9, "above zero"),
        ("requests_per_second = inf\n", "load.requests_per_second", 9, "100 000 000"),
        ("arrivals = \"poisson\"\n", "load.arrivals", 9, "closed loop"),
    ] {
        let error = refuse(&loaded(stages));
        assert_eq!((&*error.field, error.line), (field, Some(line)), "{stages}: {error}");
        assert!(error.hint.contains(hint), "{stages}: {error}");
    }
}

#[test]
fn a_log_lies_beside_its_scenario() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("load.toml");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    let read = |replay: &str| {
        write("load.toml", &loaded(&format!("replay = {replay}\n")));
        Scenario::read(&file).and_then(|scenario| scenario.load_test()?.validate())
    };
    write("access.log", "h - - [10/Oct/2000:13:55:36 -0700] \"GET /a HTTP/1.0\" 200 1\n");
    write("log.csv", "when,verb\n1,GET\n5,PUT\n");
    let plan = read("{ file = \"access.log\" }").expect("understood");
    assert!(plan.load().contains("1 operation in 1s"), "{}", plan.load());
    let plan =
        read("{ file = \"log.csv\", speed = 2.0, time = \"when\", method = \"verb\" }").expect("understood");
    assert_eq!(plan.executor.duration(), Duration::from_millis(2_500));
    assert!(!plan.target.contains("replaying"), "routes are asked where there are any: {}", plan.target);

    for (replay, field, hint) in [
        ("{ file = \"none.log\" }", "load.replay.file", "cannot open"),
        ("{ file = \".\" }", "load.replay.file", "it is a folder, not a log"),
        (
            "{ file = \"log.csv\", format = \"clf\" }",
            "load.replay.file",
            "log.csv: none of 3 lines can be used as clf: line 1 has no time",
        ),
        ("{ file = \"log.csv\", format = \"xml\" }", "load.replay.format", "`xml` is not known"),
        ("{ file = \"log.csv\", speed = 0 }", "load.replay.speed", "0.000001"),
        ("{ file = \"log.csv\", speed = nan }", "load.replay.speed", "0.000001"),
        ("{ file = \"log.csv\", max_refused = \"200%\" }", "load.replay.max_refused", "a share"),
        ("{ file = \"log.csv\", path = \"url\" }", "load.replay.file", "no column `url`"),
        ("{ file = \"access.log\", time = \"at\" }", "load.replay", "no named fields"),
        ("{ file = \"log.csv\" }\nduration = \"3s\"", "load.replay", "leave out duration"),
        (
            "{ file = \"log.csv\" }\nstages = []\narrivals = \"poisson\"",
            "load.replay",
            "leave out stages, arrivals",
        ),
    ] {
        let error = read(replay).expect_err(replay);
        assert_eq!(error.field, field, "{replay}: {error}");
        assert!(error.hint.contains(hint), "{replay}: {error}");
        assert_eq!(error.line, Some(9), "{replay}: {error}");
    }
}

#[test]
fn without_routes_a_log_is_asked_itself() {
    let folder = tempfile::tempdir().expect("folder");
    let log = folder.path().join("requests.csv");
    std::fs::write(&log, "time,path\n1,/a\n2,/b\n").expect("written");
    let text = format!(
        "[target]\nurl = \"http://127.0.0.1:1\"\n[load]\nreplay = {{ file = {:?} }}\n",
        log.to_str().expect("text")
    );
    let plan = Scenario::parse(&text).and_then(|s| s.load_test()?.validate()).expect("understood");
    assert_eq!(plan.target, "http://127.0.0.1:1, replaying 2 of 2 lines");
}

#[test]
fn a_scenario_never_shows_its_secrets() {
    let scenario = Scenario::parse(GOOD).expect("good");
    assert!(!format!("{scenario:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn any_damage_is_answered_without_panic(at in 0..400_usize, cut in 0..8_usize, put in "[\\[\\]{}=\"a-z0-9. \n]{0,6}") {
        let start = at.min(GOOD.len());
        let damaged = format!("{}{put}{}", &GOOD[..start], &GOOD[(start + cut).min(GOOD.len())..]);
        if let Err(error) = Scenario::parse(&damaged).and_then(|scenario| scenario.load_test()) {
            prop_assert!(!error.hint.is_empty());
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    let error = refuse(&GOOD.replace("url = \"http://127.0.0.1:8080/api\"\n", ""));
    assert!(error.hint.starts_with("`url` is missing") && error.line == Some(4), "{error}");
    let error = refuse(&GOOD.replace("path = \"/emissions\"\n", ""));
    assert!(error.hint == "`path` is missing", "{error}");
}

/// Compilers write places so, and editors jump to them.
#[test]
fn a_file_is_named_with_the_line() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("load.toml");
    for (from, to) in [("\"30s\"", "\"0s\""), ("weight", "wieght")] {
        std::fs::write(&file, GOOD.replace(from, to)).expect("written");
        let error = Scenario::read(&file).and_then(|scenario| scenario.load_test().map(drop)).expect_err(to);
        let place = format!("{}:{}: ", file.display(), error.line.expect("a line"));
        assert!(error.to_string().starts_with(&place), "{error}");
    }
}

/// Double brackets make a list of tables, which is what routes are and nothing else.
#[test]
fn a_table_in_double_brackets_is_refused_in_words() {
    for table in ["target", "load"] {
        let error = refuse(&GOOD.replace(&format!("[{table}]"), &format!("[[{table}]]")));
        assert_eq!(error.hint, format!("there is one of it: write [{table}] in single brackets"), "{error}");
        assert_eq!(error.field, table, "{error}");
    }
    let error = refuse(&format!("{GOOD}[[feed]]\nfile = \"a.csv\"\n"));
    assert_eq!(error.hint, "there is one of it: write [feed] in single brackets", "{error}");
    let error = refuse(&format!("{GOOD}[feed]\nfile = 7\n"));
    assert!(error.hint.contains("expected text in quotes, not a number"), "{error}");
}
