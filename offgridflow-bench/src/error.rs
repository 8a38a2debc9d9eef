use std::io;
use std::path::PathBuf;

/// Why measurements could not be read or compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// What was opened.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not what criterion writes.
    #[error("{} is not what criterion writes", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// A line of a file of JSON lines is not what belongs there.
    #[error("{}, line {line}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The index of a history cannot be made or read.
    #[error("the index {} cannot be used", path.display())]
    Index {
        /// The database.
        path: PathBuf,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is at the path of an index is something else, and is left alone.
    #[error("{} is no index of a history: name another file, or remove this one", path.display())]
    NotAnIndex {
        /// The file.
        path: PathBuf,
    },
    /// The folder holds no recorded benchmark.
    #[error("{} holds no benchmark recorded as `{baseline}`; run `cargo bench -- --save-baseline {baseline}`", path.display())]
    Empty {
        /// The folder searched.
        path: PathBuf,
        /// The name of the recording looked for.
        baseline: String,
    },
    /// Too few samples, samples that are no durations, or two recordings of one name.
    #[error("benchmark `{name}` cannot be compared: {reason}")]
    Samples {
        /// The benchmark.
        name: String,
        /// What is wrong with its samples.
        reason: &'static str,
    },
    /// An option that makes no sense.
    #[error("{option} = {value}: {hint}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What it was set to.
        value: String,
        /// What would make sense.
        hint: &'static str,
    },
}
