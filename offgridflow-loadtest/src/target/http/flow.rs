//! Several requests in order as one operation: log in, list, order.

use std::{fmt, num::NonZeroU32, time::Duration};

use super::{HttpRoute, connection::Wanted, extract::Extract};
use crate::error::ConfigError;

/// The shortest wait between two looks.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Requests that one user sends in order, as one operation: each is sent once the one before it was answered as it should be.
///
/// The schedule decides when a flow begins, and its response time is counted from then to the end of its last answer, without the
/// [pauses](HttpStep::pause) between its steps. A step has a row of its own with its service time
/// ([`Report::steps`](crate::Report::steps)), and no response time: no schedule says when it should begin. The first step that fails ends its flow, which has failed. The time-out is the flow's.
///
/// ```
/// use offgridflow_loadtest::{HttpFlow, HttpRoute, HttpStep, HttpTarget};
/// let bearer = |op: &offgridflow_loadtest::Op| format!("Bearer {}", op.kept("token").unwrap_or_default());
/// let shop = HttpFlow::new("shop")
///     .step(HttpStep::new(HttpRoute::post("/login").body(r#"{"user":"a"}"#)).extract("token", "json.token")?)
///     .step(HttpRoute::get("/orders").header_with("authorization", bearer)?);
/// let target = HttpTarget::new("http://127.0.0.1:8080")?.flow(shop)?;
/// # Ok::<(), offgridflow_loadtest::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct HttpFlow {
    pub(super) name: String,
    pub(super) weight: NonZeroU32,
    pub(super) steps: Vec<HttpStep>,
    pub(super) first: usize, // place of its first step among those of all flows
}

/// One request of a flow.
#[derive(Debug, Clone)]
pub struct HttpStep {
    pub(super) route: HttpRoute,
    pub(super) pause: Duration,
    pub(super) retry_every: Option<Duration>,
    pub(super) extracts: Vec<Extract>,
}

impl HttpFlow {
    /// A flow that reports name so.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), weight: NonZeroU32::MIN, steps: Vec::new(), first: 0 }
    }

    /// How often it is taken, against the weights of routes and other flows. Default 1; 0 counts as 1.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = NonZeroU32::new(weight).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// Adds a request after the ones before it. A route's weight means nothing here.
    #[must_use]
    pub fn step(mut self, step: impl Into<HttpStep>) -> Self {
        self.steps.push(step.into());
        self
    }

    /// The names of its steps, as reports have them.
    pub(super) fn step_names(&self) -> impl Iterator<Item = String> {
        self.steps.iter().map(|step| format!("{}: {}", self.name, step.route.name()))
    }

    /// Refuses what nobody could tell apart, and what would be no flow.
    pub(super) fn sound(&self) -> Result<(), ConfigError> {
        if self.name.is_empty() {
            return Err(ConfigError::new("name", "a flow needs a name, which reports give it"));
        }
        let Some(first) = self.steps.first() else {
            return Err(ConfigError::new("step", "a flow needs at least one step"));
        };
        if !first.pause.is_zero() {
            let hint = "a pause stands between two steps; a rest after each operation is think_time";
            return Err(ConfigError::new("step.0.pause", hint));
        }
        let restless =
            self.steps.iter().position(|step| step.retry_every.is_some_and(|wait| wait < SHORTEST_WAIT));
        if let Some(at) = restless {
            let hint = "a millisecond is the shortest wait: looks without a pause are a load of their own";
            return Err(ConfigError::new(format!("step.{at}.retry_every"), hint));
        }
        let names: Vec<_> = self.step_names().collect();
        let second = (1..names.len()).find(|&at| names[..at].contains(&names[at]));
        second.map_or(Ok(()), |at| {
            let hint = format!("`{}` stands there twice: give each a name", names[at]);
            Err(ConfigError::new(format!("step.{at}.path"), hint))
        })
    }

    /// How long it rests in all.
    #[cfg(feature = "cli")]
    pub(crate) fn pauses(&self) -> Duration {
        self.steps.iter().map(|step| step.pause).sum()
    }
}

impl HttpStep {
    /// A step that asks for this.
    #[must_use]
    pub fn new(route: HttpRoute) -> Self {
        Self { route, pause: Duration::ZERO, retry_every: None, extracts: Vec::new() }
    }

    /// Takes a value from the answer, which later steps find under this name by [`Op::kept`](crate::Op::kept).
    ///
    /// ```text
    /// json.items[0].id                      a field of the body's JSON (feature `serde`): a text, a number, true or false
    /// header.location after "/orders/"      a part of a header
    /// cookie.session                        a cookie that the answer sets
    /// body after "csrf=" before "&"         between two texts, in this order
    /// ```
    ///
    /// A value that is not there, is empty, no UTF-8 or longer than 64 KiB fails the step and ends its flow, under a cause of its own in the error
    /// ledger. Bodies are read as far as [checks](HttpRoute::check) read them.
    ///
    /// # Errors
    /// A name that is none or stands for something else in scenarios (`row`, `index`, …), and what is no such place.
    pub fn extract(mut self, name: &str, from: &str) -> Result<Self, ConfigError> {
        self.extracts.push(Extract::parse(name, from)?);
        Ok(self)
    }

    /// How long the user rests before it, after the answer of the step before. In no time but the flow's time-out. Tokio's timer keeps it, to a millisecond or so.
    #[must_use]
    pub fn pause(mut self, length: Duration) -> Self {
        self.pause = length;
        self
    }

    /// Asks again, so long after each answer, until one is as it should be: its status, its [checks](HttpRoute::check), its extractions. For work that is done elsewhere and looked for here: the step's
    /// service time is then from the first look to the one that found it done. Ends with the flow's time-out; what is not answered at all fails as ever. Looks are requests that no schedule asked for and no row counts.
    #[must_use]
    pub fn retry_every(mut self, wait: Duration) -> Self {
        self.retry_every = Some(wait);
        self
    }

    /// What its checks and extractions look at.
    pub(super) fn looks(&self) -> Wanted {
        self.extracts.iter().map(Extract::looks).fold(self.route.looks(), Wanted::and)
    }
}

impl From<HttpRoute> for HttpStep {
    fn from(route: HttpRoute) -> Self {
        Self::new(route)
    }
}

/// As a plan shows it: its name, and its steps in order.
impl fmt::Display for HttpFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        for (at, step) in self.steps.iter().enumerate() {
            let arrow = if at > 0 { " → " } else { "" };
            write!(f, "{arrow}{}", step.route)?;
            for extract in &step.extracts {
                write!(f, ", keeps {}", extract.name)?;
            }
        }
        Ok(())
    }
}
