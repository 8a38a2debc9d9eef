//! Source files and lines from debug information (DWARF), read for one look-up and then forgotten: a file's index alone can take as much
//! memory as the program it describes.

use std::collections::{BTreeMap, HashMap};

use addr2line::Loader;

use super::Exact;
use super::cache::{Function, Place};
use super::elf::demangled;

/// The debug information of one file.
pub(super) struct Lines {
    loader: Loader,
}

impl Lines {
    /// `None` where there is none, or it cannot be read.
    pub(super) fn open(path: &str) -> Option<Self> {
        Some(Self { loader: Loader::new(path).ok()? })
    }

    /// Adds to places what is known of their lines: of a function where it begins, of an instruction each function it is inlined into.
    pub(super) fn add(&self, linked: &BTreeMap<u64, u64>, places: &mut HashMap<u64, Place>, exact: Exact) {
        for (address, offset) in linked {
            match exact {
                Exact::Function => {
                    if let Some(place) = places.get_mut(offset) {
                        self.begin(address.saturating_sub(place.into), place);
                    }
                }
                Exact::Instruction => {
                    if let Some(mut functions) = self.inlined(*address) {
                        let symbol = places.remove(offset).and_then(|mut place| place.functions.pop());
                        if let (Some(symbol), Some(outer)) = (symbol, functions.last_mut()) {
                            outer.name = symbol.name; // with its path, which line tables alone do not have
                        }
                        places.insert(*offset, Place { functions, into: 0, named: true });
                    }
                }
            }
        }
    }

    fn begin(&self, address: u64, place: &mut Place) {
        let Ok(Some(location)) = self.loader.find_location(address) else { return };
        if let Some(function) = place.functions.last_mut() {
            (function.file, function.line) = (location.file.map(str::to_owned), location.line);
        }
    }

    /// The functions at an address, the innermost first; `None` where one of them has no name. In a program with line tables alone, names have no path.
    fn inlined(&self, address: u64) -> Option<Vec<Function>> {
        let mut frames = self.loader.find_frames(address).ok()?;
        let mut functions = Vec::new();
        while let Some(frame) = frames.next().ok()? {
            let name = demangled(&frame.function?.raw_name().ok()?);
            let (file, line) = match frame.location {
                Some(location) => (location.file.map(str::to_owned), location.line),
                None => (None, None),
            };
            functions.push(Function { name, file, line });
        }
        (!functions.is_empty()).then_some(functions)
    }
}

#[cfg(test)]
mod tests {
    use crate::symbols::{Exact, resolve};

    #[inline(always)]
    fn within(number: usize) -> usize {
        std::hint::black_box(number).rotate_left(3) ^ std::hint::black_box(number)
    }

    #[inline(never)]
    fn around(number: usize) -> usize {
        within(number) + within(number + 1)
    }

    /// Addresses of the first instructions of `around`, which may lie within what is inlined into it.
    fn addresses() -> std::ops::Range<usize> {
        let begin = std::hint::black_box(around as fn(usize) -> usize) as usize;
        begin..begin + 64
    }

    #[test]
    fn what_is_inlined_has_a_frame_and_a_line_of_its_own() {
        let symbols = resolve(addresses(), Exact::Instruction);
        let frames = symbols.frames(addresses().start);
        let around = frames.last().unwrap();
        assert!(around.function.ends_with("lines::tests::around"), "{frames:?}");
        assert!(around.file.as_ref().is_some_and(|file| file.ends_with("lines.rs")) && around.line > Some(0));
        let inlined = addresses().map(|address| symbols.frames(address)).find(|frames| frames.len() > 1);
        let inlined = inlined.expect("something is inlined into it");
        assert!(inlined.iter().any(|frame| frame.function.ends_with("within")), "{inlined:?}");
        let last = inlined.len() - 1;
        assert!(
            inlined.iter().enumerate().all(|(index, frame)| frame.inlined == (index < last)),
            "{inlined:?}"
        );
    }

    #[test]
    fn a_place_that_stands_for_its_function_has_the_line_where_that_begins() {
        let symbols = resolve(addresses().take(9), Exact::Function);
        let lines: Vec<_> = addresses().take(9).map(|address| symbols.frames(address)).collect();
        assert!(lines.iter().all(|frames| frames == &lines[0] && frames.len() == 1), "{lines:?}");
        assert!(lines[0][0].line > Some(0), "{lines:?}");
    }
}
