//! Histograms in the log format that every `HdrHistogram` reads.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hdrhistogram::{
    Histogram,
    serialization::{
        V2DeflateSerializer,
        interval_log::{IntervalLogWriterBuilder, Tag},
    },
};

use super::Latencies;
use crate::{Report, Reporter, error::ReportError, plan::Plan, window::Window};

const LEGEND: &str = r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#;
const HIGHEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;
/// Nanoseconds in the unit of the log's maximum, which is milliseconds.
const MAX_UNIT: f64 = 1e6;

/// Writes each window's response times as an `HdrHistogram` log (V2, compressed), for the tools and libraries that
/// read it: the lines without a tag sum to the run's answered operations, those tagged `unanswered` to what was
/// waited for in vain. Values are nanoseconds; the plain-text maximum of a line is milliseconds, as usual.
/// Windows of the warm-up are not written. Times of a closed loop are as measured, without what its workers left out
/// ([`Correction`](crate::Correction)); the interval by which that can be filled in is a comment at the end.
pub struct HdrLog<W> {
    out: Option<W>,
    lines: Vec<u8>,
    failed: Option<io::Error>,
}

impl HdrLog<BufWriter<File>> {
    /// To a new file.
    ///
    /// # Errors
    /// What the system says about the path.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::to(BufWriter::new(File::create(path)?)))
    }
}

impl<W: Write + Send> HdrLog<W> {
    /// To any writer.
    #[must_use]
    pub fn to(out: W) -> Self {
        Self { out: Some(out), lines: Vec::new(), failed: None }
    }

    fn write(&mut self) {
        if let Some(out) = &mut self.out
            && let Err(error) = out.write_all(&self.lines).and_then(|()| out.flush())
        {
            (self.out, self.failed) = (None, Some(error));
        }
        self.lines.clear();
    }
}

impl<W: Write + Send> Reporter for HdrLog<W> {
    fn on_start(&mut self, _: &Plan) {
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.lines = format!(
            "#[Histogram log format version 1.3]\n#[StartTime: {begun:.3} (seconds since epoch)]\n{LEGEND}\n"
        )
        .into_bytes();
        self.write();
    }

    fn on_window(&mut self, window: &Window) {
        if !window.measured {
            return;
        }
        let responses = window.responses();
        let parts = [(None, Some(responses.answered())), (Tag::new("unanswered"), responses.given_up())];
        for (tag, latencies) in parts {
            if let Some(latencies) = latencies.filter(|latencies| latencies.count() > 0) {
                self.lines.extend(line(window.from, window.length(), tag, latencies));
            }
        }
        self.write();
    }

    fn on_end(&mut self, report: &Report) -> Result<(), ReportError> {
        if let Some(correction) = report.correction {
            let interval = correction.interval.as_nanos();
            let said = format!(
                "#[Closed loop, not corrected for coordinated omission. Expected interval: {interval} ns]\n"
            );
            self.lines.extend(said.into_bytes());
            self.write();
        }
        match self.failed.take() {
            None => Ok(()),
            Some(error) => Err(ReportError { reporter: "HdrHistogram log", source: error.into() }),
        }
    }
}

impl<W> fmt::Debug for HdrLog<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HdrLog").field("failed", &self.failed).finish_non_exhaustive()
    }
}

/// One line of the log.
fn line(from: Duration, length: Duration, tag: Option<Tag<'_>>, latencies: &Latencies) -> Vec<u8> {
    let (mut text, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut builder = IntervalLogWriterBuilder::new();
    let writer = builder.with_max_value_divisor(MAX_UNIT).begin_log_with(&mut text, &mut serializer);
    let written = writer.map(|mut writer| writer.write_histogram(&foreign(latencies), from, length, tag));
    debug_assert!(matches!(written, Ok(Ok(()))), "memory takes everything");
    // The writer states its unit before each line; ours is said once by convention.
    text.split_inclusive(|&byte| byte == b'\n')
        .filter(|line| !line.starts_with(b"#"))
        .flatten()
        .copied()
        .collect()
}

/// The same counts in the crate that knows the format.
fn foreign(latencies: &Latencies) -> Histogram<u64> {
    let mut histogram =
        Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS).unwrap_or_else(|_| unreachable!("constant bounds"));
    latencies.buckets().for_each(|(latency, n)| {
        histogram.saturating_record_n(u64::try_from(latency.as_nanos()).unwrap_or(HIGHEST_NS), n);
    });
    histogram
}
