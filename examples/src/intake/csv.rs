use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::{Draft, Intake, Rejection};

const COLUMNS: [&str; 6] = ["id", "category", "quantity", "unit", "period", "adjustment"];
const REQUIRED: [&str; 3] = ["category", "quantity", "period"];

/// Where each of [`COLUMNS`] stands in this file.
type Layout = [Option<usize>; COLUMNS.len()];

/// A header line, which stands behind `before` others, then a row a record. A row of the wrong width costs only itself; a wrong header costs everything.
pub(super) fn read(body: &[u8], before: u64) -> Intake {
    let mut reader = ReaderBuilder::new().trim(csv::Trim::All).from_reader(body);
    let mut intake = Intake::default();
    match layout(&mut reader) {
        Ok(layout) => {
            let lines = Lines { body, offset: 0, line: before + 1 };
            read_rows(&mut reader, &layout, &mut intake, lines);
        }
        Err(reason) => intake.rejections.push(Rejection { line: 1, column: None, field: None, reason }),
    }
    intake
}

fn layout(reader: &mut Reader<&[u8]>) -> Result<Layout, String> {
    let header = reader.headers().map_err(|error| format!("the header line cannot be read: {error}"))?;
    let mut layout = Layout::default();
    for (index, name) in header.iter().enumerate() {
        let Some(column) = COLUMNS.iter().position(|known| *known == name) else {
            let name: String = name.chars().take(40).collect();
            return Err(format!("unknown column `{name}`; the columns are {}", COLUMNS.join(", ")));
        };
        if layout[column].replace(index).is_some() {
            return Err(format!("column `{name}` stands twice"));
        }
    }
    let missing = REQUIRED
        .iter()
        .find(|name| COLUMNS.iter().zip(layout).any(|(known, at)| known == *name && at.is_none()));
    missing.map_or(Ok(layout), |name| Err(format!("the header line has no column `{name}`")))
}

fn read_rows(reader: &mut Reader<&[u8]>, layout: &Layout, intake: &mut Intake, mut lines: Lines<'_>) {
    let mut record = ByteRecord::new();
    loop {
        let line = lines.at(reader.position().byte());
        match reader.read_byte_record(&mut record) {
            Ok(false) => return,
            Ok(true) => take(intake, layout, &record, line),
            Err(error) => {
                let reached = lines.last(reader.position().byte());
                intake.rejections.push(rejection(&error, line, reached));
            }
        }
    }
}

/// Counts lines, which the parser does not where they end in CR LF or are blank.
struct Lines<'a> {
    body: &'a [u8],
    offset: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the first byte from `byte` on that is no end of a line.
    fn at(&mut self, byte: u64) -> u64 {
        let mut target = usize::try_from(byte).unwrap_or(usize::MAX).min(self.body.len());
        while matches!(self.body.get(target), Some(b'\r' | b'\n')) {
            target += 1;
        }
        let passed = self.body[self.offset..target].iter().filter(|byte| **byte == b'\n').count();
        (self.offset, self.line) = (target, self.line + passed as u64);
        self.line
    }

    /// The line of the last byte before `byte` that is no end of a line.
    fn last(&self, byte: u64) -> u64 {
        let end = usize::try_from(byte).unwrap_or(usize::MAX).clamp(self.offset, self.body.len());
        let row = self.body[self.offset..end].trim_ascii_end();
        self.line + row.iter().filter(|byte| **byte == b'\n').count() as u64
    }
}

fn take(intake: &mut Intake, layout: &Layout, record: &ByteRecord, line: u64) {
    let refuse = |field, reason: String| Rejection { line, column: None, field, reason };
    match StringRecord::from_byte_record(record.clone()) {
        Ok(record) => match draft(layout, &record, line) {
            Ok(draft) => intake.drafts.push(draft),
            Err(reason) => intake.rejections.push(refuse(Some("adjustment"), reason)),
        },
        Err(_) => intake.rejections.push(refuse(None, "the row is not UTF-8".to_owned())),
    }
}

fn draft(layout: &Layout, record: &StringRecord, line: u64) -> Result<Draft, String> {
    let [id, category, quantity, unit, period, adjustment] =
        layout.map(|at| at.and_then(|index| record.get(index)).unwrap_or_default());
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(Draft {
        line,
        id: filled(id),
        category: category.to_owned(),
        quantity: quantity.to_owned(),
        unit: filled(unit),
        period: period.to_owned(),
        adjustment: flag(adjustment)?,
    })
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "" | "false" | "0" => Ok(false),
        "true" | "1" => Ok(true),
        _ => Err("adjustment is `true` or `false`".to_owned()),
    }
}

fn rejection(error: &csv::Error, line: u64, reached: u64) -> Rejection {
    let reason = match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let quoted = if reached > line {
                format!(" (it reaches to line {reached}: is a quote left open?)")
            } else {
                String::new()
            };
            format!("the row has {len} fields, the header line {expected_len}{quoted}")
        }
        _ => "the row cannot be read".to_owned(),
    };
    Rejection { line, column: None, field: None, reason }
}
