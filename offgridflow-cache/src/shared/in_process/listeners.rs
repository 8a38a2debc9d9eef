use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Who wants to hear of removals: a channel each, told in the order they came. Receivers of one channel would be woken in an order
/// that tokio draws, and no run of the simulation could be repeated.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<Vec<watch::Sender<()>>>);

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, Vec<watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self) -> watch::Receiver<()> {
        let (sender, receiver) = watch::channel(());
        self.lock().push(sender);
        receiver
    }

    /// Tells all, and forgets those who are gone.
    pub(super) fn tell(&self) {
        self.lock().retain(|listener| listener.send(()).is_ok());
    }
}
