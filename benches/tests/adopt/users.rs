//! A table of users whose readers take their time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

/// How long a read takes, from what it saw to its answer.
pub(crate) const READ: Duration = Duration::from_millis(100);

static NAMES: LazyLock<Mutex<HashMap<u64, String>>> = LazyLock::new(Mutex::default);
static READS: AtomicU64 = AtomicU64::new(0);

/// There is no such user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown(pub(crate) u64);

/// A user that no other test knows of.
pub(crate) fn somebody(name: &str) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Relaxed);
    NAMES.lock().unwrap().insert(id, name.to_owned());
    id
}

/// Sees the name at once, and answers later.
pub(crate) async fn read(id: u64) -> Result<String, Unknown> {
    let seen = NAMES.lock().unwrap().get(&id).cloned();
    READS.fetch_add(1, Relaxed);
    tokio::time::sleep(READ).await;
    seen.ok_or(Unknown(id))
}

pub(crate) async fn write(id: u64, name: &str) {
    NAMES.lock().unwrap().insert(id, name.to_owned());
}

/// Reads by anybody. Exact where the test has a process of its own, an upper bound elsewhere.
pub(crate) fn reads() -> u64 {
    READS.load(Relaxed)
}
