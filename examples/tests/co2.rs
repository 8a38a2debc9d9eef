//! The wide table, on both databases: every stored sum is the sum of the file's own cells, added up independently.
mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::Server;
use offgridflow::import;
use offgridflow::intake::WideTable;
use serde_json::Value;

/// Kilotons of carbon by (nation, column), added up from the text of the file with nothing of the importer's.
fn cells(file: &[u8]) -> BTreeMap<(String, usize), i64> {
    let mut sums = BTreeMap::new();
    let mut lines = std::str::from_utf8(file).unwrap().lines();
    assert!(lines.next().unwrap().starts_with("Year,Country,Total,Solid Fuel"));
    for line in lines {
        let mut fields: Vec<String> = vec![String::new()];
        let mut quoted = false;
        for character in line.chars() {
            match character {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                other => fields.last_mut().unwrap().push(other),
            }
        }
        for column in [3, 4, 5, 6, 7, 9] {
            if let Ok(cell) = fields[column].trim().parse::<i64>() {
                *sums.entry((fields[1].clone(), column)).or_default() += cell;
            }
        }
    }
    sums
}

const CATEGORIES: [(&str, usize); 6] = [
    ("solid-fuel", 3),
    ("liquid-fuel", 4),
    ("gas-fuel", 5),
    ("cement", 6),
    ("gas-flaring", 7),
    ("bunker-fuels", 9),
];

/// Imports `file` and compares what the server says of every nation with the cells.
async fn sums_agree(server: &Server, file: &[u8]) -> import::Imported {
    let imported = import::store_table(server.app.ledger(), WideTable::read(file).unwrap()).await.unwrap();
    assert!(imported.rejections.is_empty(), "{:?}", imported.rejections);
    let sums = cells(file);
    let mut nations: Vec<&str> = sums.keys().map(|(nation, _)| nation.as_str()).collect();
    nations.dedup();
    for nation in nations {
        let (_, totals) = server.get_as(nation, "/api/v1/emissions?by=category").await;
        let said = |category: &str| {
            let group = totals["groups"].as_array().unwrap().iter().find(|group| group["group"] == category);
            group.map_or(0, |group| grams(&group["co2e_kg"]))
        };
        for (category, column) in CATEGORIES {
            let kilotons = sums.get(&(nation.to_owned(), column)).copied().unwrap_or(0);
            // 44/12 of each cell, rounded to the gram once: the sum is at most half a gram a cell away.
            let exact = i128::from(kilotons) * 44_000_000_000 / 12;
            assert!(
                (i128::from(said(category)) - exact).abs() <= 200,
                "{nation} {category}: {} and {exact}",
                said(category)
            );
        }
        let counted: i64 = CATEGORIES[..5].iter().map(|(category, _)| said(category)).sum();
        assert_eq!(grams(&totals["total_co2e_kg"]), counted, "bunker fuels stand outside {nation}'s total");
    }
    imported
}

/// Kilograms as text, exactly.
fn grams(value: &Value) -> i64 {
    let text = value.as_str().unwrap();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{part:0<3}").parse().unwrap()
}

/// The sum of the stored quantities themselves, in kilotons of carbon, exactly.
async fn stored_kilotons(server: &Server, nations: impl IntoIterator<Item = String>) -> i64 {
    let mut millionths = 0;
    for nation in nations {
        let mut after = String::new();
        loop {
            let page = server.app.store().activities(&nation, &after, 1_000).await.unwrap();
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            millionths +=
                page.iter().filter(|one| one.in_totals).map(|one| one.quantity.millionths()).sum::<i64>();
        }
    }
    assert_eq!(millionths % 1_000_000, 0);
    millionths / 1_000_000
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_table_sums_exactly_on_sqlite() {
    let server = Server::on_sqlite(&[]).await;
    let imported = sums_agree(&server, include_bytes!("data/wide.csv")).await;
    assert_eq!(
        (imported.stored, imported.tenants, imported.adjustments, imported.mismatches.len()),
        (31, 3, 1, 1)
    );
    let again = sums_agree(&server, include_bytes!("data/wide.csv")).await;
    assert_eq!((again.stored, again.duplicates), (0, 31), "a second import changes nothing");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_table_sums_exactly_on_postgres_and_redis() {
    let database = testkit::postgres().create_database("wide").unwrap();
    let redis = testkit::redis().url();
    let server = Server::on(&database.url(), &["--redis-url", &redis]).await;
    assert_eq!(sums_agree(&server, include_bytes!("data/wide.csv")).await.stored, 31);
    server.close().await;
}

/// Uses the public CDIAC table named by `OFFGRIDFLOW_DATA`, and says so when it is not there.
#[tokio::test(flavor = "multi_thread")]
async fn the_published_table_sums_exactly_on_both_databases() {
    let Some(folder) = std::env::var_os("OFFGRIDFLOW_DATA") else {
        println!("OFFGRIDFLOW_DATA is not set: the published table was not imported");
        return;
    };
    let file = std::fs::read(Path::new(&folder).join("co2-by-nation.csv")).unwrap();
    let nations: std::collections::BTreeSet<String> =
        cells(&file).into_keys().map(|(nation, _)| nation).collect();
    assert_eq!(nations.len(), 259);
    let database = testkit::postgres().create_database("co2").unwrap();
    let redis = testkit::redis().url();
    for server in [Server::on_sqlite(&[]).await, Server::on(&database.url(), &["--redis-url", &redis]).await]
    {
        let imported = sums_agree(&server, &file).await;
        assert_eq!(
            (imported.stored, imported.adjustments, imported.mismatches.len()),
            (62_767 + 18_480, 78, 3_569)
        );
        assert_eq!(stored_kilotons(&server, nations.clone()).await, 444_872_857);
        server.close().await;
    }
}
