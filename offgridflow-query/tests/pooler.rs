//! Behind a pooler that gives each transaction a session, the writer gets its own answers.
#![cfg(feature = "postgres")]

use offgridflow_query::{
    Acquire, BatchWriter, Column, Conflict, ConnectionPool, Fate, GateConfig, Kind, Outcome, PgGate, Pooling,
    Shape, Strategy, row,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

struct Level {
    key: i64,
    value: i32,
}
row!(Level in "levels" { key, value } key { key });

/// A server and a pooler with two sessions, or why the test is skipped.
fn pooled() -> Option<(testkit::Postgres, testkit::PgBouncer, String)> {
    let server = testkit::Postgres::start().unwrap();
    match testkit::PgBouncer::start(&server, 2) {
        Ok(bouncer) => {
            let url = server.url().replace(&server.addr().to_string(), &bouncer.addr().to_string());
            Some((server, bouncer, url))
        }
        Err(missing @ testkit::Error::Missing { .. }) => {
            eprintln!("skipped: {missing}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_behind_a_transaction_pooler_lose_nothing() {
    let Some((server, _bouncer, url)) = pooled() else { return };
    let direct = PgGate::from_url(&server.url(), GateConfig::default()).unwrap();
    let mut conn = direct.acquire(Acquire::default()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE levels (key INT8 PRIMARY KEY, value INT4)")
        .execute(&mut *conn)
        .await
        .unwrap();
    let tasks = (0..6i64).map(|task| {
        let gate = PgGate::from_url(&url, GateConfig { max_open: 2, ..GateConfig::default() }).unwrap();
        let rule =
            [Conflict::Ignore, Conflict::Update, Conflict::Error][usize::try_from(task % 3).unwrap()].clone();
        let bulk = if rule == Conflict::Error { Strategy::Copy } else { Strategy::Staging };
        tokio::spawn(async move {
            let mut settled = 0;
            for (round, strategy) in [Strategy::Unnest, bulk].into_iter().cycle().take(10).enumerate() {
                let writer = BatchWriter::builder(gate.clone()).conflict(rule.clone()).strategy(strategy);
                let writer = writer.pooling(Pooling::Transaction).start().unwrap();
                let first = task * 10_000 + i64::try_from(round).unwrap() * 100;
                let rows = (first..first + 100).map(|key| Level { key, value: 1 });
                let outcomes = writer.push_many(rows).await.unwrap().outcomes().await;
                for outcome in &outcomes {
                    assert!(
                        matches!(outcome, Outcome::Settled(r) if r.fate == Fate::Committed),
                        "{outcome:?}"
                    );
                }
                settled += outcomes.len();
                assert!(writer.close().await.unwrap().is_clean());
            }
            settled
        })
    });
    let mut settled = 0;
    for task in tasks.collect::<Vec<_>>() {
        settled += task.await.unwrap();
    }
    let stored: i64 = sqlx::query("SELECT count(*) FROM levels").fetch_one(&mut *conn).await.unwrap().get(0);
    assert_eq!((settled, stored), (6_000, 6_000));
}

/// Who forgets to say that a pooler is there gets no statement of somebody else's: the server sees a port that is not ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_nobody_mentioned_puts_no_row_into_another_table() {
    let Some((server, _bouncer, url)) = pooled() else { return };
    let direct = PgGate::from_url(&server.url(), GateConfig::default()).unwrap();
    let mut conn = direct.acquire(Acquire::default()).await.unwrap();
    let tables = "CREATE TABLE t0 (key INT8, value INT8); CREATE TABLE t1 (key INT8, value INT8)";
    sqlx::raw_sql(tables).execute(&mut *conn).await.unwrap();
    let gates = [(); 4]
        .map(|()| PgGate::from_url(&url, GateConfig { max_open: 2, ..GateConfig::default() }).unwrap());
    fill_two_tables(&gates).await;
    assert_two_tables(&mut conn).await;
}

/// Four writers, two a table, each through a gate that knows of no pooler.
async fn fill_two_tables(gates: &[PgGate; 4]) {
    let tasks = gates.iter().zip(["t0", "t1", "t0", "t1"]).zip(0i64..).map(|((gate, table), task)| {
        let gate = gate.clone();
        tokio::spawn(async move {
            let columns = [Column::new("key", Kind::Int8), Column::new("value", Kind::Int8)];
            let writer = BatchWriter::<(i64, i64)>::for_shape(gate, Shape::new(table, columns));
            let writer = writer.strategy(Strategy::Unnest).start().unwrap();
            for _ in 0..50 {
                let outcomes =
                    writer.push_many((0..10).map(|key| (key, task % 2))).await.unwrap().outcomes().await;
                assert!(outcomes.iter().all(Outcome::is_settled), "{outcomes:?}");
            }
            assert!(writer.close().await.unwrap().is_clean());
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

async fn assert_two_tables(conn: &mut PgConnection) {
    for (sql, rows) in [
        ("SELECT count(*) FROM t0 WHERE value = 0", 1_000),
        ("SELECT count(*) FROM t1 WHERE value = 1", 1_000),
        ("SELECT (SELECT count(*) FROM t0) + (SELECT count(*) FROM t1)", 2_000),
    ] {
        let counted: i64 = sqlx::query(sql).fetch_one(&mut *conn).await.unwrap().get(0);
        assert_eq!(counted, rows, "{sql}");
    }
}

/// A socket of this process may have by chance the port that a pooler has to the server: it leads elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_with_the_pooler_s_port_is_not_taken_for_the_connection() {
    let Some((server, _bouncer, url)) = pooled() else { return };
    let direct = PgGate::from_url(&server.url(), GateConfig::default()).unwrap();
    let mut conn = direct.acquire(Acquire::default()).await.unwrap();
    let tables = "CREATE TABLE t0 (key INT8, value INT8); CREATE TABLE t1 (key INT8, value INT8)";
    sqlx::raw_sql(tables).execute(&mut *conn).await.unwrap();
    let gate = PgGate::from_url(&url, GateConfig { max_open: 8, ..GateConfig::default() }).unwrap();
    let mut sockets = Vec::new();
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut one, mut two) =
        (gate.acquire(Acquire::default()).await.unwrap(), gate.acquire(Acquire::default()).await.unwrap());
    for session in [&mut *one, &mut *two] {
        sqlx::raw_sql("BEGIN").execute(&mut *session).await.unwrap(); // each keeps its session until both are known
    }
    for session in [&mut *one, &mut *two] {
        let asked = sqlx::raw_sql("SELECT inet_client_port()").fetch_one(&mut *session).await.unwrap();
        let port: i32 = asked.get(0);
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], u16::try_from(port).unwrap()).into()).unwrap();
        sockets.push(socket.connect(elsewhere.local_addr().unwrap()).await.unwrap());
    }
    for session in [&mut *one, &mut *two] {
        sqlx::raw_sql("ROLLBACK").execute(&mut *session).await.unwrap();
    }
    drop((one, two));
    fill_two_tables(&[gate.clone(), gate.clone(), gate.clone(), gate]).await;
    assert_two_tables(&mut conn).await;
}

/// Asks for `n` and says whether the answer was `n`.
async fn ask(conn: &mut PgConnection, n: i64) -> bool {
    // A text of its own for every client, as different statements of different programs have.
    let sql = AssertSqlSafe(format!("SELECT $1::int8 + {n} - {n}"));
    matches!(sqlx::query(sql).bind(n).fetch_one(conn).await.map(|row| row.get::<i64, _>(0)), Ok(answer) if answer == n)
}

async fn client(url: String, client: i64, begin: bool) -> usize {
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let mut wrong = 0;
    for round in 0..30 {
        let n = client * 1_000 + round % 3;
        if begin {
            sqlx::raw_sql("BEGIN").execute(&mut conn).await.unwrap();
            let sql = AssertSqlSafe(format!("SELECT $1::int8 + {n} - {n}"));
            let answer = sqlx::query(sql).persistent(false).bind(n).fetch_one(&mut conn).await.unwrap();
            wrong += usize::from(answer.get::<i64, _>(0) != n);
            sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();
        } else {
            wrong += usize::from(!ask(&mut conn, n).await);
        }
    }
    wrong
}

async fn wrong_answers(url: &str, begin: bool) -> usize {
    let clients: Vec<_> = (1..=8).map(|n| tokio::spawn(client(url.to_owned(), n, begin))).collect();
    let mut wrong = 0;
    for client in clients {
        wrong += client.await.unwrap();
    }
    wrong
}

/// The control: the same statements without BEGIN meet the prepared statements of other clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_transaction_the_answers_of_other_clients_come_back() {
    let Some((_server, _bouncer, url)) = pooled() else { return };
    assert_eq!(wrong_answers(&url, true).await, 0);
    assert!(wrong_answers(&url, false).await > 0, "the pooler mixes up named statements");
}
