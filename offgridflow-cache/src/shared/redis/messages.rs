use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::ConnectHandle;
use tokio::runtime::Handle;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// First pause before a channel that could not be subscribed to is tried again; it doubles up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// For so long a connection may take to say good-bye.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where removals of a namespace are announced.
pub(super) fn channel(namespace: &str) -> String {
    format!("ogf:{{{namespace}}}:news")
}

/// Announcements of removals, on a connection of their own from when somebody first asks for them.
pub(super) struct Messages {
    subscriber: SubscriberClient,
    channels: Arc<Channels>,
    listening: OnceLock<Connection<SubscriberClient>>,
}

/// Who waits for what, by the channel's name.
type Channels = Mutex<HashMap<String, Channel>>;

/// Who waits for a namespace's announcements.
struct Channel {
    heard: watch::Sender<()>,
    subscribed: Arc<AtomicBool>,
}

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
        if let Some(known) = channels.get(&channel) {
            return known.heard.subscribe();
        }
        let (heard, receiver) = watch::channel(());
        let subscribed = Arc::<AtomicBool>::default();
        channels.insert(channel.clone(), Channel { heard, subscribed: Arc::clone(&subscribed) });
        tokio::spawn(subscribe(self.subscriber.clone(), channel, subscribed, Arc::downgrade(&self.channels)));
        receiver
    }

    /// Namespaces that somebody follows and whose announcements cannot be heard at the moment.
    pub(super) fn unheard(&self) -> u64 {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = self.subscriber.is_connected();
        let unheard = |channel: &&Channel| !connected || !channel.subscribed.load(Ordering::Acquire);
        channels.values().filter(unheard).count() as u64
    }

    fn listen(&self) -> Connection<SubscriberClient> {
        let connection = Connection::open(&self.subscriber);
        let _subscribing_again = self.subscriber.manage_subscriptions();
        tokio::spawn(pass_on(self.subscriber.clone(), Arc::downgrade(&self.channels)));
        connection
    }
}

/// A client that connects, and again whenever it loses its connection, until this is dropped.
pub(super) struct Connection<C: ClientLike + 'static> {
    client: C,
    runtime: Handle,
    connecting: ConnectHandle,
}

impl<C: ClientLike + 'static> Connection<C> {
    /// Panics outside a tokio runtime.
    pub(super) fn open(client: &C) -> Self {
        Self { client: client.clone(), runtime: Handle::current(), connecting: client.connect() }
    }
}

impl<C: ClientLike + 'static> Drop for Connection<C> {
    fn drop(&mut self) {
        let (client, connecting) = (self.client.clone(), self.connecting.abort_handle());
        self.runtime.spawn(async move {
            let _farewell = timeout(FAREWELL, client.quit()).await;
            connecting.abort(); // which ends a client that was never connected
        });
    }
}

/// Until the server agrees, or nobody listens any more. A channel that was subscribed to once is again whenever the connection is lost.
async fn subscribe(
    subscriber: SubscriberClient,
    channel: String,
    subscribed: Arc<AtomicBool>,
    listening: Weak<Channels>,
) {
    let mut pause = PAUSES.0;
    while listening.strong_count() > 0 {
        if subscriber.subscribe(channel.as_str()).await.is_ok() {
            subscribed.store(true, Ordering::Release);
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
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
            Ok(message) => {
                channels
                    .get(&*message.channel)
                    .into_iter()
                    .for_each(|channel| channel.heard.send_replace(()));
            }
            Err(RecvError::Lagged(_)) => channels.values().for_each(|channel| channel.heard.send_replace(())),
            Err(RecvError::Closed) => return,
        }
    }
}
