//! Q4: the link is cut at every flush of the protocol, before and after the server saw it, the writer's process is killed and
//! replays its batches, and a replica that lags is promoted. Nothing may be lost or stored twice. Control: at-least-once
//! delivery on the same cuts.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use benches::figures::{full, seed};
use offgridflow_query::sqlx::{Row as _, query};
use offgridflow_query::{
    Acquire, BatchExecutor, BatchWriter, Chunk, Conflict, ConnectionPool, Delivery, Outcome, PgGate, Row,
    TxOutcome, TxToken, WriteError, WritePlan, ledger_table_sql, row,
};

use crate::Failure;
use crate::dice::Dice;
use crate::programs::{gate, number, run};
use crate::q4_child::{BATCHES, ROWS};

/// A row without a key: what is stored twice is there twice.
pub(crate) struct Entry {
    pub(crate) id: i64,
}
row!(Entry in "entries" { id });

/// Flushes of one write, connecting included, and some more.
const BOUNDARIES: u64 = 24;
const ROWS_A_CUT: i64 = 7;

pub(crate) async fn main() -> Result<(), Failure> {
    let (seed, cuts, kills) = (seed(), if full() { 1_000 } else { 150 }, if full() { 40 } else { 6 });
    let server = testkit::Postgres::start()?;
    let once = cut(&server, Delivery::ExactlyOnce, cuts).await?;
    let often = cut(&server, Delivery::AtLeastOnce, cuts).await?;
    benches::row!("{cuts} cuts: {once:?}");
    benches::row!("control, at least once: {often:?}");
    let killed = killed(&server, &mut Dice::new(seed), kills).await?;
    benches::row!("{} kills: {} lost, {} twice", killed.kills, killed.lost, killed.twice);
    let promoted = promoted(if full() { 5 } else { 1 }).await?;
    benches::row!("promotions: {promoted:?}");
    let pass = once.lost + once.twice + once.unknown + killed.lost + killed.twice == 0
        && once.hurt > cuts / 4
        && promoted.false_committed == 0
        && promoted.believed_without_timeline > 0;
    println!(
        "{} measured=lost={},twice={},unknown={},after-kill-lost={},twice={},false-committed={}-of-{} \
         control=at-least-once-{}-twice,without-timeline-{}-false-committed n={cuts}-cuts-of-which-{}-hurt,{}-kills seed {seed}",
        if pass && often.twice > 0 { "PASS" } else { "FAIL" },
        once.lost,
        once.twice,
        once.unknown,
        killed.lost,
        killed.twice,
        promoted.false_committed,
        promoted.asked,
        often.twice,
        promoted.believed_without_timeline,
        once.hurt,
        killed.kills,
    );
    Ok(())
}

#[derive(Debug, Default)]
struct Cuts {
    lost: usize,
    twice: usize,
    unknown: usize,
    hurt: usize,
}

/// A writer through a proxy that cuts its link, once a batch, at each boundary in turn. A row that comes back is pushed again.
async fn cut(server: &testkit::Postgres, delivery: Delivery, cuts: usize) -> Result<Cuts, Failure> {
    let database = server.create_database("cuts")?;
    let direct = gate(&database.url(), 2)?;
    run(&direct, "CREATE TABLE entries (id INT8)").await?;
    let proxy = testkit::FaultProxy::start(server.addr())?;
    let url = database.url().replace(&server.addr().to_string(), &proxy.addr().to_string());
    let (mut found, mut next) = (Cuts::default(), 0);
    let mut through = gate(&url, 1)?;
    for turn in 0..cuts as u64 {
        if turn.is_multiple_of(5) {
            through = gate(&url, 1)?; // connecting is cut, too
        }
        let boundary = 1 + turn / 2 % BOUNDARIES;
        if turn.is_multiple_of(2) {
            proxy.cut_at_flush(boundary);
        } else {
            proxy.cut_after_flush(boundary);
        }
        let writer = BatchWriter::<Entry>::builder(through.clone()).delivery(delivery).start()?;
        let mut rows: Vec<Entry> = (next..next + ROWS_A_CUT).map(|id| Entry { id }).collect();
        next += ROWS_A_CUT;
        while !rows.is_empty() {
            let outcomes = writer.push_many(rows).await?.outcomes().await;
            rows = Vec::new();
            for outcome in outcomes {
                if let Outcome::Returned(returned) = outcome {
                    // Nobody can say: what a caller without a key and a ledger has to live with.
                    found.unknown +=
                        usize::from(matches!(returned.why, offgridflow_query::Why::CommitUnknown(_)));
                    rows.push(returned.row);
                }
            }
        }
        let report = writer.close().await?;
        found.hurt += usize::from(report.stats.retries > 0 || report.stats.transactions > 1);
        proxy.restore();
    }
    (found.lost, found.twice) = missing_and_twice(&direct, next).await?;
    Ok(found)
}

/// How many of the ids below `end` are not in the table, and how many are there more than once.
async fn missing_and_twice(gate: &PgGate, end: i64) -> Result<(usize, usize), Failure> {
    let mut conn = gate.acquire(Acquire::default()).await?;
    let rows = query("SELECT id, count(*) FROM entries GROUP BY id").fetch_all(&mut *conn).await?;
    let counts: BTreeMap<i64, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let missing = (0..end).filter(|id| !counts.contains_key(id)).count();
    Ok((missing, counts.values().filter(|&&count| count > 1).count()))
}

struct Killed {
    kills: usize,
    lost: usize,
    twice: usize,
}

/// A process that pushes named batches is killed again and again, and begins anew each time.
async fn killed(server: &testkit::Postgres, dice: &mut Dice, kills: usize) -> Result<Killed, Failure> {
    let database = server.create_database("kills")?;
    let direct = gate(&database.url(), 1)?;
    run(&direct, &format!("CREATE TABLE entries (id INT8); {}", ledger_table_sql("batches")?)).await?;
    let program = std::env::current_exe()?;
    let mut done = 0;
    for _ in 0..kills {
        let mut child = Command::new(&program)
            .args(["q4-child", &database.url()])
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        // It is killed once it has stored something new, after a while that is too short for all.
        let (before, patience) = (stored_batches(&direct).await?, std::time::Instant::now());
        while stored_batches(&direct).await? <= before && child.try_wait()?.is_none() {
            if patience.elapsed() > Duration::from_secs(30) {
                return Err("the child stores nothing".into());
            }
        }
        tokio::time::sleep(Duration::from_micros(dice.below(20_000))).await;
        child.kill()?;
        child.wait()?;
        done += 1;
    }
    let status = Command::new(&program).args(["q4-child", &database.url()]).stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err("the last replay failed".into());
    }
    let (lost, twice) = missing_and_twice(&direct, BATCHES * ROWS).await?;
    Ok(Killed { kills: done, lost, twice })
}

async fn stored_batches(gate: &PgGate) -> Result<i64, Failure> {
    number(gate, "SELECT count(*) FROM batches").await
}

#[derive(Debug, Default)]
struct Promoted {
    asked: usize,
    false_committed: usize,
    believed_without_timeline: usize,
}

/// Transactions that the primary committed and its promoted replica never saw.
async fn promoted(times: usize) -> Result<Promoted, Failure> {
    let mut found = Promoted::default();
    for _ in 0..times {
        let server = testkit::Postgres::start()?;
        let proxy = testkit::FaultProxy::start(server.addr())?;
        let url = server.url().replace(&server.addr().to_string(), &proxy.addr().to_string());
        let (direct, through) = (gate(&server.url(), 1)?, gate(&url, 1)?);
        let mut replica = testkit::Replica::start(&server)?;
        replica.fall_behind()?;
        run(&direct, "CREATE TABLE entries (id INT8)").await?;
        let tokens = lost_commits(&through, &proxy).await?;
        replica.promote()?;
        let after = gate(&replica.url(), 1)?;
        for _ in 0..40 {
            run(&after, "SELECT pg_current_xact_id()").await?;
        }
        for token in tokens {
            found.asked += 1;
            found.false_committed += usize::from(after.outcome(&token).await? == TxOutcome::Committed);
            let xid = token.to_string().split(' ').nth(1).ok_or("no id")?.to_owned();
            let sql = format!("SELECT (pg_xact_status('{xid}'::xid8) = 'committed')::int4::int8");
            found.believed_without_timeline += usize::from(number(&after, &sql).await? == 1);
        }
    }
    Ok(found)
}

/// Transactions whose COMMIT reached the server and was not answered.
async fn lost_commits(gate: &PgGate, proxy: &testkit::FaultProxy) -> Result<Vec<TxToken>, Failure> {
    let mut chunk = Chunk::new(Entry::shape());
    chunk.push(|to| to.i64(1))?;
    let mut plan = WritePlan::new(Conflict::Error);
    let mut tokens = Vec::new();
    for _ in 0..5 {
        plan.prepared = Arc::new(gate.prepare(&Entry::shape(), &plan).await?);
        gate.write(&[chunk.slice(0..1)], &plan).await?;
        while gate.status().in_use > 0 {
            tokio::task::yield_now().await; // the pool tests the connection as it comes back
        }
        proxy.cut_after_flush(3); // BEGIN, INSERT, COMMIT
        match gate.write(&[chunk.slice(0..1)], &plan).await {
            Err(WriteError::CommitUnknown { token: Some(token), .. }) => tokens.push(*token),
            other => return Err(format!("COMMIT was to be cut: {other:?}").into()),
        }
    }
    Ok(tokens)
}
