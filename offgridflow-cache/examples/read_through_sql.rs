//! A cache in front of a database: single reads, batches in one query, tags, and an update that everybody sees.
//!
//! `cargo run -p offgridflow-cache --example read_through_sql`

use std::time::Duration;

use offgridflow_cache::{Cache, Loaded, Loader};
use sqlx::{AssertSqlSafe, Row, SqlitePool, sqlite::SqliteRow};

/// A town, as the application uses it.
#[derive(Debug, Clone, PartialEq)]
struct Town {
    name: String,
    inhabitants: i64,
}

/// Reads towns from their table.
struct Towns(SqlitePool);

impl Loader<i64, Town> for Towns {
    type Error = sqlx::Error;

    async fn load(&self, id: i64) -> Result<Loaded<Town>, sqlx::Error> {
        let row = sqlx::query("select * from towns where id = ?").bind(id).fetch_optional(&self.0).await?;
        row.map_or_else(|| Ok(Loaded::absent()), |row| town(&row))
    }

    /// One query for all that is missing, whatever the number of readers that asked.
    async fn load_many(&self, ids: Vec<i64>) -> Vec<Result<Loaded<Town>, sqlx::Error>> {
        let marks = vec!["?"; ids.len()].join(",");
        // Only question marks are put together; what they stand for is bound.
        let query = AssertSqlSafe(format!("select * from towns where id in ({marks})"));
        let query = ids.iter().fold(sqlx::query(query), sqlx::query::Query::bind);
        let rows = match query.fetch_all(&self.0).await {
            Ok(rows) => rows,
            Err(error) => {
                let said = error.to_string(); // each key has an error of its own
                return ids.iter().map(|_| Err(sqlx::Error::Protocol(said.clone()))).collect();
            }
        };
        let of =
            |id: &i64| rows.iter().find(|row| row.try_get::<i64, _>("id").is_ok_and(|found| found == *id));
        ids.iter().map(|id| of(id).map_or_else(|| Ok(Loaded::absent()), town)).collect()
    }
}

/// A row with its tag: what is known of a region ends together.
fn town(row: &SqliteRow) -> Result<Loaded<Town>, sqlx::Error> {
    let region: String = row.try_get("region")?;
    let town = Town { name: row.try_get("name")?, inhabitants: row.try_get("inhabitants")? };
    Ok(Loaded::value(town).tag(format!("region:{region}")))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = SqlitePool::connect("sqlite::memory:").await?;
    sqlx::raw_sql(
        "create table towns (id integer primary key, name text, region text, inhabitants integer);
         insert into towns values (1, 'Kiruna', 'north', 17002), (2, 'Gällivare', 'north', 8449), (3, 'Visby', 'south', 24693);",
    )
    .execute(&pool)
    .await?;
    let towns = Cache::<i64, Town>::builder("towns")
        .ttl(Duration::from_secs(300))
        .stale_on_error(Duration::from_secs(3_600)) // when the database is down, what was known an hour ago will do
        .build(Towns(pool.clone()))?;

    println!("town 1: {:?}", towns.get(&1).await?);
    let many = towns.get_many(&[1, 2, 3, 99]).await;
    println!(
        "of four towns {} exist; one query for the three that were missing",
        many.iter().flatten().flatten().count()
    );
    println!("{} keys loaded in {} calls", towns.stats().loads, towns.stats().load_time.count());

    // Write the source first, then invalidate: a read that starts after this sees the new number, and a load under way keeps nothing.
    sqlx::query("update towns set inhabitants = inhabitants + 1 where region = 'north'")
        .execute(&pool)
        .await?;
    let _ = towns.invalidate_tag("region:north").await;
    let kiruna = towns.get(&1).await?;
    assert_eq!(kiruna.as_ref().map(|town| town.inhabitants), Some(17_003));
    assert!(towns.peek(&3).is_some(), "the south is still there");
    println!("after the update: {kiruna:?}");
    Ok(())
}
