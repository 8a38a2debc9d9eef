//! Decimal numbers at the limits of PostgreSQL's `numeric`: every strategy stores the same, or refuses the same.
#![cfg(feature = "postgres")]

mod common;

use common::{Case, run, texts};
use offgridflow_query::{Column, Conflict, Kind, Shape, Strategy as Way};

const CASE: Case<&str> = Case {
    table: "CREATE TABLE amounts (id INT8, amount NUMERIC)",
    reset: "TRUNCATE amounts",
    read: "SELECT md5(amount::text) FROM amounts ORDER BY 1",
    shape: || Shape::new("amounts", [Column::new("id", Kind::Int8), Column::new("amount", Kind::Numeric)]),
    put: |text, to| {
        to.i64(1);
        to.numeric(text);
    },
    key: |_| 1,
};

#[tokio::test]
async fn the_longest_numbers_go_by_every_strategy() {
    let database = testkit::postgres().create_database("numerics").unwrap();
    let gate = common::gate(&database);
    run(&gate, CASE.table).await;
    let (whole, part) = ("9".repeat(131_072), "7".repeat(16_383));
    for fits in
        ["1e131071", "1e-16383", "-1E+10000", &whole, &format!("-{whole}.{part}"), &format!(".{part}")]
    {
        let [copy, unnest] = [
            CASE.outcome(&gate, &[fits], &Conflict::Error, Way::Copy).await,
            CASE.outcome(&gate, &[fits], &Conflict::Error, Way::Unnest).await,
        ];
        assert!(copy.is_ok(), "{} characters: {copy:?}", fits.len());
        assert_eq!(copy, unnest, "{} characters", fits.len());
        assert_eq!(texts(&gate, "SELECT count(*)::text FROM amounts").await, ["1"]);
    }
    for beyond in ["1e131072", &format!("{whole}0"), "1e-16384", "-1e999999"] {
        let copy = CASE.outcome(&gate, &[beyond], &Conflict::Error, Way::Copy).await;
        let unnest = CASE.outcome(&gate, &[beyond], &Conflict::Error, Way::Unnest).await;
        assert_eq!(copy, unnest, "{beyond:.20}");
    }
}
