use offgridflow_query::sqlx::SqlSafeStr;
use offgridflow_query::sqlx::migrate::{Migration, MigrationType, Migrator};
use offgridflow_query::{Acquire, ConnectionPool};

use super::{Gates, StoreError};

/// One version of the schema: a description, and how to get there and back on a database.
macro_rules! versions {
    ($database:literal: $(($version:literal, $name:literal)),+) => {
        [$(
            ($version, $name, include_str!(concat!("../../migrations/", $database, "/", $name, ".up.sql")),
             include_str!(concat!("../../migrations/", $database, "/", $name, ".down.sql"))),
        )+]
    };
}

fn migrator<const N: usize>(versions: [(i64, &'static str, &'static str, &'static str); N]) -> Migrator {
    let both = versions.into_iter().flat_map(|(version, name, up, down)| {
        let one =
            |kind, sql: &'static str| Migration::new(version, name.into(), kind, sql.into_sql_str(), false);
        [one(MigrationType::ReversibleUp, up), one(MigrationType::ReversibleDown, down)]
    });
    Migrator::with_migrations(both.collect())
}

fn sqlite() -> Migrator {
    migrator(versions!("sqlite": (1, "0001_init"), (2, "0002_job_age"), (3, "0003_api_keys")))
}

fn postgres() -> Migrator {
    migrator(versions!("postgres": (1, "0001_init"), (2, "0002_job_age"), (3, "0003_api_keys")))
}

/// Brings the schema up to date; does nothing when it is. Servers that start together wait for each other.
pub(super) async fn up(gates: &Gates) -> Result<(), StoreError> {
    match gates {
        Gates::Sqlite(gate) => sqlite().run(&mut *gate.acquire(Acquire::default()).await?).await?,
        Gates::Postgres(gate) => postgres().run(&mut *gate.acquire(Acquire::default()).await?).await?,
    }
    Ok(())
}

/// Reverts every version.
pub(super) async fn down(gates: &Gates) -> Result<(), StoreError> {
    match gates {
        Gates::Sqlite(gate) => sqlite().undo(&mut *gate.acquire(Acquire::default()).await?, 0).await?,
        Gates::Postgres(gate) => postgres().undo(&mut *gate.acquire(Acquire::default()).await?, 0).await?,
    }
    Ok(())
}
