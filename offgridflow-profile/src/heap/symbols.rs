//! Names for addresses, from the symbol tables of the files they are mapped from. Only what is asked for is kept: a table is walked, not
//! loaded.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};

use object::read::ReadCache;
use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};

use crate::Frame;

/// Names by address.
pub(super) type Names = HashMap<usize, String>;

/// A part of a file that is mapped to be run.
struct Mapping {
    from: usize,
    to: usize,
    offset: u64,
    path: String,
}

/// Names of the functions around `addresses`, which are where calls return to. What cannot be named is left out.
pub(super) fn names(mut addresses: Vec<usize>) -> Names {
    addresses.sort_unstable();
    addresses.dedup();
    let mappings =
        fs::read_to_string("/proc/self/maps").map_or_else(|_| Vec::new(), |maps| executable(&maps));
    let mut by_file = HashMap::<&str, BTreeMap<u64, usize>>::new(); // offset in the file → address
    for address in addresses {
        let called = address.saturating_sub(1); // inside the call, not behind it
        if let Some(mapping) = mappings.iter().find(|mapping| (mapping.from..mapping.to).contains(&called)) {
            let offset = (called - mapping.from) as u64 + mapping.offset;
            by_file.entry(&mapping.path).or_default().insert(offset, address);
        }
    }
    by_file.into_iter().filter_map(|(path, offsets)| named(path, &offsets)).flatten().collect()
}

/// The file that this process was started from, also when another one has taken its place.
const PROGRAM: &str = "/proc/self/exe";

fn is_program(path: &str) -> bool {
    fs::read_link(PROGRAM).is_ok_and(|link| link.to_str() == Some(&format!("{path} (deleted)")))
}

fn executable(maps: &str) -> Vec<Mapping> {
    let parse = |line: &str| {
        let mut parts = line.split_ascii_whitespace();
        let (range, rights, offset) = (parts.next()?, parts.next()?, parts.next()?);
        let path = parts.nth(2)?.to_owned();
        // Replaced or removed since: another file may stand at that path. The program's own is still to be had.
        let replaced = parts.next() == Some("(deleted)");
        let path = if !replaced { path } else { is_program(&path).then(|| PROGRAM.to_owned())? };
        let (from, to) = range.split_once('-')?;
        let hex = |text| usize::from_str_radix(text, 16).ok();
        let offset = u64::from_str_radix(offset, 16).ok()?;
        (rights.contains('x') && path.starts_with('/')).then_some(Mapping {
            from: hex(from)?,
            to: hex(to)?,
            offset,
            path,
        })
    };
    maps.lines().filter_map(parse).collect()
}

/// Walks the symbol table of one file.
fn named(path: &str, offsets: &BTreeMap<u64, usize>) -> Option<Names> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let file = object::File::parse(&cache).ok()?;
    let mut wanted = BTreeMap::new(); // address as linked → address as mapped
    for segment in file.segments() {
        let (offset, size) = segment.file_range();
        for (at, address) in offsets.range(offset..offset.saturating_add(size)) {
            wanted.insert(at - offset + segment.address(), *address);
        }
    }
    let mut names = Names::new();
    for symbol in file.symbols().chain(file.dynamic_symbols()) {
        let range = symbol.address()..symbol.address().saturating_add(symbol.size());
        if symbol.kind() != SymbolKind::Text || range.is_empty() {
            continue;
        }
        for address in wanted.range(range).map(|(_, address)| *address) {
            let name = || symbol.name().map(|name| format!("{:#}", rustc_demangle::demangle(name)));
            if let (false, Ok(name)) = (names.contains_key(&address), name()) {
                names.insert(address, name);
            }
        }
    }
    Some(names)
}

/// The stack in words, without the frames that belong to sampling and to the allocator's interface.
pub(super) fn frames(addresses: &[usize], names: &Names) -> Vec<Frame> {
    let named = |address: &usize| names.get(address).cloned().unwrap_or_else(|| format!("{address:#x}"));
    let all: Vec<String> = addresses.iter().map(named).collect();
    let ours = all.iter().take(MACHINERY).rposition(|name| is_machinery(name)).map_or(0, |last| last + 1);
    let frame = |function: &String| Frame { function: function.clone(), file: None, line: None };
    all[ours..].iter().map(frame).collect()
}

/// Frames at most between the sampler and who allocates: in a build without inlining a dozen.
const MACHINERY: usize = 16;

/// Whether a function stands between the program and its allocator.
fn is_machinery(name: &str) -> bool {
    const PARTS: [&str; 10] = [
        "offgridflow_profile::heap",
        "backtrace::",
        "__rustc::__rust_",
        "__rust_",
        "__rdl_",
        "__rg_",
        "alloc::alloc::",
        "alloc::boxed::box_new",
        "alloc::raw_vec::",
        "std::alloc::",
    ];
    let bare = name.trim_start_matches('<');
    PARTS.iter().any(|part| bare.starts_with(part))
        || bare.contains("as core::alloc::global::GlobalAlloc>")
        || bare.contains("as core::alloc::Allocator>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn here() -> Vec<usize> {
        let (frames, depth) = super::super::tracked::stack();
        frames[..depth].to_vec()
    }

    #[test]
    fn a_function_of_this_program_has_its_name() {
        let names = names(here());
        assert!(names.values().any(|name| name.ends_with("symbols::tests::here")), "{names:?}");
    }

    const CHILD: &str = "OFFGRIDFLOW_REPLACED_CHILD";

    /// A new version is put in the place of a program that runs: names must still be those of the old one.
    #[test]
    fn a_program_whose_file_was_replaced_has_its_names() {
        let own = std::env::current_exe().unwrap();
        if std::env::var_os(CHILD).is_some() {
            fs::remove_file(&own).unwrap();
            fs::copy("/bin/sh", &own).unwrap();
            return a_function_of_this_program_has_its_name();
        }
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("program");
        fs::copy(own, &copy).unwrap();
        let test = "heap::symbols::tests::a_program_whose_file_was_replaced_has_its_names";
        let ran = std::process::Command::new(copy).args(["--exact", test]).env(CHILD, "1").output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    }

    #[test]
    fn an_address_of_nothing_has_none() {
        assert!(names(vec![1, usize::MAX]).is_empty());
        assert_eq!(frames(&[0xABC], &Names::new())[0].function, "0xabc");
    }
}
