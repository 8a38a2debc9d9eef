//! A process that stores named batches from the first to the last, whatever earlier ones of its kind have stored.

use offgridflow_query::BatchWriter;

use crate::Failure;
use crate::programs::gate;
use crate::q4::Entry;

pub(crate) const BATCHES: i64 = 1_500;
pub(crate) const ROWS: i64 = 5;

pub(crate) async fn main(url: &str) -> Result<(), Failure> {
    let writer = BatchWriter::<Entry>::builder(gate(url, 4)?).ledger("batches").in_flight(3).start()?;
    for batch in 0..BATCHES {
        let rows = (batch * ROWS..(batch + 1) * ROWS).map(|id| Entry { id });
        drop(writer.push_batch(format!("batch {batch}"), rows).await?); // the report counts them
    }
    let report = writer.close().await?;
    if report.is_clean() { Ok(()) } else { Err(format!("{report:?}").into()) }
}
