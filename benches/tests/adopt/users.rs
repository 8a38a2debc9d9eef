//! A table of users whose readers take their time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

/// How long a read takes, from what it saw to its answer.
pub(crate) const READ: Duration = Duration::from_millis(100);

static NAMES: LazyLock<Mutex<HashMap<u64, String>>> = LazyLock::new(Mutex::default);
static READS: LazyLock<Mutex<HashMap<u64, u64>>> = LazyLock::new(Mutex::default);

/// There is no such user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown(pub(crate) u64);

/// A user that no other test knows of.
pub(crate) fn somebody(name: &str) -> u64 {
    let id = nobody();
    NAMES.lock().unwrap().insert(id, name.to_owned());
    id
}

/// A number that is no user's.
pub(crate) fn nobody() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// Sees the name at once, and answers later.
pub(crate) async fn read(id: u64) -> Result<String, Unknown> {
    let seen = NAMES.lock().unwrap().get(&id).cloned();
    *READS.lock().unwrap().entry(id).or_default() += 1;
    tokio::time::sleep(READ).await;
    seen.ok_or(Unknown(id))
}

pub(crate) async fn write(id: u64, name: &str) {
    NAMES.lock().unwrap().insert(id, name.to_owned());
}

/// How often it was read.
pub(crate) fn reads_of(id: u64) -> u64 {
    READS.lock().unwrap().get(&id).copied().unwrap_or(0)
}
