//! Grafana's boards as code: `boards write` puts them into `infra/grafana/dashboards`, `boards check` finds one that was edited there or
//! breaks a rule, and `boards queries`, `rules` and `tests` hand what they ask to Prometheus' own tools.
#![forbid(unsafe_code)]

mod board;
mod boards;
mod files;
mod lint;
mod panel;
mod promql;
mod questions;

pub use board::Board;
pub use boards::all;
pub use files::{FOLDER, Fault as FileFault, check, write};
pub use lint::{Fault, lint};
pub use panel::Panel;
pub use promql::{Selector, selectors};
pub use questions::{Question, RecordedError, questions, rules, tests};
