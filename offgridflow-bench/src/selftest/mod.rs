//! The tool's own error rates: simulations and replays in which every alarm is known to be wrong, and mutants that must be caught.

mod adversary;
mod dice;
mod history;
mod mutants;
mod noise;
mod rate;

pub use adversary::{ALPHA, BENCHES, Cell, ROUNDS};
pub use dice::Dice;
pub use history::{HistoryRates, history_rates};
pub use mutants::Mutant;
pub use noise::{Skew, Weather};
pub use rate::Rate;
