//! A log is replayed as it was written, or refused with a reason.

use std::{fmt::Write, time::Duration};

use offgridflow_loadtest::{
    ArrivalProcess, ConfigError, Entry, Executor, Fields, LoadTest, LogFormat, Replay, ReplayError,
    workload_fn,
};
use proptest::prelude::*;

fn csv() -> LogFormat {
    LogFormat::Csv(Fields::default())
}

fn read(format: LogFormat, text: &str) -> Replay {
    Replay::builder(format).read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refuse(format: LogFormat, text: &str) -> String {
    Replay::builder(format).read(text.as_bytes()).expect_err(text).to_string()
}

fn millis(replay: &Replay) -> Vec<u128> {
    (0..replay.operations()).map_while(|k| replay.intended(k)).map(|at| at.as_millis()).collect()
}

fn clf(second: u32, request: &str) -> String {
    format!("::1 - - [10/Oct/2000:13:55:{second:02} -0700] \"{request}\" 200 17\n")
}

#[test]
fn lines_of_one_second_are_spread_evenly_in_it() {
    let log = [36, 36, 36, 36, 38, 40, 40].map(|second| clf(second, "GET / HTTP/1.1")).concat();
    let replay = read(LogFormat::Common, &log);
    assert_eq!(millis(&replay), [0, 250, 500, 750, 2_000, 4_000, 4_500]);
    assert_eq!(replay.duration(), Duration::from_secs(5));
    assert_eq!(replay.peak_rate(), 4.0);
    assert_eq!((replay.rate_at(Duration::from_secs(3)), replay.rate_at(Duration::from_secs(9))), (0.0, 0.0));
    assert_eq!(replay.rate_at(Duration::from_millis(500)), 4.0);
    assert_eq!(replay.intended(7), None);
    assert_eq!(replay.entry(7), None);
}

#[test]
fn a_log_with_fractions_keeps_its_distances() {
    let replay = read(csv(), "at\n100.000\n100.002\n100.002\n101.5\n");
    let micros: Vec<_> = (0..4).filter_map(|k| replay.intended(k)).map(|at| at.as_micros()).collect();
    assert_eq!(micros, [0, 2_000, 2_500, 1_500_000]); // two entries of one millisecond share it
    assert_eq!(replay.duration(), Duration::from_millis(1_501));
}

#[test]
fn speed_divides_times_in_integers() {
    let log = "0.000000003\n1.000000003\n3.000000004\n";
    let at = |speed: f64| {
        let replay = Replay::builder(csv()).speed(speed).read(log.as_bytes()).expect("fine");
        (0..3).filter_map(|k| replay.intended(k)).map(|at| at.as_nanos()).collect::<Vec<_>>()
    };
    assert_eq!(at(1.0), [0, 1_000_000_000, 3_000_000_001]);
    assert_eq!(at(2.0), [0, 500_000_000, 1_500_000_000]);
    assert_eq!(at(0.25), [0, 4_000_000_000, 12_000_000_004]);
    assert_eq!(at(3.0), [0, 333_333_333, 1_000_000_000]);
    let fast = Replay::builder(csv()).speed(900_000.0).read(&b"1.0000001\n9.0000001\n"[..]).expect("fine");
    assert!(fast.intended(1) < Some(fast.duration()), "the last one is within the replay");
    for speed in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9, 1e9] {
        let error = Replay::builder(csv()).speed(speed).read(log.as_bytes()).expect_err("impossible");
        assert!(matches!(error, ReplayError::Config(ConfigError { ref field, .. }) if field == "speed"));
    }
}

#[test]
fn entries_out_of_order_are_sorted_and_counted() {
    let log = "time,path\n5,/a\n3,/b\n5,/c\n4,/d\n3,/e\n";
    let replay = read(csv(), log);
    let paths: Vec<_> = (0..5).filter_map(|k| replay.entry(k)?.path()).collect();
    assert_eq!(paths, ["/b", "/e", "/d", "/a", "/c"]);
    assert_eq!(millis(&replay), [0, 500, 1_000, 2_000, 2_500]);
    assert_eq!(replay.summary().out_of_order, 3);
    assert_eq!(replay.summary().to_string(), "5 of 5 lines, 3 out of order");
}

#[test]
fn time_zones_are_one_time() {
    let log = "2024-03-31T01:59:59+01:00\n2024-03-31T03:00:00+02:00\n2024-03-30T18:00:02-07:00\n1711846803\n1711846804000\n";
    assert_eq!(millis(&read(csv(), log)), [0, 1_000, 3_000, 4_000, 5_000]);
    let log = "a - - [31/Dec/1999:23:59:59 +0000] \"GET /\"\na - - [01/Jan/2000:05:30:00 +0530] \"GET /\"\n";
    assert_eq!(millis(&read(LogFormat::Common, log)), [0, 1_000]);
}

#[test]
fn columns_are_found_by_name() {
    let log = "\u{feff}Host,When,\"Path\",Verb\r\na,10,\"/x,\"\"y\"\"\r\n\",GET\r\n\r\nb,11,/z,\r\n";
    let name = |name: &str| Some(name.to_owned());
    let fields = Fields { time: name("when"), method: name("verb"), path: name("path"), ..Fields::default() };
    let replay = read(LogFormat::Csv(fields), log);
    let entry = |k| replay.entry(k).map(|entry| (entry.method(), entry.path()));
    assert_eq!(entry(0), Some((Some("GET"), Some("/x,\"y\"\r\n"))));
    assert_eq!(entry(1), Some((None, Some("/z"))));

    let missing = Fields { method: name("method"), ..Fields::default() };
    assert_eq!(
        refuse(LogFormat::Csv(missing), log),
        "there is no column `method` in the header `Host,When,\"Path\",Verb`".replace('"', "\\\"")
    );
    // Usual names are known; else times are in the first column.
    assert_eq!(read(csv(), "Method,Timestamp\nGET,7\n").entry(0).and_then(Entry::method), Some("GET"));
    assert_eq!(millis(&read(csv(), "when\n7\n9\n")), [0, 2_000]);
    // No header, nothing named.
    assert_eq!(millis(&read(csv(), "7,GET\n9,POST\n")), [0, 2_000]);
}

#[cfg(feature = "serde")]
#[test]
fn json_fields_are_found_in_objects_too() {
    let log = r#"{"ts":1732379308.5,"request":{"method":"GET","uri":"/a"}}
{"time":"2024-11-23T16:28:29Z","method":"PUT","path":"/b"}
"#;
    let replay = read(LogFormat::Ndjson(Fields::default()), log);
    let entry = |k| replay.entry(k).map(|entry| (entry.method(), entry.path()));
    assert_eq!(entry(0), Some((Some("GET"), Some("/a"))));
    assert_eq!(entry(1), Some((Some("PUT"), Some("/b"))));
    assert_eq!(millis(&replay), [0, 500]);
    let fields = Fields { time: Some("at.utc".into()), ..Fields::default() };
    for (line, reason) in [
        ("{", "line 1 is not JSON: EOF while parsing an object at column 1"),
        ("7", "line 1 has none of the fields time, timestamp"),
        (r#"{"time":[1]}"#, "has `[1]` for a time"),
        (r#"{"time":-5}"#, "is not a timestamp"),
    ] {
        let error = refuse(LogFormat::Ndjson(Fields::default()), line);
        assert!(error.contains(reason), "{error}");
    }
    assert!(refuse(LogFormat::Ndjson(fields.clone()), r#"{"at":{}}"#).contains("has no field `at.utc`"));
    assert_eq!(read(LogFormat::Ndjson(fields), r#"{"at":{"utc":12}}"#).operations(), 1);
}

#[test]
fn a_few_bad_lines_are_counted_and_many_refuse_the_log() {
    let log = |bad: usize| {
        let good = (0..100 - bad).map(|_| clf(1, "GET / HTTP/1.1"));
        good.chain((0..bad).map(|_| "garbage\n".to_owned())).collect::<String>()
    };
    let replay = read(LogFormat::Common, &log(1));
    assert_eq!((replay.operations(), replay.summary().refused), (99, 1));
    assert_eq!(replay.summary().to_string(), "99 of 100 lines, 1 refused");
    let example = replay.summary().examples[0].to_string();
    assert_eq!(example, "line 100 has no time such as [10/Oct/2000:13:55:36 -0700]");
    let error = refuse(LogFormat::Common, &log(2));
    assert!(
        error.starts_with(
            "2 of 100 lines cannot be used as clf, above the 1% that `max_refused` allows: line 99 has no"
        ),
        "{error}"
    );
    let many = Replay::builder(LogFormat::Common).max_refused(0.5).read(log(50).as_bytes()).expect("allowed");
    assert_eq!((many.summary().refused, many.summary().examples.len()), (50, 5));
    let all =
        Replay::builder(LogFormat::Common).max_refused(1.0).read(log(100).as_bytes()).expect_err("nothing");
    assert!(all.to_string().starts_with("none of 100 lines can be used as clf: line 1 has no time"), "{all}");
    assert_eq!(refuse(LogFormat::Common, "\n \n"), "the log is empty");
    assert_eq!(refuse(csv(), "time,path\n"), "the log is empty");
    let share = Replay::builder(csv()).max_refused(f64::NAN).read(&b"1"[..]).expect_err("no share");
    assert!(share.to_string().starts_with("max_refused"));
}

/// What cannot be asked as it was is refused and counted, not turned into something else.
#[test]
fn what_a_load_test_does_not_ask_is_a_refused_line() {
    let log = [
        "-",
        "CONNECT example.org:443 HTTP/1.1",
        "TRACE / HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET /a HTTP/1.1",
        "OPTIONS /a HTTP/1.1",
    ];
    let log = log.map(|request| clf(1, request)).concat();
    let replay = Replay::builder(LogFormat::Common).max_refused(1.0).read(log.as_bytes()).expect("two");
    let asked: Vec<_> = (0..2).filter_map(|k| replay.entry(k)?.method()).collect();
    assert_eq!((asked, replay.operations(), replay.summary().refused), (vec!["GET", "OPTIONS"], 2, 4));
    let reasons: Vec<_> = replay.summary().examples.iter().map(ToString::to_string).collect();
    for (line, (reason, part)) in
        (1..).zip(reasons.iter().zip(["nothing was asked", "CONNECT", "TRACE", "OPTIONS *"]))
    {
        assert!(reason.starts_with(&format!("line {line} ")) && reason.contains(part), "{reason}");
    }

    let table = "time,method,path\n1,head,/a\n2,Get,/b\n3,purge,/c\n4,,/d\n5,GET,\n6,GET, \n7,G ET,/e\n";
    let replay = Replay::builder(csv()).max_refused(0.5).read(table.as_bytes()).expect("four");
    let asked: Vec<_> =
        (0..4).filter_map(|k| replay.entry(k)).map(|entry| (entry.method(), entry.path())).collect();
    let some = |method, path| (Some(method), Some(path));
    assert_eq!(asked, [some("HEAD", "/a"), some("GET", "/b"), some("purge", "/c"), (None, Some("/d"))]);
    let reasons: Vec<_> = replay.summary().examples.iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        [
            "line 6 has no path, which other entries have",
            "line 7 has no path, which other entries have",
            "line 8 asks for `G ET`, not an HTTP method"
        ]
    );
    assert_eq!((replay.operations(), replay.summary().refused), (4, 3));
}

#[test]
fn limits_are_kept_and_named() {
    let log = "1\n2\n3\n";
    let error = Replay::builder(csv()).max_entries(2).read(log.as_bytes()).expect_err("three");
    assert!(error.to_string().starts_with("more than 2 entries"), "{error}");
    let long = format!("1\n\"{}\"\n2\n", "x".repeat(1_000));
    let replay =
        Replay::builder(csv()).max_line_bytes(100).max_refused(0.5).read(long.as_bytes()).expect("one bad");
    assert_eq!(replay.summary().examples[0].to_string(), "line 2 is longer than 100 bytes");
    assert_eq!(replay.operations(), 2);
    // A quote that is never closed takes no more than one record's bytes with it.
    let open = format!("1\n\"{}", "2\n".repeat(1_000));
    let replay =
        Replay::builder(csv()).max_line_bytes(100).max_refused(0.5).read(open.as_bytes()).expect("one bad");
    assert!(replay.operations() > 900);
    assert!(refuse(csv(), "0\n8640001\n").contains("100 days"));
    let faster = Replay::builder(csv()).speed(1.1).read(&b"0\n8640001\n"[..]).expect("short enough");
    assert_eq!(faster.operations(), 2);
    let invalid = Replay::builder(csv()).max_refused(0.5).read(&b"1\n\xff\n"[..]).expect("one bad");
    assert_eq!(invalid.summary().examples[0].to_string(), "line 2 is not UTF-8");
    let error = Replay::builder(csv()).open("no/such.log").expect_err("missing");
    assert_eq!(error.to_string(), "cannot open no/such.log");
}

#[tokio::test(start_paused = true)]
async fn a_workload_runs_the_log_at_its_times() {
    let replay = std::sync::Arc::new(read(csv(), "time,path\n0.5,/a\n1.25,/b\n3.0,/a\n"));
    let log = std::sync::Arc::clone(&replay);
    let workload = workload_fn(move |op| {
        let log = std::sync::Arc::clone(&log);
        async move {
            assert_eq!(Some(op.intended()), log.intended(op.index()));
            op.route(log.entry(op.index()).and_then(|entry| entry.path()).unwrap_or("none"));
            Ok::<(), std::io::Error>(())
        }
    });
    let report = LoadTest::new(workload).executor(Executor::replay(replay)).run_here().await.expect("runs");
    assert_eq!((report.offered, report.total.ok), (3, 3));
    let routes: Vec<_> = report.routes.iter().map(|row| (row.route.as_str(), row.ok)).collect();
    assert_eq!(routes, [("/a", 2), ("/b", 1)]);
}

/// Year, month and day by counting, to check the arithmetic of the reader.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    loop {
        let length = match month {
            2 => 28 + u64::from(leap(year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if days < length {
            return (year, month, days + 1);
        }
        (days, month) = (days - length, month + 1);
    }
}

/// One instant as each format writes it, in a time zone so many minutes east.
fn written(at_ms: u64, minutes: i64) -> (String, String) {
    let local = (at_ms / 1_000).saturating_add_signed(minutes * 60);
    let (year, month, day) = civil(local / 86_400);
    let (hour, minute, second) = (local / 3_600 % 24, local / 60 % 60, local % 60);
    let (sign, ahead) = (if minutes < 0 { '-' } else { '+' }, minutes.unsigned_abs());
    let (zone_hour, zone_minute) = (ahead / 60, ahead % 60);
    let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = name[usize::try_from(month - 1).unwrap()];
    (
        format!(
            "{day:02}/{name}/{year}:{hour:02}:{minute:02}:{second:02} {sign}{zone_hour:02}{zone_minute:02}"
        ),
        format!(
            "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}{sign}{zone_hour:02}:{zone_minute:02}",
            at_ms % 1_000
        ),
    )
}

#[derive(Debug, Clone)]
struct Line {
    at_ms: u64,
    minutes: i64,
    method: String,
    path: String,
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = (0..8_000_000_000_u64, -720..840_i64, "[A-Z]{1,8}", "/[ -~äé]{0,30}[!-~]").prop_map(
        |(at_ms, minutes, method, path)| Line { at_ms: 946_684_800_000 + at_ms, minutes, method, path },
    );
    prop::collection::vec(line, 1..40)
}

fn check(replay: &Replay, lines: &[Line], tick_ms: u64) -> Result<(), TestCaseError> {
    let mut sorted: Vec<_> = lines.iter().map(|line| (line.at_ms / tick_ms, line)).collect();
    sorted.sort_by_key(|(at, _)| *at);
    let start = sorted[0].0;
    prop_assert_eq!(replay.operations(), u64::try_from(lines.len()).unwrap());
    for (k, (at, line)) in (0..).zip(sorted) {
        let entry = replay.entry(k).expect("as many as lines");
        prop_assert_eq!((entry.method(), entry.path()), (Some(&*line.method), Some(&*line.path)));
        let intended = replay.intended(k).expect("as many as lines");
        prop_assert_eq!(intended.as_millis() / u128::from(tick_ms), u128::from(at - start));
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_was_written_is_read(lines in lines()) {
        let (mut common, mut table) = (String::new(), "path,time,method\n".to_owned());
        for Line { at_ms, minutes, method, path } in &lines {
            let (clf, rfc) = written(*at_ms, *minutes);
            let escaped = path.replace('\\', "\\\\").replace('"', "\\\"");
            writeln!(common, "h - [odd] [{clf}] \"{method} {escaped} HTTP/1.1\" 200 1 \"-\" \"x\"").unwrap();
            writeln!(table, "\"{}\",{rfc},{method}", path.replace('"', "\"\"")).unwrap();
        }
        check(&read(LogFormat::Common, &common), &lines, 1_000)?;
        let fields = Fields { time: Some("time".into()), ..Fields::default() };
        let coarse = lines.iter().all(|line| line.at_ms % 1_000 == 0);
        check(&read(LogFormat::Csv(fields), &table), &lines, if coarse { 1_000 } else { 1 })?;
        #[cfg(feature = "serde")]
        {
            let object = |line: &Line| {
                let at = line.at_ms;
                serde_json::json!({ "time": at, "method": line.method, "path": line.path }).to_string() + "\n"
            };
            let json: String = lines.iter().map(object).collect();
            check(&read(LogFormat::Ndjson(Fields::default()), &json), &lines, if coarse { 1_000 } else { 1 })?;
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(log in prop::collection::vec(any::<u8>(), 0..400), speed in 1e-6..1e6_f64) {
        read_anything(&log, speed);
    }

    /// Pieces of which logs are made, in any order.
    #[test]
    fn nearly_logs_never_panic(
        pieces in prop::collection::vec(prop::sample::select(&[
            "\"", ",", "\n", "\r\n", "[", "]", "{", "}", ":", "\\", " ", "GET / HTTP/1.1", "\"GET /\"", "time",
            "10/Oct/2000:13:55:36 -0700", "[10/Oct/2000:13:55:36 -0700] ", "31/Dec/0000:23:59:60 +2359", "1", "-",
            "2000-10-10T13:55:36Z", "9999-12-31T23:59:60.999999999-23:59", "2000-02-30", "1e9", "\"time\":", ".",
            "99999999999", "100000000000.5", "18446744073709551615", "ä", "\u{feff}", "T", "Z", "+", "0",
        ][..]), 0..40),
        speed in 1e-6..1e6_f64,
    ) {
        read_anything(pieces.concat().as_bytes(), speed);
    }

    #[test]
    fn shards_take_every_nth_and_instants_never_decrease(
        times in prop::collection::vec(0..20_000_u64, 1..200), speed in 0.01..100.0_f64,
        shards in prop_oneof![Just(1_u64), Just(2), Just(4), Just(8), Just(3), Just(7)],
    ) {
        let log: String = times.iter().map(|ms| format!("{}.{:03}\n", ms / 1_000, ms % 1_000)).collect();
        let replay = Replay::builder(csv()).speed(speed).read(log.as_bytes()).expect("a log");
        let whole: Vec<_> = (0..replay.operations()).map(|k| (k, replay.intended(k).unwrap())).collect();
        prop_assert!(whole.is_sorted_by_key(|(_, at)| *at));
        prop_assert!(whole.iter().all(|(_, at)| *at < replay.duration()));
        let again = Replay::builder(csv()).speed(speed).read(log.as_bytes()).expect("a log");
        let mine = |shard: u64| (shard..).step_by(usize::try_from(shards).unwrap());
        let mut union: Vec<_> = (0..shards)
            .flat_map(|shard| mine(shard).map_while(|k| again.intended(k).map(|at| (k, at))).collect::<Vec<_>>())
            .collect();
        union.sort_unstable();
        prop_assert_eq!(union, whole);
        prop_assert!(replay.peak_rate() > 0.0 && replay.validate().is_ok());
    }
}

fn read_anything(log: &[u8], speed: f64) {
    let formats = [
        LogFormat::Common,
        csv(),
        LogFormat::Csv(Fields { time: Some("time".into()), ..Fields::default() }),
        #[cfg(feature = "serde")]
        LogFormat::Ndjson(Fields::default()),
    ];
    for format in formats {
        let builder = Replay::builder(format).max_refused(1.0).max_line_bytes(64).speed(speed);
        match builder.read(log) {
            Ok(replay) => {
                assert!(replay.intended(0).is_some() && replay.validate().is_ok());
                assert!(replay.intended(replay.operations() - 1) < Some(replay.duration()));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
