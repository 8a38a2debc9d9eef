//! Frames that belong to sampling and to the allocator's interface, which nobody wants to see.

use crate::Frame;
use crate::symbols::Symbols;

/// Where in its code a stack is: each address is where a call returns to, so the call is before it.
pub(super) fn calls(addresses: &[usize]) -> impl Iterator<Item = usize> + '_ {
    addresses.iter().map(|address| address.saturating_sub(1))
}

/// The stack in words, without the machinery.
pub(super) fn frames(addresses: &[usize], symbols: &Symbols) -> Vec<Frame> {
    let mut all: Vec<Frame> = calls(addresses).flat_map(|address| symbols.frames(address)).collect();
    let last = all.iter().take(MACHINERY).rposition(|frame| is_machinery(&frame.function));
    all.drain(..last.map_or(0, |last| last + 1));
    all
}

/// Frames at most between the sampler and who allocates: in a build without inlining two dozen with what is inlined.
const MACHINERY: usize = 24;

/// Whether a function stands between the program and its allocator.
fn is_machinery(name: &str) -> bool {
    const PARTS: [&str; 11] = [
        "offgridflow_profile::heap",
        "backtrace::",
        "__rustc::__rust_",
        "__rust_alloc",
        "__rust_realloc",
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
    use crate::symbols::{Exact, resolve};

    #[inline(never)]
    fn here() -> Vec<usize> {
        let (frames, depth) = super::super::tracked::stack();
        frames[..depth].to_vec()
    }

    /// Between a task and its thread stands the language's `__rust_try`: that is not where the machinery ends.
    #[test]
    fn what_catches_panics_is_not_machinery() {
        assert!(!is_machinery("__rust_try") && !is_machinery("__rust_try.llvm.7"));
        assert!(is_machinery("__rust_alloc") && is_machinery("__rustc::__rust_alloc_zeroed"));
    }

    #[test]
    fn a_stack_begins_where_the_machinery_ends() {
        let addresses = here();
        let symbols = resolve(calls(&addresses), Exact::Instruction);
        let frames = frames(&addresses, &symbols);
        // What is called `…::heap::…` is the machinery, this test with it: what is left begins with the test's harness.
        assert!(!frames.is_empty() && !is_machinery(&frames[0].function), "{frames:?}");
        assert!(frames.iter().all(|frame| !frame.function.contains("tracked::stack")), "{frames:?}");
    }
}
