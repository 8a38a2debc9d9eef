//! The arithmetic of carbon: exact quantities, factors with a source, emissions rounded once.

mod activity;
mod defaults;
mod factor;
mod period;
mod quantity;

pub use activity::{Activity, Refusal, assess};
pub use defaults::default_factors;
pub use factor::{Factor, Ratio, Scope};
pub use period::Period;
pub use quantity::{Grams, Quantity};

/// Why a text is not a value of the kind asked for; reads as the end of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub(crate) String);

/// At most the first 40 characters: an error message is no place for a megabyte of input.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
