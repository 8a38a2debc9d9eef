//! Shards in processes of their own are one run, judged once (promise L6).
#![cfg(feature = "cli")]

mod common;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use common::Server;
use offgridflow_loadtest::{
    Bundle, FailKind, LoadTest, OnCap, Rate, Report, Summary, TargetError, Timeline, Validity, merge,
    workload_fn,
};

const SHARDS: u64 = 8;
const SKEW: Duration = Duration::from_secs(3_600); // they run one after the other here

/// An operation's time, route and end depend on its index only, so that any split of the run sees the same.
fn test(rate: f64) -> LoadTest<impl offgridflow_loadtest::Workload> {
    let work = workload_fn(|op| async move {
        op.route(if op.index() % 3 == 0 { "write" } else { "read" });
        let ms = 1 + op.rng().below(1 << (2 + op.index() % 6));
        tokio::time::sleep(Duration::from_millis(ms)).await;
        match op.index() % 97 {
            0 => Err(TargetError::unanswered(FailKind::Reset, "gone")),
            _ => Ok(()),
        }
    });
    LoadTest::new(work)
        .rate(Rate::ramp(50.0, rate, Duration::from_secs(5)).hold(Duration::from_secs(15)))
        .max_in_flight(4_096, OnCap::CountAsFailure)
        .seed(11)
        .threshold("p95(response) < 1s")
        .threshold("failure_ratio < 2%")
}

/// A distribution without its intervals, whose blocks of the run have other edges.
fn times(of: &Summary) -> impl PartialEq + std::fmt::Debug {
    (of.count, of.unanswered, of.min, of.mean, of.max, [of.p50, of.p90, of.p95, of.p99, of.p999])
}

async fn bundles(rate: f64, of: u64) -> Vec<Bundle> {
    let mut bundles = Vec::new();
    for index in 0..of {
        let (bundle, report) = test(rate).shard(index, of).run_shard_here().await.expect("a shard");
        assert!(of == 1 || !report.passed(), "a part passes no gate");
        bundles.push(Bundle::from_json(&bundle.to_json().expect("written")).expect("read back"));
    }
    bundles
}

#[tokio::test(start_paused = true)]
async fn l6_eight_shards_merged_are_the_run_of_one_process() {
    let one = test(400.0).run_here().await.expect("a run");
    for of in [1, 2, 4, SHARDS] {
        let merged = merge(bundles(400.0, of).await, usize::try_from(of).expect("few"), SKEW).expect("whole");
        assert_eq!(merged.verdict.validity, Validity::Valid);
        let counts =
            |report: &Report| (report.offered, report.dispatched, report.total.ok, report.total.failed);
        assert_eq!(counts(&merged), counts(&one), "{of} shards");
        assert_eq!(
            times(&merged.total.service),
            times(&one.total.service),
            "{of} shards: counter for counter"
        );
        assert_eq!(merged.routes.len(), 2);
        for row in &one.routes {
            let other = merged.route(&row.route).expect("the same routes");
            assert_eq!((other.ok, other.failed), (row.ok, row.failed));
            assert_eq!(times(&other.service), times(&row.service));
        }
        assert_eq!(merged.errors, one.errors);
        assert_eq!(merged.thresholds.len(), one.thresholds.len());
        assert!(merged.passed() && one.passed(), "{merged}");
        assert_eq!((merged.load, merged.max_in_flight), (one.load.clone(), one.max_in_flight));
        let offered = |course: &Timeline| -> u64 {
            course.stretches.iter().filter_map(|stretch| stretch.offered).sum()
        };
        assert_eq!(offered(&merged.timeline), offered(&one.timeline));
    }
}

/// The control: the worst shard's percentile is not the run's.
#[tokio::test(start_paused = true)]
async fn percentiles_of_parts_are_not_those_of_the_whole() {
    let one = test(400.0).run_here().await.expect("a run").total.service.p95.value();
    let mut worst = Duration::ZERO;
    for index in 0..SHARDS {
        let (_, report) = test(400.0).shard(index, SHARDS).run_shard_here().await.expect("a shard");
        worst = worst.max(report.total.service.p95.value().expect("enough"));
    }
    assert!(Some(worst) > one.map(|one| one.mul_f64(1.1)), "{worst:?} {one:?}");
}

#[tokio::test(start_paused = true)]
async fn shards_that_are_missing_twice_or_of_another_run_are_named() {
    let problems =
        |bundles: Vec<Bundle>, expect| merge(bundles, expect, SKEW).expect_err("not whole").problems;
    let mut some = bundles(100.0, 4).await;
    some.remove(2);
    assert_eq!(problems(some, 4), ["shard 2 is missing"]);
    let mut twice = bundles(100.0, 4).await;
    twice.push(test(100.0).shard(1, 4).run_shard_here().await.expect("a shard").0);
    assert_eq!(problems(twice, 4), ["shard 1 is there 2 times"]);
    let mut mixed = bundles(100.0, 4).await;
    mixed[3] = test(101.0).shard(3, 4).run_shard_here().await.expect("a shard").0;
    let said = problems(mixed, 4);
    assert!(said.len() == 1 && said[0].starts_with("shard 3 is of another run than shard"), "{said:?}");
    assert!(said[0].contains("peak_rate"), "{said:?}");
    let said = problems(bundles(100.0, 2).await, 3);
    assert_eq!(
        said,
        ["shard 2 is missing", "shard 0 is one of 2, not of 3", "shard 1 is one of 2, not of 3"]
    );
    assert_eq!(problems(Vec::new(), 1), ["shard 0 is missing"]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_began_at_another_time_is_named_with_its_clock() {
    let mut all = bundles(100.0, 4).await;
    let late = all.remove(2).clock_ahead_ns(-7_200_000_000_000);
    all.insert(2, late);
    let said = merge(all, 4, SKEW).expect_err("skewed").problems;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("shard 2 began 7") && said[0].contains("7200.000 s behind"), "{said:?}");
}

#[test]
fn parts_that_cannot_be_are_refused() {
    let field = |test: LoadTest<_>| test.validate().expect_err("refused").field;
    assert_eq!(field(test(10.0).shard(4, 4)), "shard");
    assert_eq!(field(test(10.0).shard(0, 0)), "shard");
    assert_eq!(field(test(10.0).max_in_flight(3, OnCap::Queue).shard(0, 4)), "shard");
    assert_eq!(field(test(10.0).warm_up(offgridflow_loadtest::WarmUp::Auto).shard(0, 4)), "warm_up");
}

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"))
}

/// Starts shard `index` of eight, which all begin at `start`.
fn shard(url: &str, index: u64, start: SystemTime, folder: &Path) -> Child {
    let start = start.duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    command()
        .args(["run", url, "--rate", "400", "--for", "3s", "--quiet", "-t", "p95(response) < 5s"])
        .args(["--shard", &format!("{index}/{SHARDS}"), "--start-at", &format!("{start:.6}")])
        .args(["--bundle", folder.join(format!("{index}.bundle")).to_str().expect("text")])
        .stdout(Stdio::null())
        .spawn()
        .expect("a process")
}

fn merged(folder: &Path, more: &[&str]) -> (i32, String) {
    let output = command()
        .args(["merge", "--expect", "8", folder.to_str().expect("text")])
        .args(more)
        .output()
        .expect("merge runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("a code"), text(output.stdout) + &text(output.stderr))
}

#[test]
fn l6_eight_processes_are_one_run_and_a_killed_one_is_missed() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("folder");
    let start = SystemTime::now() + Duration::from_secs(2);
    let children: Vec<_> =
        (0..SHARDS).map(|index| shard(&server.url(), index, start, folder.path())).collect();
    for mut child in children {
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "a part is no gate");
    }
    let json = folder.path().join("merged.json");
    let (code, said) = merged(folder.path(), &["--max-skew", "2s", "--json", json.to_str().expect("text")]);
    assert!(code == 0 || code == 3 && said.contains("GeneratorBound"), "{code} {said}");
    let report = Report::from_json(&fs::read_to_string(json).expect("written")).expect("a report");
    assert_eq!((report.offered, report.shards), (1_200, SHARDS));
    assert!(report.notes.iter().any(|note| note.contains("merged from 8 shards")), "{:?}", report.notes);

    // One more round, in which one is killed.
    fs::remove_file(folder.path().join("3.bundle")).expect("there");
    let mut killed = shard(&server.url(), 3, SystemTime::now(), folder.path());
    std::thread::sleep(Duration::from_millis(800));
    killed.kill().expect("killed");
    killed.wait().expect("it is gone");
    let (code, said) = merged(folder.path(), &["--max-skew", "1h"]);
    assert!(code == 4 && said.contains("error: shard 3 is missing"), "{code} {said}");

    // Half a bundle is none, and says which file.
    let text = fs::read_to_string(folder.path().join("2.bundle")).expect("there");
    fs::write(folder.path().join("3.bundle"), &text[..text.len() / 2]).expect("written");
    let (code, said) = merged(folder.path(), &["--max-skew", "1h"]);
    assert!(code == 4 && said.contains("3.bundle: is no whole bundle"), "{code} {said}");
}

#[test]
fn a_shard_without_a_bundle_is_refused() {
    let output = command().args(["run", "http://127.0.0.1:9", "--shard", "0/2"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
}

/// Shards that have a Redis in common and no volume: the same report, and the same refusals.
#[cfg(feature = "redis")]
mod in_redis {
    use std::{
        process::{Child, Command, Output, Stdio},
        time::{Duration, SystemTime, UNIX_EPOCH},
    };

    use super::common::Server;

    struct Shards {
        redis: String,
        target: Server,
        run: &'static str,
    }

    impl Shards {
        fn of(run: &'static str) -> Self {
            Self { redis: testkit::redis().url(), target: Server::start(), run }
        }

        fn command(&self, arguments: &[&str]) -> Command {
            let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
            command.args(arguments).env("REDIS_URL", &self.redis);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        }

        fn start(&self, index: u32, of: u32, at: SystemTime) -> Child {
            let at = at.duration_since(UNIX_EPOCH).expect("now").as_secs_f64().to_string();
            let (shard, url) = (format!("{index}/{of}"), self.target.url());
            let arguments =
                ["run", &url, "-r", "300", "--for", "2s", "-q", "--shard", &shard, "--start-at", &at];
            self.command(&arguments).args(["--bundle-to-redis", self.run]).spawn().expect("the command runs")
        }

        fn merge(&self, expect: &str, wait: &str) -> (i32, String) {
            let arguments =
                ["merge", "--from-redis", self.run, "--expect", expect, "--wait", wait, "--max-skew", "5s"];
            said(self.command(&arguments).output().expect("the command runs"))
        }
    }

    fn said(ran: Output) -> (i32, String) {
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        (ran.status.code().expect("a code"), said)
    }

    #[test]
    fn bundles_are_left_there_waited_for_and_merged() {
        let shards = Shards::of("left-and-merged");
        let (code, missing) = shards.merge("3", "0s");
        assert!(code == 4 && missing.contains("shard 0 is missing"), "{missing}");
        let at = SystemTime::now() + Duration::from_secs(2);
        let running: Vec<_> = (0..3).map(|index| shards.start(index, 3, at)).collect();
        // Merging begins before they are done.
        let (code, merged) = shards.merge("3", "60s");
        assert!(matches!(code, 0 | 3) && merged.contains("operations  600 begun"), "{code} {merged}");
        for shard in running {
            let (code, left) = said(shard.wait_with_output().expect("ended"));
            assert!(code == 0 && left.contains("offgridflow-loadtest:left-and-merged:"), "{left}");
        }
        let (code, missing) = shards.merge("4", "0s");
        assert!(code == 4 && missing.contains("shard 3 is missing"), "{missing}");
    }

    #[test]
    fn a_shard_that_was_run_before_sends_nothing() {
        let shards = Shards::of("twice");
        let at = SystemTime::now();
        assert_eq!(said(shards.start(0, 2, at).wait_with_output().expect("ended")).0, 0);
        let requests = shards.target.requests();
        let (code, refused) = said(shards.start(0, 2, at).wait_with_output().expect("ended"));
        assert!(code == 4 && refused.contains("twice:0 is there already"), "{refused}");
        assert_eq!(shards.target.requests(), requests);
    }

    #[test]
    fn what_is_no_name_or_no_server_is_refused() {
        let shards = Shards::of("a name");
        let (code, refused) = said(shards.start(0, 2, SystemTime::now()).wait_with_output().expect("ended"));
        assert!(code == 2 && refused.contains("letters, digits"), "{refused}");
        let mut command = shards.command(&["merge", "--from-redis", "x", "--expect", "1"]);
        let (code, refused) = said(command.env_remove("REDIS_URL").output().expect("the command runs"));
        assert!(code == 2 && refused.contains("has no `REDIS_URL`"), "{refused}");
        let nobody =
            command.env("REDIS_URL", "redis://:s3cret@127.0.0.1:1").output().expect("the command runs");
        let (code, refused) = said(nobody);
        assert!(code == 4 && !refused.contains("s3cret"), "{refused}");
    }
}
