//! A trace for each request, as W3C's Trace Context has it.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use crate::rng::OpRng;

/// The traces of a run: unlike those of any other, and each operation's its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traces {
    run: u64,
}

impl Traces {
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        Self { run: OpRng::new(nanos, std::process::id().into()).next_u64() | 1 }
    }

    /// 32 hexadecimal digits. All of them are mixed, since samplers take the last for random.
    pub(super) fn id(self, index: u64) -> String {
        let own = OpRng::new(self.run, index).next_u64();
        format!("{:016x}{own:016x}", self.run)
    }

    /// `traceparent`, sampled; the parent is the operation itself.
    pub(super) fn header(self, index: u64) -> Option<HeaderValue> {
        let parent = OpRng::new(!self.run, index).next_u64() | 1; // never zero, which is invalid
        HeaderValue::try_from(format!("00-{}-{parent:016x}-01", self.id(index))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_the_standard_has_them_and_all_their_own() {
        let traces = Traces::new();
        let header = |index| traces.header(index).expect("ASCII").to_str().expect("text").to_owned();
        let mut seen = std::collections::HashSet::new();
        for index in 0..1_000 {
            let header = header(index);
            let parts: Vec<_> = header.split('-').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{header}");
            assert!(
                parts
                    .iter()
                    .all(|part| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
            );
            assert_eq!((parts[0], parts[1], parts[3]), ("00", &*traces.id(index), "01"));
            assert!(seen.insert(parts[1].to_owned()) && parts[2] != "0000000000000000");
        }
        assert_ne!(Traces::new().id(0), Traces::new().id(0), "another run");
    }
}
