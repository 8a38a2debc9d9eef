//! Fingerprints against an independent normaliser: the identity that PostgreSQL's own parser gives a query (`compute_query_id`).
#![cfg(all(feature = "postgres", feature = "observe"))]

mod dice;

use dice::Dice;
use offgridflow_query::sqlx::{self, AssertSqlSafe, Connection, Executor, PgConnection};
use offgridflow_query::{Fingerprint, normalize};
use std::collections::BTreeMap;

impl Dice {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn number(&mut self) -> String {
        self.pick(&["0", "7", "-3", "123456", "2147483647", "- 5"]).to_owned()
    }

    fn text(&mut self) -> String {
        self.pick(&["'a'", "'it''s'", "''", "E'\\n'", "$$q$$", "$x$ -- ' $x$", "'SELECT'"]).to_owned()
    }
}

/// Ordered only by what is selected: the server does not tell a column that it sorts by from one that it answers.
/// What a statement is made of, apart from values, case, comments and white space: few enough shapes that many come twice.
fn statement(dice: &mut Dice) -> String {
    let condition = |dice: &mut Dice| match dice.below(6) {
        0 => format!("a = {}", dice.number()),
        1 => format!("b > {}", dice.number()),
        2 => format!("c = {}", dice.text()),
        3 => "d IS NULL".to_owned(),
        4 => format!("a BETWEEN {} AND {}", dice.number(), dice.number()),
        _ => format!("a - b < {}", dice.number()),
    };
    let tail = match dice.below(3) {
        0 => String::new(),
        1 => " ORDER BY a DESC".to_owned(),
        _ => format!(" ORDER BY a LIMIT {}", dice.pick(&["1", "10"])),
    };
    let text = match dice.below(5) {
        0 => {
            format!("SELECT {} FROM t WHERE {}{tail}", dice.pick(&["a", "a, b", "count(*)"]), condition(dice))
        }
        1 => format!("SELECT a FROM t WHERE {} AND {}", condition(dice), condition(dice)),
        2 => format!("UPDATE t SET b = {} WHERE {}", dice.number(), condition(dice)),
        3 => format!("DELETE FROM t WHERE {}", condition(dice)),
        _ => format!("INSERT INTO t (a, c) VALUES ({}, {})", dice.number(), dice.text()),
    };
    // A counted column cannot be ordered by another one.
    let text = if text.contains("count(*)") { text.replace(&tail, "") } else { text };
    disguised(&text, dice)
}

/// Other case, comments and white space between the words; what is quoted stays.
fn disguised(text: &str, dice: &mut Dice) -> String {
    let mut quoted = false;
    let words = text.split(' ').map(|word| {
        let is_quoted = quoted || word.contains(['\'', '$']);
        quoted ^= word.matches('\'').count() % 2 == 1 || word.matches("$x$").count() % 2 == 1;
        match dice.below(3) {
            _ if is_quoted => word.to_owned(),
            0 => word.to_lowercase(),
            1 => word.to_uppercase(),
            _ => word.to_owned(),
        }
    });
    let words: Vec<String> = words.collect();
    let mut within = false;
    let mut out = String::new();
    for word in words {
        if !out.is_empty() {
            out.push_str(if within {
                " "
            } else {
                dice.pick(&[" ", "  ", "\n", " /* note */ ", "\t", " -- end\n"])
            });
        }
        within ^= word.matches('\'').count() % 2 == 1 || word.matches("$x$").count() % 2 == 1;
        out.push_str(&word);
    }
    out
}

async fn query_id(conn: &mut PgConnection, sql: &str) -> i64 {
    let explain = format!("EXPLAIN (VERBOSE, FORMAT JSON) {sql}\n");
    let (json,): (serde_json::Value,) = {
        let row = conn
            .fetch_one(sqlx::raw_sql(AssertSqlSafe(explain)))
            .await
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
        let text: String = sqlx::Row::try_get_unchecked(&row, 0).unwrap();
        (serde_json::from_str(&text).unwrap(),)
    };
    json[0]["Query Identifier"].as_i64().unwrap_or_else(|| panic!("{json}"))
}

#[tokio::test]
async fn two_texts_have_one_fingerprint_exactly_when_the_server_calls_them_one_query() {
    let database = testkit::postgres().create_database("query_id").unwrap();
    let mut conn = PgConnection::connect(&database.url()).await.unwrap();
    conn.execute("CREATE TABLE t (a INT, b INT, c TEXT, d INT)").await.unwrap();
    conn.execute("SET compute_query_id = on").await.unwrap();
    let mut dice = Dice(7);
    let (mut by_fingerprint, mut by_id) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..1_000 {
        let sql = statement(&mut dice);
        let (fingerprint, id) = (Fingerprint::of(&sql), query_id(&mut conn, &sql).await);
        let (first_id, first) = by_fingerprint.entry(fingerprint).or_insert((id, sql.clone()));
        assert_eq!(*first_id, id, "one fingerprint, two queries:\n{first}\n{sql}\n{}", normalize(&sql));
        let (known, first) = by_id.entry(id).or_insert((fingerprint, sql.clone()));
        assert_eq!(
            *known,
            fingerprint,
            "one query, two fingerprints:\n{first}\n{sql}\n{}\n{}",
            normalize(first),
            normalize(&sql)
        );
    }
    assert!(
        (50..500).contains(&by_id.len()),
        "{} shapes: few enough that they repeat, many enough to say something",
        by_id.len()
    );
}
