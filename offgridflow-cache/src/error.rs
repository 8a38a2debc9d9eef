use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a read has no answer. Every waiter of one load gets the same.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error<E> {
    /// The loader failed.
    #[error("the loader failed")]
    Load(#[source] Arc<E>),
    /// The loader panicked; its message went to the panic hook.
    #[error("the loader panicked")]
    LoadPanicked,
    /// The loader did not finish in time, and was dropped; or it had no turn in time, because as many others as `max_loads` allows did not.
    #[error(
        "the loader did not finish within {0:?}, the wait for its turn included; make the source answer, or raise `load_timeout` or `max_loads`"
    )]
    LoadTimeout(Duration),
    /// `load_many` gave another number of answers than it got keys.
    #[error("the loader answered {got} of {asked} keys")]
    LoadCount {
        /// Keys it was given.
        asked: usize,
        /// Answers it gave.
        got: usize,
    },
    /// The loader of a key, or one that it waits for, read the same key: it would have waited for itself.
    #[error("the loader read the key that it is to load; read its source instead")]
    Reentrant,
    /// So many loads wait for each other already, each for a key that its loader read.
    #[error("{0} loads wait for each other already; read the source in a loader, in place of the cache")]
    TooDeep(usize),
    /// The loader said that nothing has changed, of a key whose value the cache does not hold.
    #[error(
        "the loader said that nothing has changed, and there is no value; answer so only for keys that `reload_many` was given a value of"
    )]
    NothingHeld,
    /// Something else that the cache was given panicked: the key's own methods, the near tier, or a runtime without a timer. The message
    /// went to the panic hook.
    #[error(
        "the key, the near tier, or a runtime that was built without `enable_time` panicked while the value was on its way"
    )]
    Panicked,
    /// There is no tokio runtime here, and the value is not near.
    #[error("not near, and there is no runtime to load it on; read within a tokio runtime")]
    NoRuntime,
    /// The runtime is shutting down. Whose own goes on is not told: the value is loaded there, once more.
    #[error("the load was abandoned: the runtime is shutting down")]
    Closed,
}

impl<E> Clone for Error<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Load(error) => Self::Load(Arc::clone(error)),
            Self::LoadPanicked => Self::LoadPanicked,
            Self::LoadTimeout(limit) => Self::LoadTimeout(*limit),
            Self::LoadCount { asked, got } => Self::LoadCount { asked: *asked, got: *got },
            Self::Reentrant => Self::Reentrant,
            Self::TooDeep(loads) => Self::TooDeep(*loads),
            Self::NothingHeld => Self::NothingHeld,
            Self::Panicked => Self::Panicked,
            Self::NoRuntime => Self::NoRuntime,
            Self::Closed => Self::Closed,
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => f.debug_tuple("Load").field(error).finish(),
            Self::LoadPanicked => f.write_str("LoadPanicked"),
            Self::LoadTimeout(limit) => f.debug_tuple("LoadTimeout").field(limit).finish(),
            Self::LoadCount { asked, got } => {
                f.debug_struct("LoadCount").field("asked", asked).field("got", got).finish()
            }
            Self::Reentrant => f.write_str("Reentrant"),
            Self::TooDeep(loads) => f.debug_tuple("TooDeep").field(loads).finish(),
            Self::NothingHeld => f.write_str("NothingHeld"),
            Self::Panicked => f.write_str("Panicked"),
            Self::NoRuntime => f.write_str("NoRuntime"),
            Self::Closed => f.write_str("Closed"),
        }
    }
}

/// Why a cache was not built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {hint}")]
pub struct ConfigError {
    /// The setting at fault.
    pub setting: &'static str,
    /// What would make sense.
    pub hint: &'static str,
}

/// Why a shared tier did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// It did not answer in time.
    #[error("{backend} did not answer within {waited:?}")]
    Timeout {
        /// Which backend.
        backend: &'static str,
        /// How long it was given.
        waited: Duration,
    },
    /// It failed before and is left alone for now, by a [`Breaker`](crate::Breaker).
    #[error("{backend} is left alone for {retry_in:?} after failures")]
    Open {
        /// Which backend.
        backend: &'static str,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// It refused, or the connection broke.
    #[error("{backend} failed")]
    Failed {
        /// Which backend.
        backend: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It does not let this user in.
    #[error(
        "{backend} refused the user name or the password; check them where its address or its client is set"
    )]
    Refused {
        /// Which backend.
        backend: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It panicked; its message went to the panic hook.
    #[error("{backend} panicked")]
    Panicked {
        /// Which backend.
        backend: &'static str,
    },
    /// It is behind what was seen of it: it came back with an older memory, from which nothing is taken.
    #[error("{backend} came back with an older memory than it had")]
    RolledBack {
        /// Which backend.
        backend: &'static str,
    },
    /// Its answer makes no sense.
    #[error("{backend} answered {what}")]
    Protocol {
        /// Which backend.
        backend: &'static str,
        /// What was wrong with the answer.
        what: &'static str,
    },
    /// The address cannot be used.
    #[error("the address of {backend} cannot be used: {hint}")]
    Address {
        /// Which backend.
        backend: &'static str,
        /// What an address looks like.
        hint: String,
    },
}

/// Why bytes are not a value, or a value not bytes.
#[derive(Debug, thiserror::Error)]
#[error("the codec failed")]
pub struct CodecError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
