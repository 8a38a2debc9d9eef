//! `symbol`: names of addresses, for readers of profiles without names.

use std::fmt::Write;

use super::answer::{Answer, Refusal, text};
use super::service::Shared;

/// Addresses that one question may hold.
const MOST: usize = 4_096;

/// `symbol?0x…+0x…`, or the same as a body. As in Go the first line says whether there are symbols, then a line follows for each address with a name.
pub(super) async fn show(shared: &Shared, addresses: &str) -> Result<Answer, Refusal> {
    let hex = |word: &str| usize::from_str_radix(word.trim().trim_start_matches("0x"), 16).ok();
    let addresses: Vec<usize> = addresses.split('+').filter_map(hex).take(MOST).collect();
    let body = shared
        .on_desk(move || {
            let mut body =
                format!("num_symbols: {}\n", u8::from(cfg!(any(feature = "heap", feature = "cpu-pprof"))));
            for (address, name) in named(&addresses) {
                let _ = writeln!(body, "{address:#x} {name}");
            }
            Ok(body)
        })
        .await?;
    Ok(text(body))
}

#[cfg(any(feature = "heap", feature = "cpu-pprof"))]
fn named(addresses: &[usize]) -> Vec<(usize, String)> {
    if addresses.is_empty() {
        return Vec::new();
    }
    let symbols = crate::symbols::resolve(addresses.iter().copied(), crate::symbols::Exact::Instruction);
    let named = |address: &usize| Some((*address, symbols.name(*address)?));
    addresses.iter().filter_map(named).collect()
}

#[cfg(not(any(feature = "heap", feature = "cpu-pprof")))]
fn named(_: &[usize]) -> Vec<(usize, String)> {
    Vec::new()
}
