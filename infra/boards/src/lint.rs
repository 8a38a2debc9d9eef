//! The eleven rules of Grafana's dashboard-linter, by the names that it gives them, over a board's file.

use std::fmt;

use serde_json::Value;

use crate::promql::selectors;

/// Units that Grafana knows, of those that figures here are in.
const UNITS: [&str; 20] = [
    "none",
    "short",
    "percent",
    "percentunit",
    "bytes",
    "decbytes",
    "bits",
    "Bps",
    "bps",
    "ns",
    "µs",
    "ms",
    "s",
    "m",
    "cps",
    "ops",
    "reqps",
    "iops",
    "bool_yes_no",
    "bool_on_off",
];

/// A rule that is broken, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The title of the panel; `None` for the board as a whole.
    pub panel: Option<String>,
    /// The rule.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.panel {
            Some(panel) => write!(f, "panel `{panel}`: {}: {}", self.rule, self.what),
            None => write!(f, "{}: {}", self.rule, self.what),
        }
    }
}

/// The rules that a board breaks.
#[must_use]
pub fn lint(board: &Value) -> Vec<Fault> {
    let mut faults = variables(board);
    for panel in list(board, "panels").iter().filter(|panel| panel["type"] != "row") {
        let title = text(panel, "title");
        let fault = |(rule, what)| Fault { panel: Some(title.to_owned()), rule, what };
        faults.extend(of_panel(panel).into_iter().map(fault));
        for target in list(panel, "targets") {
            faults.extend(of_query(text(target, "expr")).into_iter().map(fault));
        }
    }
    faults
}

type Broken = (&'static str, String);

fn variables(board: &Value) -> Vec<Fault> {
    let variables = list(&board["templating"], "list");
    let find = |name: &str| variables.iter().find(|variable| text(variable, "name") == name);
    let mut faults = Vec::new();
    let mut fault = |rule, what: &str| faults.push(Fault { panel: None, rule, what: what.to_owned() });
    let source = find("datasource");
    if !source.is_some_and(|one| {
        one["type"] == "datasource" && one["query"] == "prometheus" && one["label"] == "Data source"
    }) {
        fault(
            "template-datasource-rule",
            "no variable `datasource` of the kind `prometheus`, labelled `Data source`",
        );
    }
    for (name, rule) in [("job", "template-job-rule"), ("instance", "template-instance-rule")] {
        let sound = find(name).is_some_and(|one| {
            one["type"] == "query"
                && uses_variable(&one["datasource"])
                && one["multi"] == true
                && one["allValue"] == ".+"
        });
        if !sound {
            fault(
                rule,
                &format!(
                    "no variable `{name}` that asks the data source, allows several, and is `.+` for all"
                ),
            );
        }
    }
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let query = text(variable, "query");
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let metric = inner.and_then(|inner| inner.rsplit_once(',')).map(|(metric, _)| metric);
        if !metric.is_some_and(|metric| selectors(metric).is_ok_and(|found| found.len() == 1)) {
            fault("template-label-promql-rule", &format!("`{query}` is no label_values(metric, label)"));
        }
    }
    faults
}

fn of_panel(panel: &Value) -> Vec<Broken> {
    let mut broken = Vec::new();
    let targets = list(panel, "targets");
    if !uses_variable(&panel["datasource"])
        || !targets.iter().all(|target| uses_variable(&target["datasource"]))
    {
        broken.push(("panel-datasource-rule", "does not ask `${datasource}`".to_owned()));
    }
    if text(panel, "title").is_empty() || text(panel, "description").is_empty() {
        broken.push(("panel-title-description-rule", "has no title or no description".to_owned()));
    }
    let unit = text(&panel["fieldConfig"]["defaults"], "unit");
    if !UNITS.contains(&unit) {
        broken.push(("panel-units-rule", format!("`{unit}` is no unit")));
    }
    if targets.is_empty() {
        broken.push(("target-promql-rule", "asks nothing".to_owned()));
    }
    broken
}

fn of_query(query: &str) -> Vec<Broken> {
    let found = match selectors(query) {
        Ok(found) if !found.is_empty() => found,
        Ok(_) => return vec![("target-promql-rule", format!("`{query}` picks no series"))],
        Err(what) => return vec![("target-promql-rule", format!("{what}: `{query}`"))],
    };
    let mut broken = Vec::new();
    for selector in found {
        for (name, rule) in [("job", "target-job-rule"), ("instance", "target-instance-rule")] {
            if !selector.matchers.contains(&format!("{name}=~\"${name}\"")) {
                broken.push((rule, format!("`{}` is not picked by {name}=~\"${name}\"", selector.name)));
            }
        }
        let rate =
            selector.function.as_deref().is_some_and(|function| function == "rate" || function == "irate");
        if rate && selector.range.as_deref() != Some("$__rate_interval") {
            let range = selector.range.unwrap_or_default();
            broken.push((
                "target-rate-interval-rule",
                format!("the rate of `{}` is over `{range}`", selector.name),
            ));
        }
    }
    broken
}

fn uses_variable(source: &Value) -> bool {
    matches!(text(source, "uid"), "$datasource" | "${datasource}")
}

fn list<'v>(of: &'v Value, name: &str) -> &'v [Value] {
    of[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(of: &'v Value, name: &str) -> &'v str {
    of[name].as_str().unwrap_or_default()
}
