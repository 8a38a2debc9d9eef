//! Indices that a plan seems to lack. Generous: each is tried before it is advised.

use crate::observe::plans::plan::Plan;
#[cfg(feature = "postgres")]
use crate::observe::plans::plan::PlanNode;

/// An index that might help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) schema: Option<String>,
    pub(super) table: String,
    pub(super) columns: Vec<String>,
}

/// Columns that are compared with a value, as `(equal, by range)`, in the order in which they come.
type Compared = (Vec<String>, Vec<String>);

/// From a plan of PostgreSQL, whose scans say what they filter by.
#[cfg(feature = "postgres")]
pub(super) fn of_plan(plan: &Plan) -> Vec<Candidate> {
    let mut found = Vec::new();
    below(&plan.root, &[], &mut found);
    found
}

/// `sorted`: the keys that the rows are wanted in, by a sort above with nothing in between that would lose the order.
#[cfg(feature = "postgres")]
fn below(node: &PlanNode, sorted: &[String], found: &mut Vec<Candidate>) {
    let keys: Vec<String> = match node.condition("Sort Key") {
        Some(keys) => keys.split(", ").filter_map(|key| column(key.split(' ').next()?)).collect(),
        None if node.operation.starts_with("Limit") || node.operation.starts_with("Gather") => {
            sorted.to_vec()
        }
        None => Vec::new(),
    };
    if let (true, Some(table)) = (node.operation.contains("Seq Scan"), &node.relation) {
        let compared = node.condition("Filter").map(comparisons).unwrap_or_default();
        add(node.schema.as_deref(), table, compared, sorted, found);
    }
    for child in &node.children {
        below(child, &keys, found);
        // The inner side of a join that compares each outer row with every inner one.
        let joined = node.condition("Join Filter").or(node.condition("Hash Cond"));
        if let (Some(condition), true, Some(table)) =
            (joined, child.operation.contains("Seq Scan"), &child.relation)
        {
            let columns =
                condition.split([' ', '(', ')']).filter(|word| word.contains('.')).filter_map(column);
            for column in columns {
                let candidate =
                    Candidate { schema: child.schema.clone(), table: table.clone(), columns: vec![column] };
                if !found.contains(&candidate) {
                    found.push(candidate);
                }
            }
        }
    }
}

/// From the normal form of a statement and a plan of SQLite, which names the tables that it scans but not why.
#[cfg(feature = "sqlite")]
pub(super) fn of_text(plan: &Plan, text: &str) -> Vec<Candidate> {
    let scanned = plan.nodes().filter(|node| node.operation.starts_with("SCAN"));
    let tables: Vec<&str> = scanned.filter_map(|node| node.relation.as_deref()).collect();
    let conditions = text.split_once(" where ").map_or("", |(_, rest)| rest);
    let conditions =
        conditions.split(" group by ").next().and_then(|rest| rest.split(" order by ").next()).unwrap_or("");
    let order = text.rsplit_once(" order by ").map_or("", |(_, rest)| rest);
    let sorted: Vec<String> = order
        .split(" limit ")
        .next()
        .unwrap_or("")
        .split(", ")
        .filter_map(|key| column(key.split(' ').next()?))
        .collect();
    let mut found = Vec::new();
    for name in tables {
        let table = table_called(name, text);
        add(None, &table, comparisons(conditions), &sorted, &mut found);
    }
    found
}

/// What stands before `name` where it is an alias in `text`.
#[cfg(feature = "sqlite")]
fn table_called(name: &str, text: &str) -> String {
    let words: Vec<&str> = text.split([' ', ',', '(', ')']).filter(|word| !word.is_empty()).collect();
    let known =
        |word: &str| !matches!(word, "from" | "join" | "where" | "on" | "and" | "or" | "as" | "select");
    for pair in words.windows(3) {
        let introduced = matches!(pair[0], "from" | "join");
        if introduced && pair[2] == name && known(pair[1]) {
            return pair[1].to_owned();
        }
        if introduced
            && pair[2] == "as"
            && words.iter().skip_while(|word| **word != pair[1]).nth(2) == Some(&name)
        {
            return pair[1].to_owned();
        }
    }
    name.to_owned()
}

/// Equal ones first, then what the order wants, or one range.
fn add(
    schema: Option<&str>,
    table: &str,
    (equal, range): Compared,
    sorted: &[String],
    found: &mut Vec<Candidate>,
) {
    let candidate = |columns: Vec<String>| Candidate {
        schema: schema.map(str::to_owned),
        table: table.to_owned(),
        columns,
    };
    let with = |more: &[String]| {
        let mut columns = equal.clone();
        columns.extend(more.iter().filter(|column| !equal.contains(column)).cloned());
        columns
    };
    let mut offers = vec![with(&range[..range.len().min(1)]), with(sorted), equal.clone()];
    offers.retain(|columns| !columns.is_empty());
    for columns in offers {
        if !found.contains(&candidate(columns.clone())) {
            found.push(candidate(columns));
        }
    }
}

/// `(site = ?) and (t.kwh > ?)`: columns that are compared with a value. Where anything is joined by OR, nothing is sure.
fn comparisons(condition: &str) -> Compared {
    let (mut equal, mut range) = (Vec::new(), Vec::new());
    let words = words(condition);
    if words.contains(&"or") {
        return (equal, range);
    }
    for pair in words.windows(3) {
        let by_value = pair[2].contains('?') || pair[1] == "=" && pair[2].starts_with("any");
        let (Some(name), true) = (column(pair[0]), by_value) else { continue };
        let list = match pair[1] {
            "=" | "in" => &mut equal,
            "<" | ">" | "<=" | ">=" | "between" => &mut range,
            _ => continue,
        };
        if !list.contains(&name) {
            list.push(name);
        }
    }
    (equal, range)
}

/// Between blanks, but for those in a quoted name.
fn words(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let blank = |letter: char| {
        quoted ^= letter == '"';
        letter == ' ' && !quoted
    };
    text.split(blank).collect()
}

/// A column's name without what is around it: parentheses, a cast, its table.
fn column(word: &str) -> Option<String> {
    let word = word.trim_start_matches('(');
    let word = word.split("::").next()?.trim_end_matches(')');
    let name = word.rsplit('.').next()?;
    let plain = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit());
    let inner = |byte: char| byte.is_alphanumeric() || byte == '_';
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => Some(quoted.replace("\"\"", "\"")),
        None => (plain && name.chars().all(inner)).then(|| name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn columns_that_are_compared_with_values_are_found() {
        let cases: [(&str, &[&str], &[&str]); 10] = [
            ("(site = ?)", &["site"], &[]),
            ("((site = ?) and (kwh > ?))", &["site"], &["kwh"]),
            ("((r.site = ?) and (r.at >= ?) and (r.at < ?))", &["site"], &["at"]),
            ("((status)::text = ?::text)", &["status"], &[]),
            ("(a = ?) or (b = ?)", &[], &[]),
            ("(a = b)", &[], &[]),
            ("(lower(name) = ?)", &[], &[]),
            ("site = ? and \"At\" between ? and ?", &["site"], &["At"]),
            (
                "site in (?) and r.\"measured at\" > ? and \"a \"\"or\"\" b\" = ?",
                &["site", "a \"or\" b"],
                &["measured at"],
            ),
            ("\"true or false\" = ?", &["true or false"], &[]),
        ];
        for (condition, equal, range) in cases {
            assert_eq!(comparisons(condition), (list(equal), list(range)), "{condition}");
        }
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn an_alias_leads_to_its_table() {
        let text = "select a from readings as r join sites s on s.id = r.site where r.site = ?";
        assert_eq!(
            (table_called("r", text).as_str(), table_called("s", text).as_str()),
            ("readings", "sites")
        );
        assert_eq!(table_called("readings", "select a from readings where b = ?"), "readings");
    }
}
