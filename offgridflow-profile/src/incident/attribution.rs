//! Whom a stack is put down to: the innermost function of the application's, or the profiler itself.

use std::collections::HashMap;

use crate::{Frame, Profile, Stack};

/// What the profiler's own work is put down to: it is shown, and never blamed.
pub(super) const OWN: &str = "the profiler itself";

/// Values of a kind by the function each stack is put down to; of the first kind where none has the name.
pub(super) fn by_function(profile: &Profile, kind: impl Fn(&str) -> bool) -> HashMap<String, i64> {
    let index = profile.kinds.iter().position(|one| kind(&one.name)).unwrap_or(0);
    let mut sums = HashMap::<String, i64>::new();
    for stack in &profile.stacks {
        let value = stack.values.get(index).copied().unwrap_or(0);
        let sum = sums.entry(blamed(profile, stack).to_owned()).or_default();
        *sum = sum.saturating_add(value);
    }
    sums
}

/// Tasks are their starter's, whatever they wait for.
fn blamed<'a>(profile: &Profile, stack: &'a Stack) -> &'a str {
    if profile.period_kind.name == "goroutine" {
        return stack.frames.last().map_or("", |frame| frame.function.as_str());
    }
    if is_own(&stack.frames) { OWN } else { called(&stack.frames) }
}

/// Whether this crate is at work, or the engine that it samples with. A task or a wait that it wraps is the program's: those modules alone call it.
fn is_own(frames: &[Frame]) -> bool {
    let own = |path: &str| {
        let module = path.strip_prefix("offgridflow_profile::");
        path.starts_with("pprof::") || module.is_some_and(|module| !module.starts_with("tasks::"))
    };
    frames.iter().any(|frame| own(path(&frame.function)))
}

/// A function's path, without what stands before it where it is one of an implementation: the type's, or where that has none (`u8`, `T`, `[T]`) the
/// trait's.
fn path(function: &str) -> &str {
    let bare = function
        .trim_start_matches(['<', '&', '(', '*', '['])
        .trim_start_matches("mut ")
        .trim_start_matches("dyn ");
    match bare.split_once(" as ") {
        Some((of, implemented)) if function.starts_with('<') && !of.contains("::") => implemented,
        _ => bare,
    }
}

/// The innermost function that is neither the language's nor a well-known library's: who called `memcpy`, or grew the map. Where there is none, what
/// reads debug information is the profiler's, whose stack was cut before it; else the innermost of all.
fn called(frames: &[Frame]) -> &str {
    let innermost = frames.first().map_or("", |frame| frame.function.as_str());
    let application = frames
        .iter()
        .filter(|frame| !frame.inlined || frame.function.contains("::")) // a bare name may be any library's
        .map(|frame| frame.function.as_str())
        .find(|function| !is_library(function));
    application.unwrap_or_else(|| {
        let reads = |frame: &Frame| {
            path(&frame.function).split_once("::").is_some_and(|(name, _)| NAMES_ADDRESSES.contains(&name))
        };
        if frames.iter().any(reads) { OWN } else { innermost }
    })
}

/// Crates that find names for addresses.
const NAMES_ADDRESSES: [&str; 5] = ["addr2line", "backtrace", "framehop", "gimli", "object"];

fn is_library(function: &str) -> bool {
    const CRATES: [&str; 18] = [
        "alloc",
        "axum",
        "bytes",
        "core",
        "futures_core",
        "futures_util",
        "hashbrown",
        "http",
        "hyper",
        "hyper_util",
        "memchr",
        "once_cell",
        "pprof",
        "std",
        "tokio",
        "tower",
        "tracing",
        "__rustc",
    ];
    match path(function).split_once("::") {
        Some((name, _)) => CRATES.contains(&name) || NAMES_ADDRESSES.contains(&name),
        None => !function.is_empty() && is_foreign(function), // a place's name, or a function of C
    }
}

/// Whether a name without a path is one of C's libraries, or an address.
fn is_foreign(function: &str) -> bool {
    const BEGIN: [&str; 12] = [
        "_",
        "0x",
        "malloc",
        "calloc",
        "realloc",
        "free",
        "cfree",
        "mem",
        "clone",
        "start_thread",
        "syscall",
        "pthread",
    ];
    BEGIN.iter().any(|begin| function.starts_with(begin)) || function.contains("+0x") // a file and a place in it
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_is_blamed_not_the_library_it_called() {
        let stack = [
            "__memmove_avx_unaligned_erms",
            "<alloc::vec::Vec<u8> as core::clone::Clone>::clone",
            "shop::cart::copy",
            "tokio::runtime::run",
            "shop::main",
        ];
        assert_eq!(called(&stack.map(Frame::named)), "shop::cart::copy");
        assert_eq!(
            called(&[Frame::named("<shop::Cart as core::fmt::Display>::fmt")]),
            "<shop::Cart as core::fmt::Display>::fmt"
        );
        assert_eq!(
            called(&["malloc", "std::rt::begin"].map(Frame::named)),
            "malloc",
            "libraries alone: the innermost"
        );
        assert_eq!(called(&[Frame::named("connection")]), "connection", "the name of a place");
        let inlined = Frame { inlined: true, ..Frame::named("grow_one") };
        assert_eq!(called(&[inlined, Frame::named("shop::cart::add")]), "shop::cart::add");
        assert_eq!(called(&[]), "");
    }

    /// What the language implements for its own types, or for any, has no path of the application's but in the trait.
    #[test]
    fn a_library_s_trait_on_a_plain_type_is_the_library_s() {
        for library in [
            "<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem",
            "<T as alloc::vec::spec_from_elem::SpecFromElem>::from_elem",
            "<[T] as alloc::slice::hack::ConvertVec>::to_vec",
            "<&str as core::convert::Into<alloc::string::String>>::into",
            "<(A, B) as core::clone::Clone>::clone",
        ] {
            assert_eq!(
                called(&[library, "shop::cart::fill"].map(Frame::named)),
                "shop::cart::fill",
                "{library}"
            );
        }
        for own in [
            "<T as shop::Keep>::receipts",
            "<u64 as shop::Hash>::hash",
            "<shop::Cart as core::clone::Clone>::clone",
        ] {
            assert_eq!(called(&[own, "shop::main"].map(Frame::named)), own);
        }
    }
}
