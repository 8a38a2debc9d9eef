use std::time::Duration;

use super::Place;
use crate::Verdict;

/// A trigger fired: a capture is due.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fired {
    /// What it watches, in one word.
    pub kind: &'static str,
    /// What holds, in one sentence.
    pub why: String,
    /// For how long it has held.
    pub held: Duration,
    /// The place it holds for, where it is one of one place.
    pub place: Option<Place>,
    /// The verdict on memory, where that is what it rests on.
    pub verdict: Option<Verdict>,
}
