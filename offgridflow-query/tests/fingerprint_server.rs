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
    let condition = |dice: &mut Dice| match dice.below(9) {
        0 => format!("a = {}", dice.number()),
        1 => format!("b > {}", dice.number()),
        2 => format!("c = {}", dice.text()),
        3 => "d IS NULL".to_owned(),
        4 => format!("a BETWEEN {} AND {}", dice.number(), dice.number()),
        // As many each time: the server tells lists of different lengths apart.
        5 => format!("a IN ({}, {}, {})", dice.number(), dice.number(), dice.number()),
        6 => format!("lower(c) LIKE {}", dice.text()),
        7 => format!("b = ANY (ARRAY[{}, {}])", dice.number(), dice.number()),
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
                dice.pick(&[" ", "  ", "\n", " /* note */ ", "\t", " -- end\n", " /* a /* b */ 'c */ "])
            });
        }
        within ^= word.matches('\'').count() % 2 == 1 || word.matches("$x$").count() % 2 == 1;
        out.push_str(&word);
    }
    out
}

/// Texts that are asked about at once.
const TOGETHER: usize = 64;

async fn query_ids(conn: &mut PgConnection, texts: &[String]) -> Vec<i64> {
    let explain: String =
        texts.iter().map(|sql| format!("EXPLAIN (VERBOSE, FORMAT JSON) {sql}\n;")).collect();
    let answers = conn.fetch_all(sqlx::raw_sql(AssertSqlSafe(explain))).await;
    let answers = answers.unwrap_or_else(|error| panic!("{error}: {texts:?}"));
    assert_eq!(answers.len(), texts.len());
    let id = |row: &sqlx::postgres::PgRow| {
        let text: String = sqlx::Row::try_get_unchecked(row, 0).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json[0]["Query Identifier"].as_i64().unwrap_or_else(|| panic!("{json}"))
    };
    answers.iter().map(id).collect()
}

/// Holds so many texts against the server; how many queries it told apart.
async fn compare(texts: usize, seed: u64) -> usize {
    let database = testkit::postgres().create_database("query_id").unwrap();
    let mut conn = PgConnection::connect(&database.url()).await.unwrap();
    conn.execute("CREATE TABLE t (a INT, b INT, c TEXT, d INT)").await.unwrap();
    conn.execute("SET compute_query_id = on").await.unwrap();
    let mut dice = Dice(seed);
    let (mut by_fingerprint, mut by_id) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..texts.div_ceil(TOGETHER) {
        let asked: Vec<String> = (0..TOGETHER).map(|_| statement(&mut dice)).collect();
        let ids = query_ids(&mut conn, &asked).await;
        for (sql, id) in asked.into_iter().zip(ids) {
            let fingerprint = Fingerprint::of(&sql);
            let (first_id, first) = by_fingerprint.entry(fingerprint).or_insert((id, sql.clone()));
            assert_eq!(*first_id, id, "one fingerprint, two queries:\n{first}\n{sql}\n{}", normalize(&sql));
            let (known, first) = by_id.entry(id).or_insert((fingerprint, sql.clone()));
            let normal = [normalize(first), normalize(&sql)];
            assert_eq!(*known, fingerprint, "one query, two fingerprints:\n{first}\n{sql}\n{normal:?}");
        }
    }
    by_id.len()
}

#[tokio::test]
async fn two_texts_have_one_fingerprint_exactly_when_the_server_calls_them_one_query() {
    let queries = compare(1_024, 7).await;
    assert!(
        (50..500).contains(&queries),
        "{queries} shapes: few enough that they repeat, many enough to say something"
    );
}

/// The same in the size of `VERIFY_SIZE`.
#[tokio::test]
#[ignore = "scripts/verify.sh query --only Q7"]
async fn promise() {
    let texts = if std::env::var("VERIFY_SIZE").as_deref() == Ok("full") { 1_000_000 } else { 20_000 };
    let queries = compare(texts, 11).await;
    println!("fingerprints-agree=texts:{texts},queries:{queries}");
}
