use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::ConnectHandle;
use tokio::runtime::Handle;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
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
    client: Client, // whose settings the connection has
    channels: Arc<Channels>,
    listening: Mutex<Option<Listening>>,
}

/// A connection that hears announcements, and the tasks that subscribe on it and pass on what it hears: they end with it.
struct Listening {
    connection: Connection<SubscriberClient>,
    tasks: JoinSet<()>,
    subscribing_again: AbortHandle,
}

/// Who waits for what, by the channel's name.
type Channels = Mutex<HashMap<String, Channel>>;

/// Who waits for a namespace's announcements.
#[derive(Clone)]
struct Channel {
    heard: watch::Sender<()>,
    subscribed: Arc<AtomicBool>,
}

impl Messages {
    pub(super) fn over(client: &Client) -> Self {
        Self { client: client.clone(), channels: Arc::default(), listening: Mutex::default() }
    }

    /// Something happens here when something was removed from the namespace, unless the message is lost.
    pub(super) fn of(&self, namespace: &str) -> watch::Receiver<()> {
        let mut listening = lock(&self.listening);
        let listening = listening.get_or_insert_with(|| self.listen());
        let name = channel(namespace);
        let mut channels = lock(&self.channels);
        if let Some(known) = channels.get(&name) {
            return known.heard.subscribe();
        }
        let (heard, receiver) = watch::channel(());
        let channel = Channel { heard, subscribed: Arc::default() };
        listening.attend(&name, &channel, &self.channels);
        channels.insert(name, channel);
        receiver
    }

    /// Listens again, on the current runtime, where that of the connection has ended.
    pub(super) fn revive(&self) {
        let mut listening = lock(&self.listening);
        if !listening.as_ref().is_some_and(|listening| listening.connection.has_ended())
            || Handle::try_current().is_err()
        {
            return;
        }
        let listening = listening.insert(self.listen());
        lock(&self.channels)
            .iter()
            .for_each(|(name, channel)| listening.attend(name, channel, &self.channels));
    }

    /// Namespaces that somebody follows and whose announcements cannot be heard at the moment.
    pub(super) fn unheard(&self) -> u64 {
        let connected = lock(&self.listening)
            .as_ref()
            .is_some_and(|listening| listening.connection.client.is_connected());
        let unheard = |channel: &&Channel| !connected || !channel.subscribed.load(Ordering::Acquire);
        lock(&self.channels).values().filter(unheard).count() as u64
    }

    /// By a client of its own each time: one that was connected on another runtime may have more state than it knows.
    fn listen(&self) -> Listening {
        let client = &self.client;
        let subscriber = SubscriberClient::new(
            client.client_config(),
            Some(client.perf_config()),
            Some(client.connection_config().clone()),
            client.client_reconnect_policy(),
        );
        let connection = Connection::open(&subscriber);
        let subscribing_again = subscriber.manage_subscriptions().abort_handle();
        let mut tasks = JoinSet::new();
        tasks.spawn(pass_on(subscriber, Arc::clone(&self.channels)));
        Listening { connection, tasks, subscribing_again }
    }
}

impl Listening {
    /// Subscribes to a channel, for as long as anybody waits for what it tells.
    fn attend(&mut self, name: &str, channel: &Channel, channels: &Arc<Channels>) {
        while self.tasks.try_join_next().is_some() {} // those of channels that nobody waits for any more
        channel.subscribed.store(false, Ordering::Release);
        let subscriber = self.connection.client.clone();
        self.tasks.spawn(attend(subscriber, name.to_owned(), channel.clone(), Arc::clone(channels)));
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.subscribing_again.abort();
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client that connects, and again whenever it loses its connection, until this is dropped.
pub(super) struct Connection<C: ClientLike + 'static> {
    client: C,
    running: Mutex<Running>,
}

/// The task that connects, and where it runs.
struct Running {
    runtime: Handle,
    connecting: ConnectHandle, // ends with the runtime, or when the client gives up
    lives: JoinHandle<()>,     // ends with the runtime
}

impl Running {
    /// Panics outside a tokio runtime.
    fn begin(client: &impl ClientLike) -> Self {
        Self { runtime: Handle::current(), connecting: client.connect(), lives: tokio::spawn(pending()) }
    }

    fn has_ended(&self) -> bool {
        self.lives.is_finished()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lives.abort();
    }
}

impl<C: ClientLike + 'static> Connection<C> {
    /// Panics outside a tokio runtime.
    pub(super) fn open(client: &C) -> Self {
        Self { client: client.clone(), running: Mutex::new(Running::begin(client)) }
    }

    /// Whether the runtime that it ran on has ended.
    fn has_ended(&self) -> bool {
        lock(&self.running).has_ended()
    }

    /// Connects again, on the current runtime, where the one that it ran on has ended.
    pub(super) fn revive(&self) {
        let mut running = lock(&self.running);
        if running.has_ended() && Handle::try_current().is_ok() {
            *running = Running::begin(&self.client);
        }
    }
}

impl<C: ClientLike + 'static> Drop for Connection<C> {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (client, connecting) = (self.client.clone(), running.connecting.abort_handle());
        running.runtime.spawn(async move {
            let _farewell = timeout(FAREWELL, client.quit()).await;
            connecting.abort(); // which ends a client that was never connected
        });
    }
}

/// Subscribes to a channel, until nobody waits for it any more. Who comes while it is left has it subscribed to again.
async fn attend(subscriber: SubscriberClient, name: String, channel: Channel, channels: Arc<Channels>) {
    loop {
        let attended = async {
            subscribe(&subscriber, &name).await;
            channel.subscribed.store(true, Ordering::Release);
            pending::<()>().await;
        };
        tokio::select! {
            () = attended => {}
            () = channel.heard.closed() => {}
        }
        channel.subscribed.store(false, Ordering::Release);
        let _heard_in_vain = subscriber.unsubscribe(name.as_str()).await;
        let mut channels = lock(&channels);
        if channel.heard.is_closed() {
            channels.remove(&name);
            return;
        }
    }
}

/// Until the server agrees. A channel that was subscribed to once is again whenever the connection is lost.
async fn subscribe(subscriber: &SubscriberClient, channel: &str) {
    let mut pause = PAUSES.0;
    while subscriber.subscribe(channel).await.is_err() {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn pass_on(subscriber: SubscriberClient, channels: Arc<Channels>) {
    let mut messages = subscriber.message_rx();
    loop {
        let message = messages.recv().await;
        let channels = lock(&channels);
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
