//! What the panels of the boards' files ask, for Prometheus and its tools.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use serde_json::Value;

/// Rows whose title begins so ask for figures that only a cluster has.
const CLUSTER: &str = "Cluster";

/// A query of a panel, with Grafana's variables filled in.
#[derive(Debug)]
pub struct Question {
    /// The board's file.
    pub file: String,
    /// The panel's title.
    pub panel: String,
    /// Whether only a cluster has the figures: kube-state-metrics or cAdvisor.
    pub cluster: bool,
    /// PromQL.
    pub query: String,
}

/// A line of recorded series that is not `SERIES => VALUES`.
#[derive(Debug, thiserror::Error)]
#[error("line {0} of the recorded series is not `SERIES => VALUES`")]
pub struct RecordedError(usize);

/// Every query of every panel below `folder`, over `interval` where Grafana chooses it, and over `range` for all that is shown.
///
/// # Errors
/// A file that cannot be read, or is no JSON.
pub fn questions(folder: &Path, interval: &str, range: &str) -> io::Result<Vec<Question>> {
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<_> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    let mut questions = Vec::new();
    for path in paths {
        let board: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let file = path.display().to_string();
        of_board(&board, |panel, cluster, query| {
            let query = query.replace("$__rate_interval", interval).replace("$__range", range);
            let query = query.replace("$job", ".+").replace("$instance", ".+");
            questions.push(Question { file: file.clone(), panel: panel.to_owned(), cluster, query });
        });
    }
    Ok(questions)
}

fn of_board(board: &Value, mut found: impl FnMut(&str, bool, &str)) {
    let mut cluster = false;
    for panel in board["panels"].as_array().into_iter().flatten() {
        let title = panel["title"].as_str().unwrap_or_default();
        if panel["type"] == "row" {
            cluster = title.starts_with(CLUSTER);
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            found(title, cluster, target["expr"].as_str().unwrap_or_default());
        }
    }
}

/// A file of rules that records each query, so that `promtool check rules` reads them all; its errors have the query.
#[must_use]
pub fn rules(questions: &[Question]) -> String {
    let mut text = "groups:\n  - name: boards\n    rules:\n".to_owned();
    for (number, question) in questions.iter().enumerate() {
        let _ = writeln!(
            text,
            "      - record: board:query:number{number}\n        expr: {}",
            quoted(&question.query)
        );
    }
    text
}

/// Tests for `promtool test rules`: each query that needs a cluster must find something in the recorded series, a line each: `SERIES => VALUES`.
///
/// # Errors
/// A line that is something else.
pub fn tests(questions: &[Question], recorded: &str) -> Result<String, RecordedError> {
    let lines = recorded.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut series = String::new();
    for (number, line) in lines {
        let (name, values) = line.split_once(" => ").ok_or(RecordedError(number + 1))?;
        let _ = writeln!(
            series,
            "      - series: {}\n        values: {}",
            quoted(name.trim()),
            quoted(values.trim())
        );
    }
    let mut text = "evaluation_interval: 1m\ntests:\n".to_owned();
    for question in questions.iter().filter(|question| question.cluster) {
        let name = quoted(&format!("{}: panel `{}`", question.file, question.panel));
        let found = quoted(&question.found());
        let _ = writeln!(
            text,
            "  - name: {name}\n    interval: 1m\n    input_series:\n{series}    promql_expr_test:"
        );
        let _ = writeln!(
            text,
            "      - expr: {found}\n        eval_time: 30m\n        exp_samples: [{{labels: '{{}}', value: 1}}]"
        );
    }
    Ok(text)
}

impl Question {
    /// 1 where it finds a number; nothing where it finds no series, or none but NaN.
    #[must_use]
    pub fn found(&self) -> String {
        format!("count(({}) > -Inf) > bool 0", self.query)
    }
}

/// As YAML takes any text.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
