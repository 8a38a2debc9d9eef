//! Text with places that are filled in for each operation: `/sites/${row.site}`.

use std::fmt::Write;

use super::suggest::nearest;
use crate::{feed::Feed, op::Op, rng::OpRng};

/// What a template may take values from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sources<'a> {
    pub(super) feed: Option<&'a Feed>,
    /// Within a flow.
    pub(super) flow: Option<InFlow<'a>>,
}

/// What the steps of a flow extract.
#[derive(Debug, Clone, Copy)]
pub(super) struct InFlow<'a> {
    pub(super) earlier: &'a [&'a str],
    /// This step and those after it.
    pub(super) later: &'a [&'a str],
}

/// Where a text goes, which decides how values are written in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Path and query: a value is one piece of them, percent signs for all that has a meaning there.
    Path,
    /// A header, or a body: as it is.
    Plain,
}

/// A text and the values in it.
#[derive(Debug, Clone)]
pub(super) struct Template {
    parts: Vec<Part>,
    name: String,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Value(Value, Written),
}

#[derive(Debug, Clone)]
enum Value {
    /// The cell of this column, from 0, in the operation's row.
    Cell(usize),
    Index,
    /// From the first to the last, both included.
    Random(u64, u64),
    Uuid,
    /// What an earlier step of the flow extracted under this name.
    Kept(String),
}

/// How a value is written.
#[derive(Debug, Clone, Copy)]
enum Written {
    Raw,
    Percent,
    Json,
}

const KNOWN: &str = "write ${row.COLUMN}, ${index}, ${random(1, 100)}, ${uuid} or ${env.NAME}, each also with |raw, |url or |json; `$${` is a dollar sign and a brace";

impl Template {
    /// Reads a text; values of the environment are looked up now. Refusals never quote the text around a value: it may be a secret.
    pub(super) fn parse(text: &str, place: Place, from: &Sources<'_>) -> Result<Self, String> {
        let (mut parts, mut name, mut rest) = (Vec::new(), String::new(), text);
        let mut plain = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                plain.extend([before, "${"]);
                name.extend([before, "${"]);
                rest = after;
                continue;
            }
            plain.push_str(before);
            name.push_str(before);
            let (inside, after) = after.split_once('}').ok_or("a `${` is not closed by a brace")?;
            rest = after;
            let (value, filter) = inside.split_once('|').unwrap_or((inside, ""));
            let (value, written) = (value.trim(), written(filter.trim(), place)?);
            let shown = value.rsplit('.').next().unwrap_or_default().split('(').next().unwrap_or_default();
            let _ = write!(name, "{{{shown}}}");
            if let Some(variable) = value.strip_prefix("env.") {
                let found =
                    std::env::var(variable).map_err(|_| format!("the environment has no `{variable}`"))?;
                write_value(&mut plain, &found, written);
                continue;
            }
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Value(value_of(value, from)?, written));
        }
        plain.push_str(rest);
        name.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts, name })
    }

    /// The text, where nothing in it differs between operations.
    pub(super) fn constant(&self) -> Option<String> {
        match &self.parts[..] {
            [] => Some(String::new()),
            [Part::Text(text)] => Some(text.clone()),
            _ => None,
        }
    }

    /// The text with `{site}` for `${row.site}`: one name for all operations.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is one number or cell and nothing else.
    #[cfg(feature = "sql")]
    pub(super) fn is_one_value(&self) -> bool {
        let is_number = |value: &Value| matches!(value, Value::Cell(_) | Value::Index | Value::Random(..));
        matches!(&self.parts[..], [Part::Value(value, _)] if is_number(value))
    }

    /// Whether it takes values from a row of the feed.
    pub(super) fn needs_row(&self) -> bool {
        self.columns().next().is_some()
    }

    /// The columns it takes values from.
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(Value::Cell(column), _) => Some(*column),
            _ => None,
        })
    }

    /// The text of an operation; a row that is not there leaves its places empty.
    pub(super) fn fill(&self, op: &Op) -> String {
        let mut filled = String::with_capacity(self.name.len() + 32);
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Value(value, written) => value.write(*written, op, &mut filled),
            }
        }
        filled
    }
}

impl Value {
    fn write(&self, written: Written, op: &Op, filled: &mut String) {
        let _ = match self {
            Self::Cell(column) => {
                let row = op.row();
                let cell = row.as_ref().and_then(|row| row.cells().get(*column));
                write_value(filled, cell.map_or("", String::as_str), written);
                Ok(())
            }
            Self::Index => write!(filled, "{}", op.index()),
            Self::Random(first, last) => write!(filled, "{}", first + op.rng().below(last - first + 1)),
            Self::Uuid => filled.write_str(&uuid(op.rng())),
            Self::Kept(name) => {
                write_value(filled, op.kept(name).unwrap_or_default(), written);
                Ok(())
            }
        };
    }
}

/// A random UUID (RFC 9562, version 4), the same in every run with this seed.
fn uuid(rng: &OpRng) -> String {
    let bits = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn written(filter: &str, place: Place) -> Result<Written, String> {
    match filter {
        "" if place == Place::Path => Ok(Written::Percent),
        "" | "raw" => Ok(Written::Raw),
        "url" => Ok(Written::Percent),
        "json" => Ok(Written::Json),
        _ => Err(format!("`|{filter}` is not known: {KNOWN}")),
    }
}

fn value_of(text: &str, from: &Sources<'_>) -> Result<Value, String> {
    if let Some(column) = text.strip_prefix("row.") {
        return cell(column, from.feed);
    }
    match (text, from.flow) {
        ("index", _) => Ok(Value::Index),
        ("uuid", _) => Ok(Value::Uuid),
        (name, Some(flow)) if !name.contains('(') => flow.kept(name),
        _ => {
            let bounds = text.strip_prefix("random(").and_then(|rest| rest.strip_suffix(')'));
            let bounds = bounds.ok_or_else(|| format!("`${{{text}}}` is not known: {KNOWN}"))?;
            random(bounds).ok_or_else(|| format!("`${{{text}}}` needs two whole numbers, the smaller one first, for example ${{random(1, 100)}}"))
        }
    }
}

impl InFlow<'_> {
    fn kept(&self, name: &str) -> Result<Value, String> {
        if self.earlier.contains(&name) {
            return Ok(Value::Kept(name.to_owned()));
        }
        if self.later.contains(&name) {
            return Err(format!(
                "`${{{name}}}` is extracted by this step or a later one: its value is known only after it"
            ));
        }
        let meant = nearest(name, self.earlier)
            .map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"));
        Err(format!("`${{{name}}}`: no earlier step extracts it{meant}; else {KNOWN}"))
    }
}

fn random(bounds: &str) -> Option<Value> {
    let (first, last) = bounds.split_once(',')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last && last < u64::MAX).then_some(Value::Random(first, last))
}

fn cell(column: &str, feed: Option<&Feed>) -> Result<Value, String> {
    let feed = feed.ok_or_else(|| format!("`${{row.{column}}}` needs a table: add [feed] with its file"))?;
    let names: Vec<_> = feed.columns().iter().map(String::as_str).collect();
    if let Some(at) = names.iter().position(|name| *name == column) {
        return Ok(Value::Cell(at));
    }
    let meant =
        nearest(column, &names).map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"));
    Err(format!("the feed has no column `{column}`: it has {}{meant}", names.join(", ")))
}

fn write_value(filled: &mut String, value: &str, written: Written) {
    match written {
        Written::Raw => filled.push_str(value),
        Written::Percent => write_percent(filled, value),
        Written::Json => {
            // With its quotes taken away: they stand in the template.
            let quoted = serde_json::Value::from(value).to_string();
            filled.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
}

/// RFC 3986, section 2.3: what needs no percent sign anywhere.
fn write_percent(filled: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            filled.push(byte.into());
        } else {
            let _ = write!(filled, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::time::Instant;

    use super::*;
    use crate::{
        clock::RunClock,
        op::{Marks, OpRun},
        route::RouteTable,
    };

    fn feed() -> Feed {
        Feed::new(["site", "note"], [["Nord/1 ü", "a \"b\"\n"], ["south", "c"]]).expect("a table")
    }

    fn sources(feed: &Feed) -> Sources<'_> {
        Sources { feed: Some(feed), flow: None }
    }

    fn filled(text: &str, place: Place, index: u64) -> String {
        let feed = feed();
        let template =
            Template::parse(text, place, &sources(&feed)).unwrap_or_else(|error| panic!("{error}"));
        let run = OpRun { seed: 7, clock: RunClock::starting_at(Instant::now()), feed: Some(&feed) };
        let marks = Marks::new(&Arc::new(RouteTable::new()));
        template.fill(&Op::new(&run, index, Duration::ZERO, Duration::ZERO, marks))
    }

    #[tokio::test]
    async fn values_are_written_as_their_place_needs_them() {
        for (text, place, expected) in [
            ("/sites/${row.site}?n=${index}", Place::Path, "/sites/Nord%2F1%20%C3%BC?n=0"),
            ("/${row.site|raw}", Place::Path, "/Nord/1 ü"),
            (
                "{\"site\": \"${row.site}\", \"note\": \"${row.note|json}\"}",
                Place::Plain,
                r#"{"site": "Nord/1 ü", "note": "a \"b\"\n"}"#,
            ),
            ("a=${row.note|url}", Place::Plain, "a=a%20%22b%22%0A"),
            ("cost $5 and $${index} {x}", Place::Plain, "cost $5 and ${index} {x}"),
            ("${random(3, 3)}", Place::Plain, "3"),
            ("", Place::Plain, ""),
        ] {
            assert_eq!(filled(text, place, 0), expected, "{text}");
        }
        assert_eq!(filled("${row.site} ${ index }", Place::Plain, 3), "south 3");
    }

    #[tokio::test]
    async fn random_values_are_within_their_bounds_and_the_same_in_every_run() {
        let draws: Vec<_> = (0..200).map(|index| filled("${random(5, 9)}", Place::Plain, index)).collect();
        let mut kinds = draws.clone();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds, ["5", "6", "7", "8", "9"]);
        assert_eq!(draws[17], filled("${random(5, 9)}", Place::Plain, 17));
        let uuid = filled("${uuid}", Place::Plain, 1);
        let groups: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12], "{uuid}");
        assert!(uuid.as_bytes()[14] == b'4' && b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
        assert_ne!(uuid, filled("${uuid}", Place::Plain, 2));
    }

    #[test]
    fn a_name_stands_for_all_operations() {
        let feed = feed();
        let name = |text| Template::parse(text, Place::Path, &sources(&feed)).expect(text).name().to_owned();
        assert_eq!(name("/sites/${row.site}/${random(1, 9)}?x=${index}"), "/sites/{site}/{random}?x={index}");
        assert_eq!(name("/a/{id}"), "/a/{id}");
        assert_eq!(name("/a$${b}/${index}$${c}"), "/a${b}/{index}${c}");
        let path = std::env::var("PATH").expect("a path");
        let named = name("/${env.PATH}/${row.site}/${env.PATH}");
        assert!(named == "/{PATH}/{site}/{PATH}" && !named.contains(&path), "{named}");
    }

    #[test]
    fn what_cannot_be_filled_in_is_refused_with_a_hint() {
        let feed = feed();
        for (text, hint) in [
            ("${row.sites}", "no column `sites`: it has site, note (did you mean `site`?)"),
            ("${rows.site}", "`${rows.site}` is not known: write ${row.COLUMN}"),
            ("${index|upper}", "`|upper` is not known"),
            ("${random(9, 1)}", "the smaller one first"),
            ("${random(1)}", "needs two whole numbers"),
            ("${index", "is not closed by a brace"),
            ("${env.OFFGRIDFLOW_NO_SUCH_NAME}", "the environment has no `OFFGRIDFLOW_NO_SUCH_NAME`"),
        ] {
            let error = Template::parse(text, Place::Plain, &sources(&feed)).expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
        let error = Template::parse("${row.site}", Place::Plain, &Sources::default()).expect_err("no table");
        assert!(error.contains("add [feed]"), "{error}");
    }
}
