use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use fred::types::scripts::Script;

/// A script, after what all of them begin with.
macro_rules! script {
    ($file:literal) => {
        Script::from_lua(concat!(include_str!("clock.lua"), include_str!($file)))
    };
}

pub(super) struct Scripts {
    pub(super) look: Script,
    pub(super) fill: Script,
    pub(super) remove: Script,
    pub(super) news: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            look: script!("look.lua"),
            fill: script!("fill.lua"),
            remove: script!("remove.lua"),
            news: script!("news.lua"),
        }
    }
}

/// Unique texts: random a process, numbered within it.
pub(super) struct Tokens {
    process: u64,
    next: AtomicU64,
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self { process: RandomState::new().hash_one(std::process::id()), next: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> String {
        format!("{:016x}{:x}", self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
