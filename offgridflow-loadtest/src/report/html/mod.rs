//! A report as one page: no script runs, nothing is fetched, light and dark.

mod axis;
mod course;
mod embed;
mod environment;
mod figures;
mod heat;
mod percentiles;
mod plot;
mod verdict;
mod words;

use super::Report;

const STYLE: &str = include_str!("style.css");
/// Whatever a name on the page might be taken for, nothing runs and nothing is fetched.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

impl Report {
    /// The report as one self-contained HTML page of at most 500 kB, to be handed around: the verdict and what decided it, the curve of
    /// percentiles with its intervals, rates, response times and the generator's lag over time, failures, routes, the environment, and the
    /// report's own JSON (see [`from_html`](Self::from_html)). It reads without JavaScript, asks for nothing, and follows the reader's
    /// choice of light or dark.
    #[must_use]
    pub fn to_html(&self) -> String {
        let (word, _) = verdict::headline(self);
        let title = words::safe(&self.target);
        let sections = [
            verdict::header(self),
            figures::cards(self),
            verdict::gates(self),
            percentiles::section(self),
            course::section(self),
            figures::steering(self),
            figures::clocks(self),
            figures::errors(self),
            figures::routes(self),
            figures::steps(self),
            figures::notes(self),
            environment::section(self),
        ];
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Load test of {title}: {word}</title><style>{STYLE}</style></head>\n<body><main>\n{}\n\
             <footer class=\"small\">offgridflow-loadtest {}. The report’s data is in this page: <code>offgridflow-loadtest report FILE.html</code> reads it.</footer>\n{}\n</main></body></html>\n",
            sections.join("\n"),
            words::safe(&self.version),
            embed::block(self)
        )
    }

    /// Reads a report back from its page.
    ///
    /// # Errors
    /// Text without the data of a report of this schema.
    pub fn from_html(page: &str) -> Result<Self, serde_json::Error> {
        let missing = || serde::de::Error::custom("this page holds no report's data");
        Self::from_json(embed::find(page).ok_or_else(missing)?)
    }
}
