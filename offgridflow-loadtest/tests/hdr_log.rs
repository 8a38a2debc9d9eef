//! The `HdrHistogram` log says what the report says, in a format others read.
#![cfg(feature = "hlog")]

mod outputs;

use std::time::Duration;

use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry},
    },
};
use offgridflow_loadtest::{HdrLog, LoadTest, Quantile, Rate, Report, WarmUp, workload_fn};
use outputs::Full;

const SECOND: Duration = Duration::from_secs(1);

/// Runs 20 s, the first five of them warm-up, one in fifty lost if so asked, and gives the report and the log.
async fn logged(path: &std::path::Path, lossy: bool) -> Report {
    let work = workload_fn(move |op| async move {
        let time = if lossy && op.index() % 50 == 7 {
            SECOND * 60
        } else {
            Duration::from_micros(900 + op.rng().below(9_000))
        };
        tokio::time::sleep(time).await;
    });
    let test =
        LoadTest::new(work).rate(Rate::constant(500.0, SECOND * 20)).timeout(Duration::from_millis(50));
    test.warm_up(WarmUp::For(SECOND * 5))
        .reporter(HdrLog::create(path).expect("a file"))
        .run_here()
        .await
        .expect("runs")
}

/// The sum of the lines with this tag, and how many there are.
fn sum(log: &[u8], tag: Option<&str>) -> (Histogram<u64>, usize) {
    let mut all = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("bounds");
    let (mut lines, mut deserializer) = (0, Deserializer::new());
    for entry in IntervalLogIterator::new(log) {
        let LogEntry::Interval(line) = entry.expect("a line") else { continue };
        if line.tag().map(|tag| tag.as_str().to_owned()).as_deref() == tag {
            let text = line.encoded_histogram();
            let bytes = base64(text);
            let part: Histogram<u64> = deserializer.deserialize(&mut &*bytes).expect("a histogram");
            all.add(&part).expect("one layout");
            lines += 1;
        }
    }
    (all, lines)
}

fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let quads = text.trim_end_matches('=').as_bytes().chunks(4);
    let triple = |quad: &[u8]| {
        let bits = quad.iter().fold(0_u32, |bits, &byte| bits << 6 | u32::from(value(byte)))
            << (6 * (4 - quad.len()));
        bits.to_be_bytes()[1..quad.len()].to_vec()
    };
    quads.flat_map(triple).collect()
}

#[tokio::test(start_paused = true)]
async fn the_log_sums_to_the_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.hlog");
    let report = logged(&path, true).await;
    let log = std::fs::read(&path).expect("written");
    let text = String::from_utf8(log.clone()).expect("text");
    assert!(text.starts_with("#[Histogram log format version 1.3]\n#[StartTime: "), "{text}");

    let (answered, lines) = sum(&log, None);
    assert_eq!((answered.len(), lines), (report.total.answered, 15), "{report}");
    let (lost, _) = sum(&log, Some("unanswered"));
    assert_eq!(lost.len(), report.total.response.unanswered);
    // Answered are 98 of 100, so the report's p50 is the log's 0.5 / 0.98.
    let Quantile::Value(p50) = report.total.response.p50 else { panic!("{report}") };
    let theirs = answered.value_at_quantile(0.5 / 0.98);
    assert!((p50.as_nanos() as f64 / theirs as f64 - 1.0).abs() < 0.002, "{p50:?} {theirs}");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_costs_no_result() {
    let test = LoadTest::new(workload_fn(|_op| async {}))
        .rate(Rate::constant(500.0, SECOND))
        .reporter(HdrLog::to(Full));
    let report = test.run_here().await.expect("runs");
    assert_eq!(report.total.ok, 500);
    assert!(
        report.notes.iter().any(|note| note.contains("HdrHistogram log could not deliver")),
        "{:?}",
        report.notes
    );
}

/// Leaves a log and its report for other implementations to read (`scripts/verify/L6.sh`).
#[cfg(feature = "serde")]
#[tokio::test(start_paused = true)]
async fn others_can_read_the_log() {
    let Some(folder) = std::env::var_os("VERIFY_HLOG").map(std::path::PathBuf::from) else { return };
    let report = logged(&folder.join("run.hlog"), false).await;
    std::fs::write(folder.join("report.json"), report.to_json().expect("plain data")).expect("written");
}
