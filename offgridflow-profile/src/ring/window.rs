use std::time::SystemTime;

/// A profile that a [`Ring`](super::Ring) holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Window {
    /// What it is a profile of, as it was pushed: `cpu`, `heap`.
    pub what: String,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub until: SystemTime,
    /// What it takes, compressed.
    pub bytes: u64,
    /// Whether it is in a file; otherwise in memory.
    pub on_disk: bool,
}

impl Window {
    /// Whether some of it lies from `from` on and before `to`.
    #[must_use]
    pub fn overlaps(&self, from: SystemTime, to: SystemTime) -> bool {
        self.began < to && (from < self.until || from == self.began)
    }
}
