use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, OnceLock, PoisonError, Weak};

use fred::clients::{Client, SubscriberClient};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

/// Where removals of a namespace are announced.
pub(super) fn channel(namespace: &str) -> String {
    format!("ogf:{{{namespace}}}:news")
}

/// Announcements of removals, on a connection of their own from when somebody first asks for them.
pub(super) struct Messages {
    subscriber: SubscriberClient,
    channels: Arc<Channels>,
    listening: OnceLock<()>,
}

/// Who waits for what, by the channel's name.
type Channels = Mutex<HashMap<String, watch::Sender<()>>>;

impl Messages {
    pub(super) fn over(client: &Client) -> Self {
        let subscriber = SubscriberClient::new(
            client.client_config(),
            Some(client.perf_config()),
            Some(client.connection_config().clone()),
            client.client_reconnect_policy(),
        );
        Self { subscriber, channels: Arc::default(), listening: OnceLock::new() }
    }

    /// Something happens here when something was removed from the namespace, unless the message is lost.
    pub(super) fn of(&self, namespace: &str) -> watch::Receiver<()> {
        self.listening.get_or_init(|| self.listen());
        let channel = channel(namespace);
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = channels.get(&channel) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(());
        channels.insert(channel.clone(), sender);
        let subscriber = self.subscriber.clone();
        tokio::spawn(async move { subscriber.subscribe(channel).await });
        receiver
    }

    fn listen(&self) {
        let _connecting = self.subscriber.connect();
        let _subscribing_again = self.subscriber.manage_subscriptions();
        tokio::spawn(pass_on(self.subscriber.clone(), Arc::downgrade(&self.channels)));
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        if let (Some(()), Ok(runtime)) = (self.listening.get(), tokio::runtime::Handle::try_current()) {
            let subscriber = self.subscriber.clone();
            runtime.spawn(async move { subscriber.quit().await });
        }
    }
}

/// Ends with the connection's owner.
async fn pass_on(subscriber: SubscriberClient, channels: Weak<Channels>) {
    let mut messages = subscriber.message_rx();
    loop {
        let message = messages.recv().await;
        let Some(channels) = channels.upgrade() else { return };
        let channels = channels.lock().unwrap_or_else(PoisonError::into_inner);
        match message {
            Ok(message) => drop(channels.get(&*message.channel).map(|sender| sender.send_replace(()))),
            Err(RecvError::Lagged(_)) => channels.values().for_each(|sender| sender.send_replace(())),
            Err(RecvError::Closed) => return,
        }
    }
}
