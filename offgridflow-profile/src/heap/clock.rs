use std::sync::OnceLock;
use std::time::{Duration, Instant};

static BEGAN: OnceLock<Instant> = OnceLock::new();

/// Milliseconds since the first call, at least 1. Does not allocate.
pub(super) fn now_ms() -> u64 {
    let began = BEGAN.get_or_init(Instant::now);
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
pub(super) fn has_begun() -> bool {
    BEGAN.get().is_some()
}

/// How long ago that was.
pub(super) fn since(ms: u64) -> Duration {
    Duration::from_millis(now_ms().saturating_sub(ms))
}
