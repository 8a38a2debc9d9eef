//! SQLite's `EXPLAIN QUERY PLAN`. Its words are not promised to stay as they are, so a shape holds for one version of SQLite.

use super::{Plan, PlanNode};

/// One row of the answer: number, number of the step above, words.
pub(crate) type Line = (i64, i64, String);

/// Makes a tree of the rows; those without a step above are below a step called `QUERY PLAN`. Each row has one place.
pub(crate) fn parse(lines: &[Line]) -> Plan {
    let children = children_of(0, &mut lines.iter().collect());
    Plan::new(PlanNode { operation: "QUERY PLAN".into(), children, ..PlanNode::default() })
}

fn children_of(above: i64, left: &mut Vec<&Line>) -> Vec<PlanNode> {
    let here: Vec<&Line> = left.extract_if(.., |(_, parent, _)| *parent == above).collect();
    here.into_iter()
        .map(|(id, _, detail)| PlanNode { children: children_of(*id, left), ..step(detail) })
        .collect()
}

/// `SEARCH t USING COVERING INDEX i (a=? AND b>?)` and its like; whatever else it says is the operation.
fn step(detail: &str) -> PlanNode {
    let Some((operation, rest)) =
        detail.split_once(' ').filter(|(word, _)| matches!(*word, "SCAN" | "SEARCH"))
    else {
        return PlanNode { operation: detail.to_owned(), ..PlanNode::default() };
    };
    let rest = rest.strip_prefix("TABLE ").unwrap_or(rest); // before 3.36
    let (relation, how) = match rest.split_once(" USING ") {
        Some((relation, how)) => (relation, Some(how)),
        None => (rest, None),
    };
    let (how, condition) = match how.map(|how| how.split_once(" (").unwrap_or((how, ""))) {
        Some((how, condition)) => (Some(how), condition.trim_end_matches(')')),
        None => (None, ""),
    };
    let index = how.and_then(|how| how.split_once("INDEX ")).map(|(_, name)| name.to_owned());
    let kind = how
        .map(|how| how.split_once("INDEX ").map_or(how, |(kind, _)| kind).trim_end())
        .filter(|kind| !kind.is_empty());
    PlanNode {
        operation: kind.map_or_else(|| operation.to_owned(), |kind| format!("{operation} ({kind})")),
        relation: Some(relation.to_owned()),
        index,
        conditions: if condition.is_empty() { Vec::new() } else { vec![("by".into(), condition.to_owned())] },
        ..PlanNode::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan(details: &[(i64, i64, &str)]) -> Plan {
        parse(
            &details
                .iter()
                .map(|(id, above, detail)| (*id, *above, (*detail).to_owned()))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn scans_and_searches_are_read() {
        let cases = [
            ("SCAN t", "SCAN on t"),
            ("SCAN TABLE t", "SCAN on t"),
            ("SCAN t USING COVERING INDEX i", "SCAN (COVERING) on t using i"),
            ("SEARCH t USING INDEX i (a=? AND b>?)", "SEARCH on t using i; by: a=? AND b>?"),
            (
                "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH (INTEGER PRIMARY KEY) on t; by: rowid=?",
            ),
            (
                "SEARCH u USING AUTOMATIC COVERING INDEX (x=?)",
                "SEARCH (AUTOMATIC COVERING INDEX) on u; by: x=?",
            ),
            ("USE TEMP B-TREE FOR ORDER BY", "USE TEMP B-TREE FOR ORDER BY"),
        ];
        for (detail, shown) in cases {
            assert_eq!(step(detail).to_string(), shown);
        }
    }

    #[test]
    fn rows_become_a_tree_and_an_index_changes_its_shape() {
        let scan =
            plan(&[(2, 0, "COMPOUND QUERY"), (3, 2, "SCAN t"), (9, 2, "UNION ALL"), (12, 9, "SCAN u")]);
        assert_eq!(
            scan.to_string(),
            "QUERY PLAN\n  COMPOUND QUERY\n    SCAN on t\n    UNION ALL\n      SCAN on u"
        );
        let search = plan(&[
            (2, 0, "COMPOUND QUERY"),
            (3, 2, "SEARCH t USING INDEX i (a=?)"),
            (9, 2, "UNION ALL"),
            (12, 9, "SCAN u"),
        ]);
        assert_ne!(scan.shape, search.shape);
        assert!(search.uses("i"));
    }

    proptest! {
        #[test]
        fn any_answer_gives_a_tree(lines in prop::collection::vec((0i64..6, 0i64..6, "(SCAN|SEARCH|X)( TABLE)? ?[a-z ()]{0,12}( USING )?[A-Z ]{0,8}( INDEX )?[a-z(=?)]{0,6}"), 0..12)) {
            let plan = parse(&lines);
            prop_assert!(plan.nodes().count() <= lines.len() + 1);
        }
    }
}
