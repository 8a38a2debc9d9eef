//! What a capture leaves behind: evidence from before and after the trigger, who is to blame, and a page that shows it.

mod attribution;
mod blame;
#[cfg(test)]
mod example;
mod page;
#[cfg(feature = "push")]
mod push;
mod sink;
mod svg;

pub use blame::{Suspect, suspects};
#[cfg(feature = "http")]
pub(crate) use page::text;
#[cfg(feature = "push")]
pub use push::PyroscopeSink;
pub use sink::{DirSink, IncidentSink};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::trend::Verdict;
use crate::{Limit, Observation, Place, Profile, Sample};

/// A capture and what led to it.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Incident {
    /// Its name, from its instant and its kind; fit for a file.
    pub id: String,
    /// When the trigger fired.
    pub at: SystemTime,
    /// What the trigger watches, in one word: `leak`, `cpu`, `tasks`, …
    pub kind: String,
    /// What held, in one sentence.
    pub why: String,
    /// The place that the trigger named.
    pub place: Option<Place>,
    /// The verdict on memory.
    pub verdict: Option<Verdict>,
    /// What memory must not exceed.
    pub limit: Option<Limit>,
    /// Memory in use, as long as it was watched.
    pub memory: Vec<Sample>,
    /// The minutes before, an observation a second.
    pub observations: Vec<Observation>,
    /// Profiles of before and of after.
    pub evidence: Vec<Evidence>,
    /// Who may be to blame, the likeliest first.
    pub suspects: Vec<Suspect>,
    /// What is missing, and why.
    pub notes: Vec<String>,
}

/// One kind of profile, from before the trigger and from after.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Evidence {
    /// `heap`, `cpu`, `tasks` or `waits`.
    pub what: String,
    /// From before; `None` where no window was kept.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub before: Option<Profile>,
    /// From after; `None` where it could not be taken.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub after: Option<Profile>,
}

impl Incident {
    /// The evidence of one kind.
    #[must_use]
    pub fn evidence(&self, what: &str) -> Option<&Evidence> {
        self.evidence.iter().find(|evidence| evidence.what == what)
    }

    /// One HTML file with everything in it: no scripts, nothing loaded from elsewhere.
    #[must_use]
    pub fn to_html(&self) -> String {
        page::draw(self)
    }
}

/// The name of an incident.
pub(crate) fn id(at: SystemTime, kind: &str) -> String {
    format!("{:014}-{kind}", at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis())
}

/// Whether a name is one of an incident's: what may be put into a path.
pub(crate) fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    text.split_once('-').is_some_and(|(millis, kind)| {
        millis.len() == 14
            && millis.bytes().all(|byte| byte.is_ascii_digit())
            && (1..=16).contains(&kind.len())
            && kind.bytes().all(plain)
    })
}

/// So far back lie the windows that a capture is compared with, at most.
pub(crate) const BEFORE: Duration = Duration::from_secs(600);
