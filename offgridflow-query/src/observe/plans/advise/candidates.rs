//! Indices that a plan seems to lack. Generous: each is tried before it is advised.

use crate::observe::plans::plan::Plan;
#[cfg(feature = "postgres")]
use crate::observe::plans::plan::PlanNode;

/// An index that might help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) schema: Option<String>,
    pub(super) table: String,
    pub(super) keys: Vec<Key>,
}

impl Candidate {
    #[cfg(feature = "postgres")]
    pub(super) fn has_function(&self) -> bool {
        self.keys.iter().any(|key| key.function.is_some())
    }
}

/// What an index orders by: a column, or what a function makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) column: String,
    pub(super) function: Option<&'static str>,
    pub(super) order: Order,
}

/// In which order an index has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// That of the column's collation.
    Its,
    /// One in which all that begins alike is together for LIKE.
    Like,
}

/// Functions whose answer depends on nothing but their argument, in each database that has them.
const FUNCTIONS: [&str; 5] = ["lower", "upper", "length", "abs", "md5"];

impl Key {
    fn plain(column: String) -> Self {
        Self { column, function: None, order: Order::Its }
    }

    /// From `t.name`, `(t.name)::text` or `lower(t.name)`.
    fn of(word: &str) -> Option<Self> {
        let call = word.trim_start_matches('(').split_once('(');
        let called = call
            .and_then(|(name, argument)| Some((FUNCTIONS.into_iter().find(|one| *one == name)?, argument)));
        match called {
            Some((function, argument)) => {
                Some(Self { function: Some(function), ..Self::plain(column(argument)?) })
            }
            None => Some(Self::plain(column(word)?)),
        }
    }

    pub(super) fn is_plain(&self) -> bool {
        self.function.is_none() && self.order == Order::Its
    }

    /// As people write it: `name`, `lower(name)`.
    pub(super) fn shown(&self) -> String {
        match self.function {
            Some(function) => format!("{function}({})", self.column),
            None => self.column.clone(),
        }
    }

    /// As SQL, without its order.
    pub(super) fn sql(&self) -> Result<String, crate::ConfigError> {
        let column = crate::Ident::new(&self.column)?;
        Ok(match self.function {
            Some(function) => format!("{function}({column})"),
            None => column.to_string(),
        })
    }
}

/// What is compared with a value, as `(equal, by range)`, in the order in which it comes.
type Compared = (Vec<Key>, Vec<Key>);

/// From a plan of PostgreSQL, whose scans say what they filter by.
#[cfg(feature = "postgres")]
pub(super) fn of_plan(plan: &Plan) -> Vec<Candidate> {
    let mut found = Vec::new();
    below(&plan.root, &[], &mut found);
    found
}

/// `sorted`: the keys that the rows are wanted in, by a sort above with nothing in between that would lose the order.
#[cfg(feature = "postgres")]
fn below(node: &PlanNode, sorted: &[Key], found: &mut Vec<Candidate>) {
    let keys: Vec<Key> = match node.condition("Sort Key") {
        Some(keys) => keys.split(", ").filter_map(|key| Key::of(key.split(' ').next()?)).collect(),
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
                let keys = vec![Key::plain(column)];
                let candidate = Candidate { schema: child.schema.clone(), table: table.clone(), keys };
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
    let sorted: Vec<Key> = order
        .split(" limit ")
        .next()
        .unwrap_or("")
        .split(", ")
        .filter_map(|key| Key::of(key.split(' ').next()?))
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
    sorted: &[Key],
    found: &mut Vec<Candidate>,
) {
    let candidate =
        |keys: Vec<Key>| Candidate { schema: schema.map(str::to_owned), table: table.to_owned(), keys };
    let with = |more: &[Key]| {
        let mut keys = equal.clone();
        keys.extend(more.iter().filter(|key| !equal.contains(key)).cloned());
        keys
    };
    let mut offers = vec![with(&range[..range.len().min(1)]), with(sorted), equal.clone()];
    offers.retain(|keys| !keys.is_empty());
    for keys in offers {
        if !found.contains(&candidate(keys.clone())) {
            found.push(candidate(keys));
        }
    }
}

/// `(site = ?) and (t.kwh > ?)`: what is compared with a value. Where anything is joined by OR, nothing is sure.
fn comparisons(condition: &str) -> Compared {
    let (mut equal, mut range) = (Vec::new(), Vec::new());
    let words = words(condition);
    if words.contains(&"or") {
        return (equal, range);
    }
    for pair in words.windows(3) {
        let by_value = pair[2].contains('?') || pair[1] == "=" && pair[2].starts_with("any");
        let count = |letter| pair[0].matches(letter).count();
        let is_name = pair[0] != "not" && count(')') <= count('('); // `a not like ?`; `f(a, b) = ?`
        let (Some(key), true) = (Key::of(pair[0]), by_value && is_name) else { continue };
        let (list, key) = match pair[1] {
            "=" | "in" => (&mut equal, key),
            "<" | ">" | "<=" | ">=" | "between" | "glob" => (&mut range, key),
            "like" | "~~" => (&mut range, Key { order: Order::Like, ..key }),
            _ => continue,
        };
        if !list.contains(&key) {
            list.push(key);
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

    /// A key by its name; `~` before it for the order of LIKE.
    fn key(name: &str) -> Key {
        let (order, name) = match name.strip_prefix('~') {
            Some(name) => (Order::Like, name),
            None => (Order::Its, name),
        };
        let function = FUNCTIONS.into_iter().find(|function| name.starts_with(&format!("{function}(")));
        let column = function.map_or(name, |function| &name[function.len() + 1..name.len() - 1]);
        Key { column: column.to_owned(), function, order }
    }

    fn list(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| key(name)).collect()
    }

    #[test]
    fn columns_that_are_compared_with_values_are_found() {
        let cases: [(&str, &[&str], &[&str]); 16] = [
            ("(site = ?)", &["site"], &[]),
            ("((site = ?) and (kwh > ?))", &["site"], &["kwh"]),
            ("((r.site = ?) and (r.at >= ?) and (r.at < ?))", &["site"], &["at"]),
            ("((status)::text = ?::text)", &["status"], &[]),
            ("(a = ?) or (b = ?)", &[], &[]),
            ("(a = b)", &[], &[]),
            ("(lower(name) = ?)", &["lower(name)"], &[]),
            ("(lower((t.name)::text) = ?::text)", &["lower(name)"], &[]),
            ("((t.name)::text ~~ ?::text)", &[], &["~name"]),
            ("(upper(t.\"a b\") ~~ ?) and (t.at > ?)", &[], &["~upper(a b)", "at"]),
            ("name like ? and n glob ? and o not like ? and p !~~ ?", &[], &["~name", "n"]),
            ("(\"lo(x\" = ?)", &["lo(x"], &[]),
            ("(random(name) = ?) and (lower(a || b) = ?) and (lower(btrim(name)) = ?)", &[], &[]),
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
