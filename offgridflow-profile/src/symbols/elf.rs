use std::collections::{BTreeMap, HashMap};
use std::fs::File;

use object::read::ReadCache;
use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};

use super::Exact;
use super::cache::{Function, Place};
use super::maps::Mapped;

/// What one file says.
#[derive(Default)]
pub(super) struct Found {
    /// By place in the file.
    pub(super) places: HashMap<u64, Place>,
    /// The build id, in hexadecimal; empty where there is none.
    pub(super) build_id: String,
}

/// Walks the symbol table of a mapped file for these places in it. What cannot be read has no names.
pub(super) fn walk(map: &Mapped, offsets: impl Iterator<Item = u64>, exact: Exact) -> Found {
    let Some(file) = map.open.as_ref().and_then(|path| File::open(path).ok()) else {
        return Found::default();
    };
    let cache = ReadCache::new(file);
    object::File::parse(&cache).map(|file| found(map, &file, offsets, exact)).unwrap_or_default()
}

fn found<'a>(
    map: &Mapped,
    file: &impl Object<'a>,
    offsets: impl Iterator<Item = u64>,
    exact: Exact,
) -> Found {
    let linked = linked(file, offsets);
    let mut places = HashMap::new();
    if !linked.is_empty() {
        let named = names(file, &linked);
        places = named.into_iter().map(|(offset, symbol)| (offset, symbol.place(exact))).collect();
        detail(map, &linked, &mut places, exact);
    }
    Found { places, build_id: build_id(file) }
}

/// Addresses as linked → places in the file.
fn linked<'a>(file: &impl Object<'a>, offsets: impl Iterator<Item = u64>) -> BTreeMap<u64, u64> {
    let segments: Vec<_> = file.segments().map(|segment| (segment.file_range(), segment.address())).collect();
    let link = |offset: u64| {
        let inside =
            |((from, size), _): &&((u64, u64), u64)| (*from..from.saturating_add(*size)).contains(&offset);
        let ((from, _), address) = segments.iter().find(inside)?;
        Some((offset - from + address, offset))
    };
    offsets.filter_map(link).collect()
}

struct Symbol {
    name: String,
    into: u64,
}

impl Symbol {
    fn place(self, exact: Exact) -> Place {
        let into = if exact == Exact::Function { self.into } else { 0 };
        Place { functions: vec![Function::named(self.name)], into, named: true }
    }
}

/// The symbols around addresses, by place in the file.
fn names<'a>(file: &impl Object<'a>, linked: &BTreeMap<u64, u64>) -> HashMap<u64, Symbol> {
    let mut names = HashMap::new();
    for symbol in file.symbols().chain(file.dynamic_symbols()) {
        let range = symbol.address()..symbol.address().saturating_add(symbol.size());
        if symbol.kind() != SymbolKind::Text || range.is_empty() {
            continue;
        }
        for (address, offset) in linked.range(range) {
            if let (false, Ok(name)) = (names.contains_key(offset), symbol.name()) {
                let into = address - symbol.address();
                names.insert(*offset, Symbol { name: demangled(name), into });
            }
        }
    }
    names
}

pub(super) fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

fn build_id<'a>(file: &impl Object<'a>) -> String {
    let id = file.build_id().ok().flatten().unwrap_or_default();
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(feature = "lines")]
fn detail(map: &Mapped, linked: &BTreeMap<u64, u64>, places: &mut HashMap<u64, Place>, exact: Exact) {
    if let Some(lines) = map.open.as_ref().and_then(|path| super::lines::Lines::open(path)) {
        lines.add(linked, places, exact);
    }
}

#[cfg(not(feature = "lines"))]
fn detail(_: &Mapped, _: &BTreeMap<u64, u64>, _: &mut HashMap<u64, Place>, _: Exact) {}
