//! The tool's own error rates: simulations and replays in which every alarm is known to be wrong, and mutants that must be caught.

mod adversary;
mod dice;
mod history;
mod mutants;
mod noise;
mod rate;
#[cfg(feature = "gate")]
mod replay;
#[cfg(feature = "gate")]
mod rivals;

pub use adversary::{ALPHA, BENCHES, Cell, ROUNDS};
pub use dice::Dice;
pub use history::{HistoryRates, history_rates};
pub use mutants::Mutant;
pub use noise::{Skew, Weather};
pub use rate::Rate;
#[cfg(feature = "gate")]
pub use replay::{Fault, Injection, Power, Replay};
#[cfg(feature = "gate")]
pub use rivals::{Rival, RivalRates, critcmp_shows, criterion_sees_a_change};
