//! Plans are captured without touching anybody's statement, and one that became slower is told.
#![cfg(all(feature = "postgres", feature = "sqlite", feature = "plans"))]

mod servers;

use offgridflow_query::{
    Acquire, Class, ConnectionPool, Explain, ExplainFor, GateConfig, Observer, PgGate, PlanBudget, SlowLog,
};
use servers::{postgres, run, sqlite};
use sqlx::{AssertSqlSafe, Executor, Postgres, Sqlite};
use std::time::Duration;

const ROWS: &str = "CREATE TABLE readings (id INTEGER PRIMARY KEY, site INTEGER NOT NULL, kwh REAL NOT NULL)";
const BY_SITE: &str = "SELECT count(*) FROM readings WHERE site = $1";

/// Asks by site so many times; how many executions went by until a regression was told.
macro_rules! ask {
    ($gate:expr, $observer:expr, $times:expr) => {{
        let mut found = None;
        for n in 0..$times {
            let mut conn = $observer.acquire(&$gate, Acquire::default()).await.unwrap();
            let (rows,): (i64,) =
                sqlx::query_as(BY_SITE).bind(i64::from(n % 50)).fetch_one(conn.on()).await.unwrap();
            assert_eq!(rows, 40);
            drop(conn);
            tokio::task::yield_now().await;
            if found.is_none() && !$observer.plan_regressions().is_empty() {
                found = Some(n + 1);
            }
        }
        found
    }};
}

macro_rules! an_index_that_is_dropped_is_told {
    ($gate:expr, $observer:expr) => {{
        let (gate, observer) = ($gate, $observer);
        run!(gate, "CREATE INDEX readings_site ON readings (site)");
        let _watcher = observer.watch_plans(gate.clone(), PlanBudget::default());
        assert_eq!(ask!(gate, observer, 100), None);
        while observer.plan_stats().captured == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask!(gate, observer, 100), None, "nothing changed");
        run!(gate, "DROP INDEX readings_site");
        let told = ask!(gate, observer, 30);
        let found = observer.plan_regressions();
        let [regression] = &found[..] else { panic!("{found:?}; {:?}", observer.plan_stats()) };
        assert!(told.is_some_and(|n| n <= 30), "{told:?}");
        assert!(regression.before.uses("readings_site") && !regression.after.uses("readings_site"));
        assert!(regression.slower.times >= 2.0 && regression.slower.p < 0.01, "{regression:?}");
        assert!(regression.diff.to_string().contains("readings_site"), "{}", regression.diff);
        assert!(regression.text.contains("where site = ?") && !format!("{regression:?}").contains("$1"));
        regression.clone()
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_dropped_on_postgresql_is_told_within_thirty_executions() {
    let (gate, _database) = postgres("dropped");
    run!(
        gate,
        ROWS,
        "INSERT INTO readings SELECT n, n % 2500, n FROM generate_series(1, 100000) AS n",
        "ANALYZE readings"
    );
    let regression = an_index_that_is_dropped_is_told!(gate, Observer::new("postgresql"));
    assert!(
        regression.after.to_string().contains("Seq Scan on readings; Filter: (readings.site = "),
        "{}",
        regression.after
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_dropped_on_sqlite_is_told_within_thirty_executions() {
    let (gate, _dir) = sqlite();
    run!(
        gate,
        ROWS,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO readings SELECT i, i % 2500, i FROM n"
    );
    let regression = an_index_that_is_dropped_is_told!(gate, Observer::new("sqlite"));
    assert_eq!(regression.after.to_string(), "QUERY PLAN\n  SCAN on readings");
}

#[tokio::test]
async fn a_plan_is_made_for_its_values_or_for_any() {
    let (gate, _database) = postgres("values");
    // One site has all rows but one: its plan is a scan, everybody else's an index.
    run!(
        gate,
        ROWS,
        "INSERT INTO readings SELECT n, CASE n WHEN 1 THEN 2 ELSE 1 END, n FROM generate_series(1, 20000) AS n",
        "CREATE INDEX readings_site ON readings (site)",
        "ANALYZE readings"
    );
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let sql = "SELECT kwh FROM readings WHERE site = $1";
    for (site, indexed) in [(1i32, false), (2, true)] {
        let mut values = sqlx::postgres::PgArguments::default();
        sqlx::Arguments::add(&mut values, site).unwrap();
        let plan = Postgres::explain(&mut conn, sql, Some(values), ExplainFor::ItsValues).await.unwrap();
        assert_eq!(plan.uses("readings_site"), indexed, "site {site}:\n{plan}");
        assert!(!plan.to_string().contains("site = 1") && plan.root.cost.is_some());
    }
    let any = Postgres::explain(&mut conn, sql, None, ExplainFor::ItsValues).await.unwrap();
    let twice = Postgres::explain(&mut conn, sql, None, ExplainFor::AnyValues).await.unwrap();
    assert_eq!(any.shape, twice.shape, "the name of what was prepared is free again");
}

/// Nothing is run, nothing hangs, and the connection is as it was.
#[tokio::test]
async fn what_has_no_plan_is_refused_and_the_connection_is_whole() {
    let (gate, database) = postgres("refused");
    run!(gate, ROWS, "INSERT INTO readings VALUES (1, 1, 1)");
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let long = format!("SELECT '{}' FROM readings -- {}", "x".repeat(1 << 20), "y".repeat(100));
    let cases: [(&str, Result<(), Class>); 16] = [
        ("DROP TABLE readings", Err(Class::Schema)),
        ("SELECT 1; DELETE FROM readings", Err(Class::Schema)),
        ("SELECT 1 --\r; COMMIT; DROP TABLE readings", Err(Class::Schema)),
        ("SELECT 1 FROM readings --\r\n", Ok(())),
        ("(ANALYZE) DELETE FROM readings", Err(Class::Schema)),
        ("ANALYZE DELETE FROM readings", Err(Class::Schema)),
        ("", Err(Class::Schema)),
        (";;;", Err(Class::Schema)),
        ("SELECT FROM WHERE", Err(Class::Schema)),
        ("SELECT a FROM nowhere", Err(Class::Schema)),
        ("SELECT kwh FROM readings WHERE site = $1 AND kwh > $2;", Ok(())),
        ("DELETE FROM readings", Ok(())),
        ("INSERT INTO readings VALUES ($1, $2, $3) -- the last words", Ok(())),
        ("SELECT $$;$$ FROM readings", Err(Class::Schema)),
        ("WITH gone AS (DELETE FROM readings RETURNING id) SELECT count(*) FROM gone", Ok(())),
        (&long, Ok(())),
    ];
    for (sql, expected) in cases {
        let got = Postgres::explain(&mut conn, sql, None, ExplainFor::ItsValues).await;
        let got = got.map(drop).map_err(|cause| cause.class());
        assert_eq!(got, expected, "{}", &sql[..sql.len().min(60)]);
    }
    let locks = PgGate::from_url(&database.url(), GateConfig::default()).unwrap();
    let mut locks = locks.acquire(Acquire::default()).await.unwrap();
    locks.execute("BEGIN; LOCK TABLE readings").await.unwrap();
    let locked = Postgres::explain(&mut conn, "SELECT id FROM readings", None, ExplainFor::ItsValues).await;
    assert_eq!(locked.unwrap_err().class(), Class::Contention, "a table under lock is not waited for");
    locks.execute("ROLLBACK").await.unwrap();
    let mut times = Vec::new();
    for _ in 0..2 {
        let (rows, began): (i64, String) =
            sqlx::query_as("SELECT count(*), now()::text FROM readings").fetch_one(&mut *conn).await.unwrap();
        assert_eq!(rows, 1, "nothing was deleted");
        times.push(began);
    }
    assert_ne!(times[0], times[1], "each in a transaction of its own: none is open");
}

#[tokio::test]
async fn sqlite_refuses_the_same_and_runs_nothing() {
    let (gate, _dir) = sqlite();
    run!(gate, ROWS, "INSERT INTO readings VALUES (1, 1, 1)");
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    for sql in [
        "DROP TABLE readings",
        "SELECT 1; DELETE FROM readings",
        "SELECT a FROM nowhere",
        "VACUUM",
        "SELECT [a'b] FROM readings; DELETE FROM readings --'",
    ] {
        let refused = Sqlite::explain(&mut conn, sql, None, ExplainFor::ItsValues).await;
        assert_eq!(refused.unwrap_err().class(), Class::Schema, "{sql}");
    }
    let plan = Sqlite::explain(&mut conn, "DELETE FROM readings WHERE id = ?", None, ExplainFor::ItsValues)
        .await
        .unwrap();
    assert!(plan.to_string().contains("SEARCH (INTEGER PRIMARY KEY) on readings; by: rowid=?"), "{plan}");
    let (rows,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM readings").fetch_one(&mut *conn).await.unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_watcher_that_is_dropped_asks_no_more_and_refusals_are_counted() {
    let (gate, _dir) = sqlite();
    let observer = Observer::new("sqlite");
    let watcher = observer.watch_plans(gate.clone(), PlanBudget::default());
    let pragma = |observer: Observer| {
        let gate = gate.clone();
        async move {
            for _ in 0..40 {
                let mut conn = gate.acquire(Acquire::default()).await.unwrap();
                sqlx::query("PRAGMA user_version").fetch_all(observer.on(&mut *conn)).await.unwrap();
            }
        }
    };
    pragma(observer.clone()).await;
    while observer.plan_stats().refused == 0 {
        tokio::task::yield_now().await;
    }
    drop(watcher);
    let stats = observer.plan_stats();
    pragma(observer.clone()).await;
    assert_eq!(observer.plan_stats(), stats);
    assert_eq!(observer.report().statements[0].calls, 80, "nobody's statement failed for it");
}

#[tokio::test]
async fn slow_statements_are_kept_without_their_values() {
    let (gate, _dir) = sqlite();
    let log = SlowLog::over(Duration::from_secs(3_600)).keep(2);
    let (never, observer) = (
        Observer::new("sqlite").with_slow_log(log),
        Observer::new("sqlite").with_slow_log(log.or_times_typical(20.0)),
    );
    let ask = |rows: i64, secret: &'static str| {
        let (gate, observer, never) = (gate.clone(), observer.clone(), never.clone());
        async move {
            let mut conn = gate.acquire(Acquire::default()).await.unwrap();
            let text = format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT count(*) FROM n WHERE '{secret}' <> ''"
            );
            sqlx::query(AssertSqlSafe(text.clone())).fetch_all(never.on(&mut *conn)).await.unwrap();
            sqlx::query(AssertSqlSafe(text)).fetch_all(observer.on(&mut *conn)).await.unwrap();
        }
    };
    for _ in 0..20 {
        ask(1, "hunter2").await;
    }
    for _ in 0..3 {
        ask(400_000, "hunter2").await;
    }
    assert!(never.slow_statements().is_empty());
    let slow = observer.slow_statements();
    assert_eq!(slow.len(), 2, "the latest two: {slow:?}");
    assert!(slow.iter().all(|one| one.took > Duration::from_millis(5)), "{slow:?}");
    assert!(slow[0].ended >= slow[1].ended && slow[0].at.contains("plans.rs"), "{slow:?}");
    assert!(slow[0].text.contains("where i < ?") && !format!("{slow:?}").contains("hunter2"), "{slow:?}");
}

#[tokio::test]
async fn the_page_says_everything_and_believes_nobody() {
    let (gate, _dir) = sqlite();
    run!(gate, "CREATE TABLE \"<script>alert(1)</script>\" (id INTEGER PRIMARY KEY)");
    let observer = Observer::new("sqlite");
    let _watcher = observer.watch_plans(gate.clone(), PlanBudget::default());
    let asking = async {
        for id in 0..20i64 {
            let mut conn = observer.acquire(&gate, Acquire::default()).await.unwrap();
            let asked = sqlx::query("SELECT id FROM \"<script>alert(1)</script>\" WHERE id = ?").bind(id);
            asked.fetch_all(conn.on()).await.unwrap();
        }
    };
    let ((), report) = offgridflow_query::QueryScope::new().run(asking).await;
    observer.found(&report);
    while observer.plan_stats().captured == 0 {
        tokio::task::yield_now().await;
    }
    let insight = observer.insight().with_pool("main", gate.status());
    let (text, page) = (insight.to_string(), insight.html());
    for part in ["N+1 in 1 scopes: 20 times", "pool main:", "where id = ?"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for part in
        ["&lt;script&gt;alert(1)", "<polyline", "SEARCH (INTEGER PRIMARY KEY)", "Asked again and again"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("<script") && !page.contains("http"), "no script, and nothing is asked for");
    let json = serde_json::to_value(&insight).unwrap();
    assert_eq!(json["findings"][0]["worst"]["times"], 20);
    assert_eq!(json["detailed"][0]["recent_ns"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn a_second_watcher_takes_the_place_of_the_first_and_no_output_shows_values() {
    let (gate, _dir) = sqlite();
    run!(gate, ROWS);
    let observer = Observer::new("sqlite");
    let mut watcher = observer.watch_plans(gate.clone(), PlanBudget::default());
    let first = std::mem::replace(&mut watcher, observer.watch_plans(gate.clone(), PlanBudget::default()));
    drop(first);
    for _ in 0..20 {
        let mut conn = gate.acquire(Acquire::default()).await.unwrap();
        let asked = sqlx::query("SELECT kwh FROM readings WHERE site = 4711 /* hunter1 */ AND id > 0");
        asked.fetch_all(observer.on(&mut *conn)).await.unwrap();
        tokio::task::yield_now().await;
    }
    while observer.plan_stats().captured == 0 {
        tokio::task::yield_now().await;
    }
    let insight = observer.insight();
    let shown = format!("{observer:?} {insight:?} {insight} {}", insight.html());
    assert!(!shown.contains("4711") && !shown.contains("hunter1"), "{shown}");
}

/// A table under lock is no statement without a plan: it is asked again soon.
#[tokio::test]
async fn a_plan_that_could_not_be_had_because_of_a_lock_is_asked_for_again() {
    let (gate, _database) = postgres("locked");
    run!(gate, ROWS);
    let observer = Observer::new("postgresql");
    let budget = PlanBudget { advance: Duration::from_secs(60), ..PlanBudget::default() };
    let _watcher = observer.watch_plans(gate.clone(), budget);
    let mut locks = gate.acquire(Acquire::default()).await.unwrap();
    locks.execute("BEGIN; LOCK TABLE readings").await.unwrap();
    let ask = |times: u32| (0..times).for_each(|_| observer.start(BY_SITE).succeeded(1));
    ask(9);
    let asked = |stats: offgridflow_query::PlanStats| stats.captured + stats.refused + stats.postponed;
    while asked(observer.plan_stats()) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    locks.execute("ROLLBACK").await.unwrap();
    ask(20);
    for _ in 0..1_000 {
        if asked(observer.plan_stats()) > 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stats = observer.plan_stats();
    assert_eq!((stats.captured, stats.refused, stats.postponed), (1, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_forgets_regressions_too() {
    let (gate, _dir) = sqlite();
    run!(
        gate,
        ROWS,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO readings SELECT i, i % 2500, i FROM n"
    );
    let observer = Observer::new("sqlite");
    let told = an_index_that_is_dropped_is_told!(gate, observer.clone());
    assert_eq!(observer.insight().regressions[0].fingerprint, told.fingerprint);
    observer.reset();
    assert!(observer.plan_regressions().is_empty() && observer.insight().regressions.is_empty());
}

/// Bytes that call themselves a text.
struct Raw(&'static [u8]);

impl sqlx::Type<Postgres> for Raw {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        <str as sqlx::Type<Postgres>>::type_info()
    }
}

impl sqlx::Encode<'_, Postgres> for Raw {
    fn encode_by_ref(
        &self,
        buf: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        buf.extend_from_slice(self.0);
        Ok(sqlx::encode::IsNull::No)
    }
}

#[tokio::test]
async fn values_that_are_no_utf8_fail_their_statement_alone_and_are_in_no_output() {
    let (gate, _database) = postgres("no_utf8");
    let observer = Observer::new("postgresql").with_slow_log(SlowLog::over(Duration::ZERO));
    let _watcher = observer.watch_plans(gate.clone(), PlanBudget::default());
    let ask = async |name: &'static [u8]| {
        let mut conn = observer.acquire(&gate, Acquire::default()).await.unwrap();
        let named = sqlx::query("SELECT 1 FROM pg_class WHERE relname = $1").bind(Raw(name));
        named.fetch_all(conn.on()).await.map(|rows| rows.len())
    };
    for _ in 0..20 {
        let refused = ask(b"caf\xe9 \xff").await.expect_err("no UTF-8");
        let code = refused.as_database_error().and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("22021"), "{refused}");
        assert_eq!(ask(b"pg_class").await.unwrap(), 1, "the connection is whole");
    }
    let told = |stats: &offgridflow_query::PlanStats| stats.captured + stats.refused + stats.postponed > 0;
    while !told(&observer.plan_stats()) {
        tokio::task::yield_now().await;
    }
    let report = observer.report();
    let asked = report.statements.iter().find(|stats| stats.text.contains("relname = ?")).expect("asked");
    let by_class: Vec<_> = asked.by_class.iter().map(|error| (error.class, error.times)).collect();
    assert_eq!((asked.calls, by_class), (40, vec![(Class::Data, 20)]), "{asked:?}");
    let shown = format!("{report:?}{:?}", observer.slow_statements());
    assert!(!shown.contains("caf"), "{shown}");
}
