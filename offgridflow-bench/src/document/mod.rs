//! The document of measurements: figures kept as JSON lines, targets they are held against, what a project promises, and one page that is made of nothing else.
//!
//! ```
//! use offgridflow_bench::document::{Document, Figure};
//! use offgridflow_bench::gate::Settings;
//!
//! let settings = Settings::parse("bench.toml", r#"
//!     [[target]]
//!     name = "API p95"
//!     figure = "api: response p95"
//!     unit = "ms"
//!     at-most = 100.0
//! "#)?;
//! let figure = Figure { low: Some(11.0), high: Some(13.0), n: 30_000, ..Figure::new("api: response p95", 12.0, "ms") };
//! let page = Document { goals: settings.goals(), figures: &[figure], ..Document::default() }.to_string();
//! assert!(page.contains("| API p95 | at most 100 ms | 12 ms (11 to 13) | met |"));
//! # Ok::<(), offgridflow_bench::gate::GateError>(())
//! ```

mod date;
mod figure;
mod goal;
mod page;
mod promise;
mod source;

pub use figure::Figure;
pub use goal::Goals;
pub(crate) use goal::{Target, Trigger};
pub use page::Document;
pub use promise::{Judgement, Promise, promises_in};
pub use source::{Pointer, SourceError, from_gate, from_json};
