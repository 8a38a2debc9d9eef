//! What was done and said while a run went on.

use std::{fmt, time::Duration};

use crate::{report::text::short, units::measured_rate};

/// Something that was done to a run, or said about it, while it went on.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Annotation {
    /// When it took effect, from the start of the run.
    #[cfg_attr(feature = "serde", serde(rename = "at_ns", with = "crate::report::nanos"))]
    pub at: Duration,
    /// Who, as they named themselves.
    pub by: String,
    /// What.
    pub what: Event,
    /// What they said about it; may be empty.
    pub text: String,
}

/// What was done to a run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", tag = "is")
)]
#[non_exhaustive]
pub enum Event {
    /// Nothing more was offered from then on.
    Paused,
    /// The plan went on where it had stood still.
    Resumed,
    /// The plan went on at another rate, in operations a second.
    Rate {
        /// What it was by then.
        from_per_sec: f64,
        /// What it became.
        to_per_sec: f64,
    },
    /// It was asked to end.
    Stopped,
    /// Something was said, and nothing was done.
    Note,
}

impl Event {
    /// Whether the run was another one from then on than was planned.
    #[must_use]
    pub fn alters(self) -> bool {
        matches!(self, Self::Paused | Self::Resumed | Self::Rate { .. })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => f.write_str("paused"),
            Self::Resumed => f.write_str("resumed"),
            Self::Rate { from_per_sec, to_per_sec } => {
                write!(f, "rate {}/s -> {}/s", measured_rate(*from_per_sec), measured_rate(*to_per_sec))
            }
            Self::Stopped => f.write_str("stopped"),
            Self::Note => f.write_str("note"),
        }
    }
}

/// In what way a plan was altered, in words; nothing if it was not.
pub(crate) fn altered(annotations: &[Annotation], paused: Duration) -> Option<String> {
    let count = |is: fn(&Event) -> bool| annotations.iter().filter(|one| is(&one.what)).count();
    let pauses = count(|event| matches!(event, Event::Paused));
    let rates = count(|event| matches!(event, Event::Rate { .. }));
    let times = |n: usize| if n == 1 { "once".to_owned() } else { format!("{n} times") };
    let mut said = Vec::new();
    if pauses > 0 {
        said.push(format!("paused {}, for {} in all", times(pauses), short(paused)));
    }
    if rates > 0 {
        said.push(format!("its rate was changed {}", times(rates)));
    }
    (!said.is_empty()).then(|| said.join(", "))
}
