use std::future::pending;
use std::sync::{Mutex, PoisonError};

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::Server;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

type Told = Receiver<(Error, Option<Server>)>;

/// Whether the server lets this client in. While it does not, the client goes on trying, and a command would wait for it until it is given
/// up, which says nothing of the reason.
pub(super) struct Door(Mutex<State>);

struct State {
    told: Told,
    refusal: Option<Error>, // the last thing that was told
}

impl Door {
    pub(super) fn of(client: &Client) -> Self {
        Self(Mutex::new(State { told: client.error_rx(), refusal: None }))
    }

    /// What `command` gives, or why it will not get through.
    pub(super) async fn pass<T>(
        &self,
        client: &Client,
        command: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if client.is_connected() {
            return command.await;
        }
        let told = client.error_rx(); // from here on; before, it was told here
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        tokio::select! {
            biased;
            answer = command => answer,
            refusal = refused(told) => Err(refusal),
        }
    }

    fn refusal(&self) -> Option<Error> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match state.told.try_recv() {
                Ok((error, _)) => state.refusal = Some(error).filter(is_refusal),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return state.refusal.clone(),
            }
        }
    }
}

pub(super) fn is_refusal(error: &Error) -> bool {
    *error.kind() == ErrorKind::Auth
}

/// The next refusal.
async fn refused(mut told: Told) -> Error {
    loop {
        match told.recv().await {
            Ok((error, _)) if is_refusal(&error) => return error,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return pending().await,
        }
    }
}
