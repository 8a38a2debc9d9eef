//! What a run cannot be asked for.

use super::{LONGEST_NAME, LONGEST_TEXT, MOST_ANNOTATIONS};

/// Why a run is not steered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// It has not begun.
    #[error("the run has not begun: ask again once it has")]
    NotBegun,
    /// It is not measured yet, and what is measured has to be known before.
    #[error("the run is warming up: it can be steered once it is measured")]
    WarmUp,
    /// It is over, or will be before the change takes effect.
    #[error("the run is over before that could take effect")]
    Over,
    /// It is paused already.
    #[error("the run is paused already")]
    Paused,
    /// It is not paused.
    #[error("the run is not paused")]
    NotPaused,
    /// It has no rate, or none that could become the one that was asked for.
    #[error("{0}")]
    Rate(String),
    /// More was said than is kept.
    #[error(
        "a run can be altered and annotated {MOST_ANNOTATIONS} times each, with at most {LONGEST_TEXT} characters by a name of at most {LONGEST_NAME}"
    )]
    TooMuch,
}
