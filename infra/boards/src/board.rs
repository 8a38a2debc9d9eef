//! A board as Grafana reads it from a file: `schemaVersion` 39, variables, rows, panels placed one after the other.

use serde::Serialize;

use crate::panel::{DATASOURCE, Json, Panel, Source};

/// Grafana's grid is this wide.
const WIDTH: u32 = 24;

/// A board with its rows.
#[derive(Debug)]
pub struct Board {
    /// The name of its file, without `.json`; also its uid.
    pub name: &'static str,
    title: &'static str,
    description: &'static str,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    title: &'static str,
    panels: Vec<Panel>,
}

impl Board {
    /// A board without rows.
    #[must_use]
    pub const fn new(name: &'static str, title: &'static str, description: &'static str) -> Self {
        Self { name, title, description, rows: Vec::new() }
    }

    /// A row below the others.
    #[must_use]
    pub fn row(mut self, title: &'static str, panels: impl Into<Vec<Panel>>) -> Self {
        self.rows.push(Row { title, panels: panels.into() });
        self
    }

    /// Every panel, in order.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }

    /// The board as Grafana's file provisioning wants it: the model itself, no wrapper.
    #[must_use]
    pub fn to_json(&self) -> String {
        let model = Model {
            title: self.title,
            description: self.description,
            uid: self.name,
            tags: ["offgridflow"],
            schema_version: 39,
            version: 1,
            editable: false,
            graph_tooltip: 1,
            refresh: "30s",
            time: Time { from: "now-1h", to: "now" },
            timezone: "browser",
            templating: Templating { list: variables() },
            panels: self.placed(),
        };
        serde_json::to_string_pretty(&model).unwrap_or_default() + "\n" // strings and numbers: nothing that could fail
    }

    /// Rows from the top down, panels from left to right.
    fn placed(&self) -> Vec<Json> {
        let (mut placed, mut y, mut id) = (Vec::new(), 0, 0);
        let mut next = || {
            id += 1;
            id
        };
        for row in &self.rows {
            placed.push(Json::row(next(), row.title, y));
            y += 1;
            let (mut x, mut tallest) = (0, 0);
            for panel in &row.panels {
                if x + panel.width > WIDTH {
                    (x, y, tallest) = (0, y + tallest, 0);
                }
                placed.push(panel.to_json(next(), (x, y)));
                (x, tallest) = (x + panel.width, tallest.max(panel.height));
            }
            y += tallest;
        }
        placed
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    title: &'static str,
    description: &'static str,
    uid: &'static str,
    tags: [&'static str; 1],
    schema_version: u32,
    version: u32,
    editable: bool,
    graph_tooltip: u32,
    refresh: &'static str,
    time: Time,
    timezone: &'static str,
    templating: Templating,
    panels: Vec<Json>,
}

#[derive(Serialize)]
struct Time {
    from: &'static str,
    to: &'static str,
}

#[derive(Serialize)]
struct Templating {
    list: [Variable; 3],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Variable {
    name: &'static str,
    label: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    query: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    datasource: Option<Source>,
    refresh: u32,
    include_all: bool,
    multi: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    all_value: Option<&'static str>,
    current: Current,
    sort: u32,
}

#[derive(Serialize)]
struct Current {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'static str>,
}

/// The source of the figures, and which jobs and instances to show; all of them at first.
fn variables() -> [Variable; 3] {
    let labels = |name, label, query| Variable {
        name,
        label,
        kind: "query",
        query,
        datasource: Some(DATASOURCE),
        refresh: 2, // when the time range changes
        include_all: true,
        multi: true,
        all_value: Some(".+"),
        current: Current { text: Some("All"), value: Some("$__all") },
        sort: 1,
    };
    let source = Variable {
        name: "datasource",
        label: "Data source",
        kind: "datasource",
        query: "prometheus",
        datasource: None,
        refresh: 1,
        include_all: false,
        multi: false,
        all_value: None,
        current: Current { text: None, value: None },
        sort: 0,
    };
    [
        source,
        labels("job", "Job", "label_values(up, job)"),
        labels("instance", "Instance", "label_values(up{job=~\"$job\"}, instance)"),
    ]
}
