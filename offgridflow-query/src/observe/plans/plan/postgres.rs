//! PostgreSQL's `EXPLAIN (FORMAT JSON)`.

use super::{Measured, Plan, PlanNode};
use crate::observe::fingerprint::normalize;
use serde::Deserialize;

#[derive(Deserialize)]
struct Explained {
    #[serde(rename = "Plan")]
    plan: Node,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "Node Type")]
    kind: String,
    #[serde(rename = "Join Type")]
    join: Option<String>,
    #[serde(rename = "Strategy")]
    strategy: Option<String>,
    #[serde(rename = "Operation")]
    operation: Option<String>,
    #[serde(rename = "Parent Relationship")]
    parent: Option<String>,
    #[serde(rename = "Subplan Name")]
    subplan: Option<String>,
    #[serde(rename = "Schema")]
    schema: Option<String>,
    #[serde(rename = "Relation Name")]
    relation: Option<String>,
    #[serde(rename = "CTE Name")]
    cte: Option<String>,
    #[serde(rename = "Function Name")]
    function: Option<String>,
    #[serde(rename = "Index Name")]
    index: Option<String>,
    #[serde(rename = "Filter")]
    filter: Option<String>,
    #[serde(rename = "Index Cond")]
    index_cond: Option<String>,
    #[serde(rename = "Hash Cond")]
    hash_cond: Option<String>,
    #[serde(rename = "Merge Cond")]
    merge_cond: Option<String>,
    #[serde(rename = "Join Filter")]
    join_filter: Option<String>,
    #[serde(rename = "Sort Key")]
    sort_key: Option<Vec<String>>,
    #[serde(rename = "Group Key")]
    group_key: Option<Vec<String>>,
    #[serde(rename = "Plan Rows")]
    rows: Option<f64>,
    #[serde(rename = "Total Cost")]
    cost: Option<f64>,
    #[serde(rename = "Actual Total Time")]
    actual_ms: Option<f64>, // a loop, as the rows
    #[serde(rename = "Actual Rows")]
    actual_rows: Option<f64>,
    #[serde(rename = "Actual Loops")]
    actual_loops: Option<f64>,
    #[serde(rename = "Shared Hit Blocks", default)]
    pages_hit: u64,
    #[serde(rename = "Shared Read Blocks", default)]
    pages_read: u64,
    #[serde(rename = "Plans", default)]
    children: Vec<Node>,
}

/// Reads what `EXPLAIN (FORMAT JSON)` answered; what is not known of a step is left out.
pub(crate) fn parse(json: &str) -> Result<Plan, serde_json::Error> {
    let [explained] = serde_json::from_str::<[Explained; 1]>(json)?;
    Ok(Plan::new(explained.plan.into_node()))
}

impl Node {
    /// `None` for what was not run, and for a step that this run did not come to.
    fn measured(&self) -> Option<Measured> {
        let loops = self.actual_loops.filter(|&loops| loops > 0.0)?;
        let ms = self.actual_ms.unwrap_or_default() * loops;
        let rows = self.actual_rows.unwrap_or_default() * loops;
        Some(Measured { ms, rows, loops, pages_hit: self.pages_hit, pages_read: self.pages_read })
    }

    fn into_node(self) -> PlanNode {
        let measured = self.measured();
        let texts = [
            ("Filter", self.filter),
            ("Index Cond", self.index_cond),
            ("Hash Cond", self.hash_cond),
            ("Merge Cond", self.merge_cond),
            ("Join Filter", self.join_filter),
            ("Sort Key", self.sort_key.map(|keys| keys.join(", "))),
            ("Group Key", self.group_key.map(|keys| keys.join(", "))),
        ];
        let known = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), normalize(&text?))));
        let words = [
            self.join.filter(|join| join != "Inner"),
            self.strategy.filter(|one| one != "Plain"),
            self.operation,
        ];
        let subplan = self.parent.filter(|parent| matches!(parent.as_str(), "SubPlan" | "InitPlan"));
        PlanNode {
            operation: operation(&self.kind, &words, subplan.and(self.subplan)),
            schema: self.schema,
            relation: self.relation.or(self.cte).or(self.function),
            index: self.index,
            conditions: known.collect(),
            rows: self.rows,
            cost: self.cost,
            measured,
            children: self.children.into_iter().map(Self::into_node).collect(),
        }
    }
}

fn operation(kind: &str, words: &[Option<String>], subplan: Option<String>) -> String {
    let words: Vec<&str> = words.iter().flatten().map(String::as_str).collect();
    let mut text = kind.to_owned();
    if !words.is_empty() {
        text.push_str(&format!(" ({})", words.join(", ")));
    }
    match subplan {
        Some(name) => format!("{name}: {text}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCAN: &str = r#"[{"Plan": {"Node Type": "Limit", "Total Cost": 9.5, "Plan Rows": 1, "Plans": [
        {"Node Type": "Sort", "Parent Relationship": "Outer", "Sort Key": ["t.at DESC"], "Plans": [
        {"Node Type": "Seq Scan", "Relation Name": "readings", "Alias": "t", "Filter": "(site = 42)", "Plan Rows": 3}]}]}}]"#;

    #[test]
    fn a_tree_is_read_without_its_values() {
        let plan = parse(SCAN).unwrap();
        let lines = ["Limit", "  Sort; Sort Key: t.at desc", "    Seq Scan on readings; Filter: (site = ?)"];
        assert_eq!(plan.to_string(), lines.join("\n"));
        assert_eq!((plan.root.cost, plan.nodes().last().unwrap().rows), (Some(9.5), Some(3.0)));
    }

    #[test]
    fn costs_and_conditions_do_not_change_the_shape_and_an_index_does() {
        let plan = parse(SCAN).unwrap();
        let same =
            parse(&SCAN.replace("42", "43").replace("9.5", "900.0").replace("(site", "(place")).unwrap();
        assert_eq!(plan.shape, same.shape);
        let indexed = SCAN.replace("Seq Scan\"", "Index Scan\", \"Index Name\": \"readings_site\"");
        let indexed = parse(&indexed).unwrap();
        assert_ne!(plan.shape, indexed.shape);
        assert!(indexed.uses("readings_site") && !plan.uses("readings_site"));
        let diff = indexed.diff(&plan).to_string();
        assert!(
            diff.contains("-     Index Scan on readings using readings_site")
                && diff.contains("+     Seq Scan on readings"),
            "{diff}"
        );
        assert!(diff.contains("  Limit") && plan.diff(&plan).is_empty());
    }

    #[test]
    fn what_was_measured_is_shown_and_changes_neither_shape_nor_lines() {
        let run = SCAN.replace(
            r#""Plan Rows": 3"#,
            r#""Plan Rows": 3, "Actual Total Time": 0.5, "Actual Rows": 2, "Actual Loops": 4, "Shared Hit Blocks": 7, "Shared Read Blocks": 1"#,
        );
        let (plan, run) = (parse(SCAN).unwrap(), parse(&run).unwrap());
        assert!(run.to_string().ends_with("[2.000 ms, 8 rows, 4 loops, 7 pages in memory, 1 read]"), "{run}");
        assert_eq!((plan.shape, plan.lines()), (run.shape, run.lines()));
        assert_eq!(run.root.measured, None, "a step that was not begun");
    }

    #[test]
    fn what_is_no_plan_is_an_error() {
        for text in ["", "[]", "{}", "[{}]", r#"[{"Plan": {}}]"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
