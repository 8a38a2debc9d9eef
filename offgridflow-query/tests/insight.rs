//! Q7: a dropped index is flagged within thirty executions, and nothing else is.
//! `scripts/verify.sh query --only Q7` runs the ignored test, in the size of `VERIFY_SIZE`.
#![cfg(all(feature = "postgres", feature = "plans"))]

use offgridflow_query::sqlx::{self, AssertSqlSafe, Executor};
use offgridflow_query::{Acquire, ConnectionPool, GateConfig, Observer, PgGate, PlanBudget};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const STATEMENTS: usize = 24;
/// So many executions in a row are slow once in each statement's life, with the plan that it has: a full disk, a neighbour.
const STALL: usize = 12;
const DROPS: usize = 5;

async fn run(gate: &PgGate, sql: &str) {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    conn.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
}

/// One reading by its own statement, and how long that took.
async fn ask(gate: &PgGate, observer: &Observer, sql: &str, id: i32, stall: Duration) -> Duration {
    let mut conn = gate.acquire(Acquire::default()).await.unwrap();
    let began = Instant::now();
    let observation = observer.start_text(sql);
    tokio::time::sleep(stall).await;
    let asked = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(id).fetch_all(&mut *conn).await;
    observation.succeeded(asked.unwrap().len());
    began.elapsed()
}

/// The control: an alarm when the mean of eight executions is twice the mean of those before them.
#[derive(Default)]
struct MeanRule {
    latest: VecDeque<f64>,
    sum: f64,
    count: f64,
    alarms: usize,
}

impl MeanRule {
    fn note(&mut self, took: Duration) {
        self.latest.push_back(took.as_secs_f64());
        if self.latest.len() < 9 {
            return;
        }
        let oldest = self.latest.pop_front().unwrap();
        (self.sum, self.count) = (self.sum + oldest, self.count + 1.0);
        let mean = self.latest.iter().sum::<f64>() / 8.0;
        if self.count >= 32.0 && mean > 2.0 * self.sum / self.count {
            self.alarms += 1;
            self.latest.clear();
        }
    }
}

/// Runs stable statements, each with a slow spell; false alarms of ours and of the control's.
async fn stable(gate: &PgGate, observer: &Observer, executions: usize) -> (usize, usize) {
    let mut rules: Vec<MeanRule> = (0..STATEMENTS).map(|_| MeanRule::default()).collect();
    for n in 0..executions {
        for (number, rule) in rules.iter_mut().enumerate() {
            let sql = format!("SELECT kwh AS c{number} FROM readings WHERE site = $1 LIMIT 5");
            let slow = (executions / 2..executions / 2 + STALL).contains(&n);
            let stall = if slow { Duration::from_millis(5) } else { Duration::ZERO };
            rule.note(ask(gate, observer, &sql, i32::try_from(n % 1_000).unwrap(), stall).await);
        }
    }
    (observer.plan_regressions().len(), rules.iter().map(|rule| rule.alarms).sum())
}

/// Drops the index and asks until that is told; executions that took.
async fn until_told(gate: &PgGate, observer: &Observer, drop: usize) -> usize {
    let sql = format!("SELECT kwh AS d{drop} FROM readings WHERE site = $1");
    for n in 0..64 {
        ask(gate, observer, &sql, n, Duration::ZERO).await;
    }
    let known = observer.plan_regressions().len();
    let captured =
        |observer: &Observer| observer.insight().detailed.iter().filter(|one| one.plan.is_some()).count();
    while captured(observer) < STATEMENTS.min(20) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for n in 0..64 {
        ask(gate, observer, &sql, n, Duration::ZERO).await;
    }
    run(gate, "DROP INDEX readings_site").await;
    let mut told = 0;
    for n in 1..=100 {
        ask(gate, observer, &sql, 7, Duration::ZERO).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        if observer.plan_regressions().len() > known {
            told = n;
            break;
        }
    }
    run(gate, "CREATE INDEX readings_site ON readings (site)").await;
    if told == 0 { usize::MAX } else { told }
}

async fn ready() -> (PgGate, testkit::Database) {
    let database = testkit::postgres().create_database("insight").unwrap();
    let gate =
        PgGate::from_url(&database.url(), GateConfig { max_open: 3, ..GateConfig::default() }).unwrap();
    run(&gate, "CREATE TABLE readings (id INT PRIMARY KEY, site INT NOT NULL, kwh FLOAT8 NOT NULL)").await;
    run(&gate, "INSERT INTO readings SELECT n, n % 1000, n FROM generate_series(1, 100000) AS n").await;
    run(&gate, "CREATE INDEX readings_site ON readings (site)").await;
    run(&gate, "ANALYZE readings").await;
    (gate, database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/verify.sh query --only Q7"]
async fn promise() {
    let executions = if std::env::var("VERIFY_SIZE").as_deref() == Ok("full") { 10_000 } else { 500 };
    let (gate, _database) = ready().await;
    let observer = Observer::new("postgresql");
    let budget = PlanBudget { per_second: 20.0, ..PlanBudget::default() };
    let _watcher = observer.watch_plans(gate.clone(), budget);
    let (false_alarms, control) = stable(&gate, &observer, executions).await;
    let seen = observer.plan_stats();
    let database: u64 = observer.report().statements.iter().map(|one| one.latency.sum_ns).sum();
    let share = seen.spent_ns as f64 / database as f64 * 100.0;
    let mut told = Vec::new();
    for drop in 0..DROPS {
        told.push(until_told(&gate, &observer, drop).await);
    }
    let most = told.iter().max().unwrap();
    println!(
        "measured=dropped-index-told-after:{told:?}-executions,false-alarms:{false_alarms}-of-{STATEMENTS}x{executions},asking:{share:.2}%-of-database-time \
         n={STATEMENTS}x{executions} control-alarms={control}"
    );
    assert!(
        *most <= 30 && false_alarms == 0 && control > 0 && share <= 1.0 + 100e6 / database as f64 * 100.0
    );
}
