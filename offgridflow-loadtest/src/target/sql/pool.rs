//! A pool that tells waiting from connecting.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::link::{Failed, Link, Server};

/// A pool a shard, so that a connection stays on the thread that it was opened on.
#[derive(Debug, Default)]
pub(super) struct Pools {
    all: Mutex<Vec<Option<Arc<Pool>>>>, // by shard
    opened: Arc<AtomicU64>,
}

/// The connections of one shard.
#[derive(Debug)]
pub(super) struct Pool {
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Link>>, // the one that was used last is used next
    opened: Arc<AtomicU64>,
}

/// The right to one connection, and the connection, once there is one. Dropped, it is closed, unless it was kept.
pub(super) struct Held {
    pool: Arc<Pool>,
    link: Option<Link>,
    _permit: OwnedSemaphorePermit,
}

impl Pools {
    pub(super) fn of(&self, shard: usize, most: usize) -> Arc<Pool> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() <= shard {
            all.resize(shard + 1, None);
        }
        let made = || {
            Arc::new(Pool {
                permits: Arc::new(Semaphore::new(most)),
                idle: Mutex::default(),
                opened: Arc::clone(&self.opened),
            })
        };
        Arc::clone(all[shard].get_or_insert_with(made))
    }

    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }
}

impl Pool {
    /// Waits for the right to a connection: first come, first served.
    pub(super) async fn wait(self: &Arc<Self>) -> Held {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.unwrap_or_else(|_| unreachable!("the semaphore is never closed"));
        let link = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Held { pool: Arc::clone(self), link, _permit: permit }
    }
}

impl Held {
    pub(super) fn is_open(&self) -> bool {
        self.link.is_some()
    }

    pub(super) async fn open(&mut self, server: &Server) -> Result<(), Failed> {
        self.link = Some(server.connect().await?);
        self.pool.opened.fetch_add(1, Relaxed);
        Ok(())
    }

    /// The connection.
    ///
    /// # Panics
    /// Before it is open.
    pub(super) fn link(&mut self) -> &mut Link {
        self.link.as_mut().unwrap_or_else(|| unreachable!("it was opened"))
    }

    /// Gives the connection back for the next one.
    pub(super) fn keep(mut self) {
        if let Some(link) = self.link.take() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
        }
    }
}
