//! Names for addresses, from the symbol tables of the files they are mapped from. A table is walked, not loaded; what was found is kept
//! within a bound, and nothing else stays behind.

mod cache;
mod elf;
#[cfg(feature = "lines")]
mod lines;
mod maps;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::{Frame, Mapping, Stack};
use cache::{Key, Place};
use maps::Mapped;

/// A remark on a profile whose program has no names, and what would give it some; none where most of its frames have one.
pub(crate) fn without_names(stacks: &[Stack]) -> Option<String> {
    let program = std::env::current_exe().ok()?;
    remark_on(stacks, program.file_name()?.to_str()?)
}

fn remark_on(stacks: &[Stack], program: &str) -> Option<String> {
    let place_in_file = format!("{program}+0x");
    let frames = || stacks.iter().flat_map(|stack| &stack.frames);
    let nameless = frames().filter(|frame| frame.function.starts_with(&place_in_file)).count();
    (nameless * 2 > frames().count()).then(|| {
        format!(
            "names: {nameless} of {} frames are places in {program} without a name: it is stripped; keep its symbol table (`strip = \"debuginfo\"` in \
             the profile of Cargo.toml), or give the unstripped file to the reader, which finds it by its build id",
            frames().count()
        )
    })
}

/// How exact the addresses are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(dead_code, reason = "each engine uses one of them")]
pub(crate) enum Exact {
    /// Each is an instruction that was really there: with lines, inlined functions are told apart.
    Instruction,
    /// Each stands for all of its function: it is moved to where that begins.
    Function,
}

/// What is known of some addresses.
pub(crate) struct Symbols {
    places: HashMap<usize, Known>,
    mappings: Vec<Mapping>,
}

struct Known {
    address: u64,
    place: Arc<Place>,
}

/// Looks up addresses of instructions: of a call, not of where it returns to. What cannot be named keeps its file and its place in it.
pub(crate) fn resolve(addresses: impl IntoIterator<Item = usize>, exact: Exact) -> Symbols {
    let mut addresses: Vec<usize> = addresses.into_iter().collect();
    addresses.sort_unstable();
    addresses.dedup();
    let maps = maps::executable();
    let mut by_map = BTreeMap::<usize, Vec<usize>>::new(); // place among the maps → addresses
    for address in addresses {
        if let Some(index) = maps.iter().position(|map| (map.from..map.to).contains(&address)) {
            by_map.entry(index).or_default().push(address);
        }
    }
    let mut symbols = Symbols { places: HashMap::new(), mappings: Vec::new() };
    for (index, addresses) in by_map {
        symbols.add(&maps[index], &addresses, exact);
    }
    symbols
}

impl Symbols {
    /// The addresses of one mapping.
    fn add(&mut self, map: &Mapped, addresses: &[usize], exact: Exact) {
        let offset = |address: usize| (address - map.from) as u64 + map.offset;
        let key = |address: usize| Key { file: map.file, offset: offset(address), exact };
        let missing: Vec<u64> = addresses
            .iter()
            .filter(|address| cache::get(&key(**address)).is_none_or(|place| self.keep(**address, place)))
            .map(|address| offset(*address))
            .collect();
        let known = if missing.is_empty() { cache::build_id(map.file) } else { None };
        let mut found = match known {
            Some(build_id) => elf::Found { build_id, ..elf::Found::default() },
            None => elf::walk(map, missing.into_iter(), exact),
        };
        cache::put_build_id(map.file, &found.build_id);
        for address in addresses {
            if self.places.contains_key(address) {
                continue;
            }
            let place = found.places.remove(&offset(*address));
            let place = Arc::new(place.unwrap_or_else(|| Place::unnamed(map, offset(*address))));
            cache::put(key(*address), &place);
            self.keep(*address, place);
        }
        self.mappings.push(Mapping {
            start: map.from as u64,
            limit: map.to as u64,
            offset: map.offset,
            file: map.path.clone(),
            build_id: found.build_id,
            has_functions: addresses.iter().any(|address| self.places[address].place.named),
        });
    }

    /// Puts an address down; false, so that it is not looked for.
    fn keep(&mut self, address: usize, place: Arc<Place>) -> bool {
        self.places.insert(address, Known { address: (address as u64).saturating_sub(place.into), place });
        false
    }

    /// The functions at an address, the innermost first: those that were inlined, if lines are known, and the one they were inlined into.
    pub(crate) fn frames(&self, address: usize) -> Vec<Frame> {
        let Some(known) = self.places.get(&address) else {
            return vec![Frame { address: Some(address as u64), ..Frame::named(format!("{address:#x}")) }];
        };
        let last = known.place.functions.len().saturating_sub(1);
        let frame = |(index, function): (usize, &cache::Function)| Frame {
            function: function.name.clone(),
            file: function.file.clone(),
            line: function.line,
            address: Some(known.address),
            inlined: index < last,
        };
        known.place.functions.iter().enumerate().map(frame).collect()
    }

    /// The name of the function at an address, where there is one; of the one that others were inlined into.
    #[cfg(feature = "http")]
    pub(crate) fn name(&self, address: usize) -> Option<String> {
        let place = &self.places.get(&address).filter(|known| known.place.named)?.place;
        place.functions.last().map(|function| function.name.clone())
    }

    /// The files that the addresses are from, the program's own first.
    pub(crate) fn into_mappings(self) -> Vec<Mapping> {
        self.mappings
    }
}

#[cfg(test)]
pub(crate) use cache::MOST_BYTES;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[inline(never)]
    pub(super) fn here() -> usize {
        std::hint::black_box(here as fn() -> usize as usize) + 1
    }

    fn name(address: usize) -> String {
        resolve([address], Exact::Instruction).frames(address)[0].function.clone()
    }

    #[test]
    fn a_function_of_this_program_has_its_name_and_its_file() {
        let address = here();
        let symbols = resolve([address], Exact::Function);
        let frames = symbols.frames(address);
        let last = frames.last().unwrap();
        assert!(last.function.ends_with("symbols::tests::here"), "{frames:?}");
        assert_eq!(last.address, Some(address as u64 - 1), "where the function begins");
        let mappings = symbols.into_mappings();
        let own = std::env::current_exe().unwrap();
        assert_eq!(mappings.len(), 1);
        assert_eq!(mappings[0].file, own.to_str().unwrap());
        assert!(mappings[0].has_functions);
        assert!((mappings[0].start..mappings[0].limit).contains(&(address as u64)));
    }

    #[test]
    fn an_address_of_nothing_is_itself() {
        assert_eq!(name(0xABC), "0xabc");
        assert_eq!(name(usize::MAX), format!("{:#x}", usize::MAX));
    }

    const CHILD: &str = "OFFGRIDFLOW_SYMBOLS_CHILD";

    /// Runs the test `name` in a copy of this program, after `change` was made to the copy; what it prints.
    fn in_copy(name: &str, change: impl Fn(&std::path::Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("program");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        change(&copy);
        let ran =
            Command::new(&copy).args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
        said
    }

    /// A new version is put in the place of a program that runs: names must still be those of the old one.
    #[test]
    fn a_program_whose_file_was_replaced_has_its_names() {
        if std::env::var_os(CHILD).is_some() {
            let own = std::env::current_exe().unwrap();
            fs::remove_file(&own).unwrap();
            fs::copy("/bin/sh", &own).unwrap();
            return assert!(name(here()).ends_with("symbols::tests::here"), "{}", name(here()));
        }
        in_copy("symbols::tests::a_program_whose_file_was_replaced_has_its_names", |_| {});
    }

    /// `strip` takes the names away: what is left is the file, and where in it.
    #[test]
    fn a_stripped_program_shows_files_and_offsets() {
        if std::env::var_os(CHILD).is_some() {
            let symbols = resolve([here()], Exact::Instruction);
            let function = symbols.frames(here())[0].function.clone();
            let mapping = symbols.into_mappings().remove(0);
            assert!(!mapping.has_functions);
            return println!("stripped: {function}");
        }
        if Command::new("strip").arg("--version").output().is_err() {
            return; // no binutils here
        }
        let strip = |copy: &std::path::Path| {
            assert!(Command::new("strip").arg(copy).status().unwrap().success());
        };
        let said = in_copy("symbols::tests::a_stripped_program_shows_files_and_offsets", strip);
        assert!(said.contains("stripped: program+0x"), "{said}");
    }

    #[test]
    fn what_is_kept_of_many_addresses_is_bounded() {
        let Mapped { from, to, .. } = maps::executable().into_iter().next().unwrap();
        for first in 0..8 {
            let addresses: Vec<usize> = (from..to).skip(first * 7).step_by(61).take(40_000).collect();
            resolve(addresses, Exact::Instruction);
            assert!(cache::bytes() <= MOST_BYTES, "{}", cache::bytes());
        }
        assert!(name(here()).ends_with("symbols::tests::here"), "and names are still found");
    }
}
