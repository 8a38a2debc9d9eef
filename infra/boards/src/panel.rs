//! One panel: what it shows, in which unit, and by which queries.

use serde::Serialize;

/// What the panels ask: the board's variable.
pub(crate) const DATASOURCE: Source = Source { kind: "prometheus", uid: "${datasource}" };

/// What every series is picked by; `$sel` in a query stands for it.
const SELECTED: &str = r#"job=~"$job", instance=~"$instance""#;

/// A panel of a board.
#[derive(Debug)]
pub struct Panel {
    kind: Kind,
    /// What stands above it.
    pub title: &'static str,
    unit: &'static str,
    description: &'static str,
    queries: Vec<Query>,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lines,
    Stat,
    Heatmap,
}

#[derive(Debug)]
struct Query {
    expr: String,
    legend: &'static str,
}

impl Panel {
    fn new(kind: Kind, title: &'static str, unit: &'static str, description: &'static str) -> Self {
        let (width, height) = if kind == Kind::Stat { (4, 4) } else { (8, 8) };
        Self { kind, title, unit, description, queries: Vec::new(), width, height }
    }

    /// Figures over time.
    #[must_use]
    pub fn lines(title: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self::new(Kind::Lines, title, unit, description)
    }

    /// One figure, the newest.
    #[must_use]
    pub fn stat(title: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self::new(Kind::Stat, title, unit, description)
    }

    /// A histogram over time; its query is by `le`.
    #[must_use]
    pub fn heatmap(title: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self::new(Kind::Heatmap, title, unit, description)
    }

    /// A query, in which `$sel` picks the chosen jobs and instances.
    #[must_use]
    pub fn query(mut self, expr: &str, legend: &'static str) -> Self {
        self.queries.push(Query { expr: expr.replace("$sel", SELECTED), legend });
        self
    }

    /// A quantile of a histogram's `_bucket`, for each of `by`.
    #[must_use]
    pub fn quantile(self, q: &str, bucket: &str, by: &str, legend: &'static str) -> Self {
        let by = if by.is_empty() { "le".to_owned() } else { format!("le, {by}") };
        self.query(
            &format!("histogram_quantile({q}, sum by ({by}) (rate({bucket}[$__rate_interval])))"),
            legend,
        )
    }

    /// As wide as half the board.
    #[must_use]
    pub const fn wide(mut self) -> Self {
        self.width = 12;
        self
    }

    /// What it asks, as it stands in the board.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.queries.iter().map(|query| query.expr.as_str())
    }

    pub(crate) fn to_json(&self, id: u32, (x, y): (u32, u32)) -> Json {
        Json {
            id,
            kind: match self.kind {
                Kind::Lines => "timeseries",
                Kind::Stat => "stat",
                Kind::Heatmap => "heatmap",
            },
            title: self.title,
            description: Some(self.description),
            datasource: Some(DATASOURCE),
            grid_pos: Place { h: self.height, w: self.width, x, y },
            field_config: Some(Fields { defaults: Defaults { unit: self.unit }, overrides: [] }),
            options: Some(self.options()),
            targets: Some(self.targets()),
            collapsed: None,
        }
    }

    /// Each kind has options of its own.
    fn options(&self) -> Options {
        match self.kind {
            Kind::Lines => Options::Lines {
                legend: Legend { display_mode: "list", placement: "bottom", show_legend: true },
                tooltip: Tooltip { mode: "multi", sort: "desc" },
            },
            Kind::Stat => Options::Stat { reduce_options: Reduce { calcs: ["lastNotNull"] } },
            Kind::Heatmap => Options::Heatmap {
                calculate: false,
                legend: Shown { show: true },
                y_axis: Axis { unit: self.unit },
            },
        }
    }

    fn targets(&self) -> Vec<Target> {
        let format = if self.kind == Kind::Heatmap { "heatmap" } else { "time_series" };
        let target = |(query, letter): (&Query, char)| Target {
            datasource: DATASOURCE,
            editor_mode: "code",
            expr: query.expr.clone(),
            format,
            legend_format: query.legend,
            range: self.kind != Kind::Stat,
            instant: self.kind == Kind::Stat,
            ref_id: letter.to_string(),
        };
        self.queries.iter().zip('A'..='Z').map(target).collect()
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Source {
    #[serde(rename = "type")]
    kind: &'static str,
    uid: &'static str,
}

/// A panel, or the title of a row, in a board's file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Json {
    id: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datasource: Option<Source>,
    grid_pos: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    field_config: Option<Fields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Options>,
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<Vec<Target>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collapsed: Option<bool>,
}

impl Json {
    pub(crate) fn row(id: u32, title: &'static str, y: u32) -> Self {
        let grid_pos = Place { h: 1, w: 24, x: 0, y };
        Self {
            id,
            kind: "row",
            title,
            description: None,
            datasource: None,
            grid_pos,
            field_config: None,
            options: None,
            targets: None,
            collapsed: Some(false),
        }
    }
}

#[derive(Debug, Serialize)]
struct Place {
    h: u32,
    w: u32,
    x: u32,
    y: u32,
}

#[derive(Debug, Serialize)]
struct Fields {
    defaults: Defaults,
    overrides: [(); 0],
}

#[derive(Debug, Serialize)]
struct Defaults {
    unit: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Options {
    Lines { legend: Legend, tooltip: Tooltip },
    Stat { reduce_options: Reduce },
    Heatmap { calculate: bool, legend: Shown, y_axis: Axis },
}

#[derive(Debug, Serialize)]
struct Shown {
    show: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Legend {
    display_mode: &'static str,
    placement: &'static str,
    show_legend: bool,
}

#[derive(Debug, Serialize)]
struct Tooltip {
    mode: &'static str,
    sort: &'static str,
}

#[derive(Debug, Serialize)]
struct Reduce {
    calcs: [&'static str; 1],
}

#[derive(Debug, Serialize)]
struct Axis {
    unit: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    datasource: Source,
    editor_mode: &'static str,
    expr: String,
    format: &'static str,
    legend_format: &'static str,
    range: bool,
    instant: bool,
    ref_id: String,
}
