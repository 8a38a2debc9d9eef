//! What was probably meant by a name that is not known.

/// The fields of a scenario, by their table; the first are the file's own.
const FIELDS: [(&str, &[&str]); 13] = [
    (
        "",
        &[
            "thresholds",
            "abort_if",
            "seed",
            "target",
            "load",
            "feed",
            "route",
            "flow",
            "statement",
            "transaction",
            "command",
        ],
    ),
    (
        "target",
        &[
            "url",
            "url_env",
            "pool",
            "prepare",
            "keys",
            "zipf",
            "prefix",
            "pipeline",
            "fill",
            "http2",
            "ca_file",
            "insecure",
            "cookies",
            "traceparent",
            "auth",
            "headers",
        ],
    ),
    (
        "load",
        &[
            "duration",
            "concurrent_workers",
            "requests_per_second",
            "ramp_up",
            "ramp_down",
            "think_time",
            "timeout",
            "deadline",
            "overload",
            "warm_up",
            "failure_threshold",
            "expected_latency",
            "stages",
            "replay",
            "arrivals",
            "shape",
            "bursts",
            "iterations",
            "saturate",
            "on_cap",
            "shards",
            "warm_sessions",
            "spin",
            "slack",
        ],
    ),
    ("load.replay", &["file", "format", "speed", "time", "host", "hosts", "client", "visits", "max_refused"]),
    ("load.bursts", &["times", "share", "length"]),
    ("load.stages", &["over", "to", "sine", "steps"]),
    ("feed", &["mode"]),
    ("route", &["path", "method", "name", "weight", "body", "body_file", "expect", "check"]),
    ("statement", &["sql", "values"]),
    ("transaction", &["statement"]),
    ("command", &["label", "value_bytes", "arguments", "hits"]),
    ("flow", &["step"]),
    ("flow.step", &["extract", "pause", "retry_every"]),
];

/// What the flags and other tools call what a scenario calls otherwise.
const SYNONYMS: [(&str, &str); 14] = [
    ("rate", "requests_per_second"),
    ("rps", "requests_per_second"),
    ("qps", "requests_per_second"),
    ("for", "duration"),
    ("workers", "concurrent_workers"),
    ("connections", "concurrent_workers"),
    ("vus", "concurrent_workers"),
    ("gamma", "shape"),
    ("queue", "on_cap"),
    ("shed", "overload"),
    ("slo", "thresholds"),
    ("base", "url"),
    ("status", "expect"),
    ("checks", "check"),
];

/// Advice about a field that its table does not have: a name much like it that the table has, or the table that has it.
pub(super) fn instead_of(field: &str, known: &[&str]) -> Option<String> {
    if let Some(meant) = nearest(field, known) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let has = |name: &str| FIELDS.iter().find(|(_, fields)| fields.contains(&name)).map(|(table, _)| *table);
    let meant = SYNONYMS.iter().find(|(other, _)| *other == field).map_or(field, |(_, name)| name);
    let table = has(meant)?;
    Some(match table {
        "" => format!("`{meant}` belongs at the beginning of the file, before the first [table]"),
        "route" | "flow" | "flow.step" | "statement" | "transaction" | "command" => {
            format!("`{meant}` belongs into a [[{table}]]")
        }
        table => format!("`{meant}` belongs into [{table}]"),
    })
}

/// The one of `known` that was probably meant: another name of it, or nearly the same letters.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == name).map(|(_, meant)| *meant);
    if let Some(meant) = known.iter().find(|known| Some(**known) == synonym) {
        return Some(meant);
    }
    let most = (name.chars().count() / 4).max(1);
    let distances = known.iter().map(|known| (distance(name, known), *known));
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, known)| known)
}

/// How many letters have to be put in, left out, exchanged or swapped with their neighbour (Damerau 1964, each place once).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<_>>()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let exchanged = rows[i][j] + usize::from(a != b);
            let mut least = exchanged.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && one[i - 1] == *b && other[j - 1] == *a {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_put_in_left_out_exchanged_and_swapped_are_one_fault_each() {
        for (one, other, expected) in [
            ("weight", "weight", 0),
            ("weigth", "weight", 1),
            ("wight", "weight", 1),
            ("path", "rate", 2),
            ("", "abc", 3),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn a_name_is_taken_for_what_it_resembles_and_for_nothing_far_off() {
        let known = ["duration", "timeout", "requests_per_second"];
        for (name, meant) in [
            ("durration", Some("duration")),
            ("timout", Some("timeout")),
            ("requests_per_sec", Some("requests_per_second")),
            ("rate", Some("requests_per_second")),
            ("colour", None),
        ] {
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
        let advice = |field| instead_of(field, &["url", "headers"]).unwrap_or_default();
        assert_eq!(advice("timeout"), "`timeout` belongs into [load]");
        assert_eq!(advice("rate"), "`requests_per_second` belongs into [load]");
        assert_eq!(advice("weight"), "`weight` belongs into a [[route]]");
        assert!(advice("seed").contains("before the first [table]"));
    }

    /// What the reader of a scenario knows is what it is said to know.
    #[test]
    fn every_field_is_listed_under_its_table() {
        for (table, fields) in FIELDS {
            let beginning = match table {
                "" => "zzz = 1\n".to_owned(),
                "route" => "[[route]]\nzzz = 1\n".to_owned(),
                "flow" | "statement" | "transaction" | "command" => format!("[[{table}]]\nzzz = 1\n"),
                "flow.step" => "[[flow]]\nname = \"a\"\n[[flow.step]]\nzzz = 1\n".to_owned(),
                "load.stages" => "[load]\nstages = [{ zzz = 1 }]\n".to_owned(),
                table => format!("[{table}]\nzzz = 1\n"),
            };
            let said = toml::from_str::<super::super::File>(&beginning).expect_err("zzz is no field");
            let known: Vec<_> = said.message().split('`').skip(3).step_by(2).collect();
            let missing: Vec<_> = fields.iter().filter(|field| !known.contains(field)).collect();
            assert!(!known.is_empty() && missing.is_empty(), "{table}: {missing:?} are not in {known:?}");
        }
    }
}
