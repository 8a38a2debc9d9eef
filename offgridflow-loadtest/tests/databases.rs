//! Databases and caches under load, against servers of this test's own.
#![cfg(all(feature = "sql", feature = "redis"))]

use std::time::{Duration, Instant};

use offgridflow_loadtest::{
    Executor, Keys, LoadTest, OnCap, Quantile, Rate, RedisCommand, RedisTarget, Report, SqlStatement,
    SqlTarget, SqlTransaction, SqlValue, Workload,
};

const SECOND: Duration = Duration::from_secs(1);

fn sites(url: &str) -> SqlTarget {
    SqlTarget::new(url)
        .expect("a url")
        .pool(4)
        .prepare_with("DROP TABLE IF EXISTS site")
        .prepare_with("CREATE TABLE site (id BIGINT PRIMARY KEY, name TEXT, visits BIGINT DEFAULT 0)")
        .statement(
            SqlStatement::new("read", "SELECT id, name FROM site WHERE id < $1")
                .weight(8)
                .bind(|op| op.rng().below(50).into()),
        )
        .transaction(
            SqlTransaction::new("visit")
                .statement(
                    SqlStatement::new(
                        "add",
                        "INSERT INTO site (id, name) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
                    )
                    .bind(|op| op.rng().below(100).into())
                    .bind(|op| format!("site {}", op.index()).into()),
                )
                .statement(
                    SqlStatement::new("count", "UPDATE site SET visits = visits + 1 WHERE id = $1")
                        .bind(|op| op.rng().below(100).into()),
                ),
        )
}

fn loaded(report: &Report) {
    assert_eq!((report.offered, report.total.ok), (600, 600), "{report}");
    for step in ["pool: wait", "read: query", "read: fetch", "visit: add: query", "visit: count: fetch"] {
        assert!(report.step(step).is_some_and(|row| row.ok > 0), "{step}: {report}");
    }
    let opened = report.step("pool: connect").expect("connected").ok;
    assert!((1..=4).contains(&opened), "{opened} connections of four\n{report}");
    assert_eq!(report.step("pool: wait").expect("waited").ok, 600);
    let ran = report.route("read").expect("a route").ok + report.route("visit").expect("a route").ok;
    assert_eq!(ran, 600);
    assert!(report.notes.iter().any(|note| note.contains("connections were opened")), "{:?}", report.notes);
}

#[tokio::test]
async fn sqlite_is_loaded_with_statements_and_transactions() {
    let folder = tempfile::tempdir().expect("folder");
    let url = format!("sqlite://{}/load.db?mode=rwc", folder.path().display());
    let target = sites(&url);
    assert!(target.check().await.expect("it answers").starts_with("SQLite 3"));
    loaded(&LoadTest::new(target).rate(Rate::constant(300.0, SECOND * 2)).run().await.expect("runs"));
}

#[tokio::test]
async fn postgresql_is_loaded_with_statements_and_transactions() {
    let database = testkit::postgres().create_database("load").expect("a database");
    let target = sites(&database.url());
    assert!(target.check().await.expect("it answers").starts_with("PostgreSQL "));
    loaded(&LoadTest::new(target).rate(Rate::constant(300.0, SECOND * 2)).run().await.expect("runs"));
    let visits = database.psql("SELECT sum(visits) FROM site").expect("answered");
    assert!(visits.trim().parse::<u64>().is_ok_and(|visits| visits > 0), "{visits}");
}

/// A pool that is too small is the pool's time, not the database's.
#[tokio::test]
async fn waiting_for_the_pool_is_told_from_the_query() {
    let database = testkit::postgres().create_database("wait").expect("a database");
    let target = SqlTarget::new(&database.url())
        .expect("a url")
        .pool(1)
        .statement(SqlStatement::new("slow", "SELECT pg_sleep(0.02)"));
    let test = LoadTest::new(target).executor(Executor::closed(8, SECOND * 3));
    let report = test.shards(1).run().await.expect("runs");
    let p50 = |step: &str| report.step(step).expect("a row").service.p50.value().expect("measured");
    let (wait, query) = (p50("pool: wait"), p50("slow: query"));
    assert!(query >= Duration::from_millis(19) && query < Duration::from_millis(60), "{query:?}\n{report}");
    // Seven others are before it.
    assert!(wait > query * 4 && wait < query * 9, "{wait:?} {query:?}\n{report}");
    let service = report.total.service.p50.value().expect("measured");
    assert!(service < query * 2, "the pool's wait is none of the service time: {service:?}\n{report}");
}

/// What the database refuses is an answer, under its SQLSTATE, and the connection is used again; values are in no message.
#[tokio::test]
async fn what_a_database_refuses_is_answered_and_named() {
    let database = testkit::postgres().create_database("refuse").expect("a database");
    let target = SqlTarget::new(&database.url())
        .expect("a url")
        .pool(2)
        .prepare_with("CREATE TABLE once (id BIGINT PRIMARY KEY)")
        .statement(SqlStatement::new("add", "INSERT INTO once VALUES ($1)").bind(|_| SqlValue::Int(4_711)))
        .transaction(SqlTransaction::new("both").statement(
            SqlStatement::new("again", "INSERT INTO once VALUES ($1)").bind(|_| SqlValue::Int(4_711)),
        ));
    let report = LoadTest::new(target).rate(Rate::constant(200.0, SECOND * 2)).run().await.expect("runs");
    assert_eq!((report.total.ok, report.total.failed, report.total.answered), (1, 399, 400), "{report}");
    assert!(report.errors.iter().all(|line| line.cause == "check SQLSTATE 23505"), "{report}");
    assert!(report.errors.iter().any(|line| line.route == "both: again: query"), "{:?}", report.errors);
    assert!(!report.to_string().contains("4711"), "{report}");
    assert!(report.step("pool: connect").expect("connected").ok <= 2, "{report}");
}

#[tokio::test]
async fn urls_of_other_kinds_are_refused_without_their_passwords() {
    for url in ["mysql://user:secret@host/db", "postgres://user:secret@host:port/db", "http://secret"] {
        let refused = SqlTarget::new(url).expect_err("refused");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
    let target = SqlTarget::new("postgres://user:secret@127.0.0.1:1/db").expect("a url");
    assert!(!format!("{target:?} {}", target.describe()).contains("secret"));
    let why = target.check().await.expect_err("nobody is there");
    assert!(!why.contains("secret") && why.contains("127.0.0.1"), "{why}");
    assert!(RedisTarget::new("http://secret").is_err());
    let target = RedisTarget::new("redis://:secret@127.0.0.1:1/0").expect("a url");
    assert!(!format!("{target:?} {}", target.describe()).contains("secret"));
    assert!(!target.check().await.expect_err("nobody is there").contains("secret"));
}

#[tokio::test]
async fn redis_is_loaded_with_a_mix_and_its_hits_are_counted() {
    let redis = testkit::Redis::start().expect("a server");
    let target = RedisTarget::new(&redis.url())
        .expect("a url")
        .keys(Keys::uniform(1_000))
        .fill(500)
        .command(RedisCommand::get().weight(9))
        .command(RedisCommand::named("INCR").label("count").weight(1));
    assert!(target.check().await.expect("it answers").starts_with("Redis "));
    let report = LoadTest::new(target).rate(Rate::constant(500.0, SECOND * 2)).run().await.expect("runs");
    assert_eq!(report.total.answered, 1_000, "{report}");
    assert!(report.route("GET").expect("a route").ok > 850, "{report}");
    // Half of the keys are there, and some that are counted come to be.
    let note = report.notes.iter().find(|note| note.starts_with("hit ratio")).expect("a note");
    let share: f64 = note.split_whitespace().nth(2).and_then(|share| share.parse().ok()).expect("a share");
    assert!((42.0..62.0).contains(&share), "{note}");
    // INCR of a key that holds text is an answer of the server's.
    assert!(report.errors.iter().all(|line| line.cause == "check ERR" && line.route == "count"), "{report}");
}

#[tokio::test]
async fn a_pipeline_is_one_operation_of_many_commands() {
    let redis = testkit::Redis::start().expect("a server");
    let target = RedisTarget::new(&redis.url())
        .expect("a url")
        .keys(Keys::zipf(100, 0.99))
        .pipeline(20)
        .command(RedisCommand::set(10..=20));
    let report = LoadTest::new(target).rate(Rate::constant(200.0, SECOND * 2)).run().await.expect("runs");
    assert_eq!(report.total.ok, 400, "{report}");
    let calls = redis.cli(&["INFO", "commandstats"]).expect("answered");
    assert!(calls.contains("cmdstat_set:calls=8000,"), "{calls}");
}

/// Whoever misses loads for themselves: many loads a key and expiry, where one would do.
#[tokio::test]
async fn a_stampede_loads_what_one_load_would_do() {
    let redis = testkit::Redis::start().expect("a server");
    let target = RedisTarget::new(&redis.url())
        .expect("a url")
        .keys(Keys::uniform(1))
        .refill(10, Duration::from_millis(500), Duration::from_millis(50))
        .command(RedisCommand::get());
    let report = LoadTest::new(target).rate(Rate::constant(200.0, SECOND * 3)).run().await.expect("runs");
    let loads = report.notes.iter().find_map(|note| note.strip_suffix(" loads, one for each miss"));
    let loads: u64 = loads.and_then(|loads| loads.parse().ok()).expect("a note");
    // Six expiries or so, and ten reads in the 50 ms of each.
    assert!((20..=150).contains(&loads), "{loads}\n{report}");
    assert!(report.total.response.p99.value().expect("enough") >= Duration::from_millis(50), "{report}");
}

#[cfg(feature = "cli")]
fn preset(arguments: &[&str], variable: (&str, &str)) -> (i32, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
    let output = command.arg("preset").args(arguments).env(variable.0, variable.1).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("a code"), text(output.stdout) + &text(output.stderr))
}

#[cfg(feature = "cli")]
#[test]
fn the_preset_of_connections_finds_the_first_refusal_and_a_pool_size() {
    let options = testkit::PostgresOptions { settings: vec![("max_connections".into(), "23".into())] };
    let postgres = testkit::Postgres::start_with(&options).expect("a server");
    let few = [
        "db-connections",
        "--most",
        "30",
        "--each",
        "900ms",
        "--rounds",
        "2",
        "--statement",
        "SELECT pg_sleep(0.002)",
    ];
    let (code, said) = preset(&few, ("DATABASE_URL", &postgres.url()));
    if said.contains("nothing fits") {
        return assert_eq!(code, 3, "{said}"); // too busy to generate the load, which it says
    }
    assert_eq!(code, 0, "{said}");
    for line in ["allowed     20 connections", "refused     first with 30 connections: ", "pool        "] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let (code, said) = preset(&["db-connections", "--url-env", "NOT_THERE"], ("X", "y"));
    assert!(code == 2 && said.contains("NOT_THERE"), "{said}");
}

#[cfg(feature = "cli")]
#[test]
fn the_preset_of_a_cache_says_its_hit_ratio() {
    let redis = testkit::Redis::start().expect("a server");
    let few =
        ["redis-cache", "--rate", "400", "--for", "2s", "--keys", "1000", "--fill", "1000", "-q", "-c", "8"];
    let (code, said) = preset(&few, ("REDIS_URL", &redis.url()));
    assert!(code == 0 || code == 3 && said.contains("GeneratorBound"), "{said}");
    assert!(said.contains("hit ratio 100.0 % of"), "{said}");
}

/// A run at 200/s for 20 s in which the server stands still for 2 s, and the length of that.
fn frozen<W: Workload>(
    test: LoadTest<W>,
    freeze: impl FnOnce() + Send,
    thaw: impl FnOnce() + Send,
) -> (Report, f64) {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(test.run()).expect("runs")
        });
        std::thread::sleep(SECOND * 9);
        let began = Instant::now();
        freeze();
        std::thread::sleep(SECOND * 2);
        thaw();
        let length = began.elapsed().as_secs_f64();
        (run.join().expect("no panic"), length)
    })
}

/// How far p95, p99 and p99.9 are from arithmetic at most, in percent: the quantile q is waited for by a share 1 − q.
fn off(report: &Report, freeze: f64) -> f64 {
    let response = report.total.response;
    let off = |(measured, q): (Quantile, f64)| {
        let truth = freeze - (1.0 - q) * 20.0;
        let measured = match measured {
            Quantile::Value(time) | Quantile::AtLeast(time) => time.as_secs_f64(),
            Quantile::Needs(need) => panic!("{need} are needed"),
        };
        (measured / truth - 1.0).abs() * 100.0
    };
    [(response.p95, 0.95), (response.p99, 0.99), (response.p999, 0.999)]
        .map(off)
        .into_iter()
        .fold(0.0, f64::max)
}

/// Prints a line for `scripts/verify/L1.sh`.
#[test]
#[ignore = "two minutes: scripts/verify.sh loadtest --only L1"]
fn l1_frozen_databases_are_as_slow_as_arithmetic_says() {
    let runs = std::env::var("VERIFY_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2);
    let rate = || Rate::constant(200.0, SECOND * 20);
    for run in 0..runs {
        let postgres = testkit::Postgres::start().expect("a server");
        let target = SqlTarget::new(&postgres.url()).expect("a url");
        let target = target.statement(SqlStatement::new("one", "SELECT 1"));
        let test = LoadTest::new(target).rate(rate()).max_in_flight(4_096, OnCap::CountAsFailure);
        let (report, length) = frozen(test, || postgres.freeze(), || postgres.thaw());
        println!("L1 sql run={run} off={:.2} verdict={}", off(&report, length), report.verdict.name());
        let redis = testkit::Redis::start().expect("a server");
        let target = RedisTarget::new(&redis.url()).expect("a url").command(RedisCommand::get());
        // Few connections, as a client of Redis has: what is due beyond them waits.
        let test = LoadTest::new(target).rate(rate()).max_in_flight(64, OnCap::Queue).warm_sessions(64);
        let (report, length) = frozen(test, || redis.freeze(), || redis.thaw());
        println!("L1 redis run={run} off={:.2} verdict={}", off(&report, length), report.verdict.name());
    }
}
