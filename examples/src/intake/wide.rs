use csv::{Reader, ReaderBuilder, StringRecord};

use super::{Draft, Rejection};
use crate::carbon::Quantity;

/// Columns of fuel that `Total` adds up, and the categories they become.
const FUELS: [(&str, &str); 5] = [
    ("Solid Fuel", "solid-fuel"),
    ("Liquid Fuel", "liquid-fuel"),
    ("Gas Fuel", "gas-fuel"),
    ("Cement", "cement"),
    ("Gas Flaring", "gas-flaring"),
];
/// International transport, which belongs to no nation's total.
const BUNKER: (&str, &str) = ("Bunker fuels (Not in Total)", "bunker-fuels");

/// A table of nations by year with a column a fuel, as CDIAC publishes it: one activity a non-empty cell.
#[derive(Debug, Default)]
pub struct WideTable {
    /// Tenant (the nation) and activity, in the order of the file. Negative cells are marked as adjustments.
    pub activities: Vec<(String, Draft)>,
    /// Rows whose `Total` is not the sum of their cells; listed, not corrected.
    pub mismatches: Vec<Mismatch>,
    /// Cells or rows that cannot be read.
    pub rejections: Vec<Rejection>,
}

/// A row whose stated total differs from its cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Line of the file, from 1.
    pub line: u64,
    /// The nation.
    pub tenant: String,
    /// The year.
    pub year: String,
    /// What `Total` says, in kilotons of carbon.
    pub stated: i64,
    /// What the fuel cells add up to.
    pub summed: i64,
}

struct Columns {
    year: usize,
    nation: usize,
    total: Option<usize>,
    cells: Vec<(usize, &'static str)>, // the fuels, then the bunker
}

impl WideTable {
    /// Whether a header line is of this shape.
    #[must_use]
    pub fn fits(header: &str) -> bool {
        header.contains("Year") && FUELS.iter().all(|(name, _)| header.contains(name))
    }

    /// Reads the whole table. Rows that cannot be read are listed, the others kept.
    ///
    /// # Errors
    /// A sentence, when the header lacks a column.
    pub fn read(file: &[u8]) -> Result<Self, String> {
        let mut reader = ReaderBuilder::new().from_reader(file);
        let columns = Columns::find(&mut reader)?;
        let mut table = Self::default();
        let mut record = StringRecord::new();
        loop {
            let line = reader.position().line();
            match reader.read_record(&mut record) {
                Ok(false) => return Ok(table),
                Ok(true) => table.take(&columns, &record, line),
                Err(error) => table.reject(line, None, error.to_string()),
            }
        }
    }

    fn take(&mut self, columns: &Columns, record: &StringRecord, line: u64) {
        let (year, nation) = (&record[columns.year], &record[columns.nation]);
        let mut summed = 0_i64; // millionths
        for &(index, category) in &columns.cells {
            let cell = record[index].trim();
            if cell.is_empty() {
                continue;
            }
            match cell.parse::<Quantity>() {
                Ok(quantity) if category != BUNKER.1 => summed = summed.saturating_add(quantity.millionths()),
                Ok(_) => {}
                Err(error) => {
                    self.reject(line, Some(category), error.to_string());
                    continue;
                }
            }
            self.activities.push((nation.to_owned(), draft(line, year, category, cell)));
        }
        self.compare(columns, record, line, summed);
    }

    fn compare(&mut self, columns: &Columns, record: &StringRecord, line: u64, summed: i64) {
        let stated = columns.total.and_then(|index| record[index].trim().parse::<Quantity>().ok());
        if let Some(stated) = stated.filter(|stated| stated.millionths() != summed) {
            self.mismatches.push(Mismatch {
                line,
                tenant: record[columns.nation].to_owned(),
                year: record[columns.year].to_owned(),
                stated: stated.millionths() / 1_000_000,
                summed: summed / 1_000_000,
            });
        }
    }

    fn reject(&mut self, line: u64, field: Option<&'static str>, reason: String) {
        self.rejections.push(Rejection { line, column: None, field, reason });
    }
}

fn draft(line: u64, year: &str, category: &str, cell: &str) -> Draft {
    Draft {
        line,
        id: Some(format!("{year}-{category}")),
        category: category.to_owned(),
        quantity: cell.to_owned(),
        unit: Some("kt C".to_owned()),
        period: year.to_owned(),
        adjustment: cell.starts_with('-'),
    }
}

impl Columns {
    fn find(reader: &mut Reader<&[u8]>) -> Result<Self, String> {
        let header =
            reader.headers().map_err(|error| format!("the header line cannot be read: {error}"))?.clone();
        let at = |name: &str| header.iter().position(|column| column.trim() == name);
        let needed = |name: &str| at(name).ok_or_else(|| format!("the header line has no column `{name}`"));
        let mut cells = Vec::new();
        for (name, category) in FUELS {
            cells.push((needed(name)?, category));
        }
        cells.extend(at(BUNKER.0).map(|index| (index, BUNKER.1)));
        Ok(Self { year: needed("Year")?, nation: needed("Country")?, total: at("Total"), cells })
    }
}
