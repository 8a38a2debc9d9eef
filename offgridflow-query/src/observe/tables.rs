//! Which tables a statement changes.

use crate::observe::fingerprint::normalize;

/// The tables that a statement writes to, each once, as they are written in it: with their schema where it is given, quoted where they are,
/// else in lower case. Empty for a statement that only reads. For caches that are invalidated by table. TRUNCATE, COPY … FROM, SELECT … INTO and
/// changes of the schema (ALTER, DROP, REFRESH) count as writes.
///
/// It is what the text says: triggers, foreign keys that cascade and functions may write elsewhere.
///
/// ```
/// use offgridflow_query::write_set;
/// assert_eq!(write_set("INSERT INTO Readings (id) VALUES (1)"), ["readings"]);
/// assert_eq!(write_set("WITH gone AS (DELETE FROM a.b RETURNING id) UPDATE \"C d\" SET n = 0 FROM gone"), ["a.b", "\"C d\""]);
/// assert!(write_set("SELECT 1 FROM readings FOR UPDATE").is_empty());
/// ```
#[must_use]
pub fn write_set(sql: &str) -> Vec<String> {
    let text = normalize(sql);
    let words = words(&text);
    let mut tables: Vec<String> = Vec::new();
    for at in 0..words.len() {
        let Some(mut first) = target(&words, at) else { continue };
        // TRUNCATE and DROP name several.
        loop {
            let (table, len) = qualified(&words[first..]);
            if !table.is_empty() && !tables.contains(&table) {
                tables.push(table);
            }
            let lists = matches!(words[at], "truncate" | "drop");
            if !lists || len == 0 || words.get(first + len) != Some(&",") {
                break;
            }
            first += len + 1;
        }
    }
    tables
}

/// Where the name of the table begins that the word at `at` announces.
fn target(words: &[&str], at: usize) -> Option<usize> {
    let word = |n: usize| words.get(at + n).copied().unwrap_or_default();
    let behind = match (word(0), word(1)) {
        ("insert" | "replace" | "merge", "into") | ("delete", "from") => 2,
        ("insert", "or") => 4, // INSERT OR IGNORE INTO
        ("truncate", "table") => 2,
        ("truncate", _) => 1,
        // At the head of a statement; not ON CONFLICT DO UPDATE, FOR UPDATE, WHEN MATCHED THEN UPDATE, or a column called so.
        ("update", _) if at == 0 || matches!(words[at - 1], "(" | ")" | ";" | "analyze" | "verbose") => {
            match word(1) {
                "or" => 3, // UPDATE OR IGNORE t
                _ => 1,
            }
        }
        ("copy", _)
            if at == 0 && words.iter().find(|word| matches!(**word, "from" | "to")) == Some(&"from") =>
        {
            1
        }
        ("into", next)
            if at > 0
                && !matches!(
                    words[at - 1],
                    "insert" | "replace" | "merge" | "ignore" | "rollback" | "abort" | "fail"
                ) =>
        {
            match next {
                "temp" | "temporary" | "unlogged" | "table" => 2,
                _ => 1,
            }
        }
        ("drop" | "alter", "table") if at == 0 => 2,
        ("refresh", "materialized") if at == 0 => 3 + usize::from(word(3) == "concurrently"),
        _ => return None,
    };
    let behind = behind + usize::from(word(behind) == "only");
    let behind = behind + if word(behind) == "if" { 2 + usize::from(word(behind + 1) == "not") } else { 0 };
    (!word(behind).is_empty()).then_some(at + behind)
}

/// `a.b`, of the words `a`, `.` and `b`, and how many words that are.
fn qualified(words: &[&str]) -> (String, usize) {
    let is_name = |word: &str| word.starts_with(['"', '`', '[']) || word.starts_with(is_of_name);
    let (mut name, mut at) = (String::new(), 0);
    while let Some(word) = words.get(at).filter(|word| is_name(word)) {
        name.push_str(word);
        at += 1;
        // U&"a name"
        if *word == "u"
            && words.get(at) == Some(&"&")
            && words.get(at + 1).is_some_and(|next| next.starts_with('"'))
        {
            name.push('&');
            name.push_str(words[at + 1]);
            at += 2;
        }
        match words.get(at) {
            Some(&".") => {
                name.push('.');
                at += 1;
            }
            _ => return (name, at),
        }
    }
    (String::new(), 0)
}

/// As the lexer sees it, and both databases: every letter beyond ASCII, whatever Unicode calls it.
fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii()
}

/// Words, quoted names and signs of a normal form.
fn words(text: &str) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::new(), text.trim_ascii_start());
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' | '`' => quoted(rest, first),
            '[' => quoted(rest, ']'),
            _ if is_of_name(first) => {
                rest.find(|other: char| !(is_of_name(other) || other == '$')).unwrap_or(rest.len())
            }
            _ => first.len_utf8(),
        };
        words.push(&rest[..end]);
        rest = rest[end..].trim_ascii_start();
    }
    words
}

/// Bytes of a quoted name, a doubled quote inside included.
fn quoted(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(next) = text[at..].find(quote) {
        at += next + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn written_tables_are_named_and_read_ones_are_not() {
        let cases: [(&str, &[&str]); 28] = [
            ("INSERT INTO nai\u{308}ve VALUES (1)", &["nai\u{308}ve"]),
            ("DELETE FROM \u{1f600}\u{fe0f}.\u{a0}x", &["\u{1f600}\u{fe0f}.\u{a0}x"]),
            ("EXPLAIN ANALYZE UPDATE a SET n = 1", &["a"]),
            ("EXPLAIN (ANALYZE, BUFFERS) UPDATE a SET n = 1", &["a"]),
            ("TRUNCATE a, s.b", &["a", "s.b"]),
            ("COPY a (id) FROM STDIN", &["a"]),
            ("COPY a TO STDOUT", &[]),
            ("SELECT * INTO TEMP a FROM b", &["a"]),
            ("DROP TABLE IF EXISTS a, b", &["a", "b"]),
            ("ALTER TABLE a ADD COLUMN n INT", &["a"]),
            ("REFRESH MATERIALIZED VIEW CONCURRENTLY a", &["a"]),
            ("INSERT INTO [a b] VALUES (1)", &["[a b]"]),
            ("UPDATE U&\"d\" SET n = 1", &["u&\"d\""]),
            ("SELECT update FROM t", &[]),
            ("SELECT * FROM a JOIN b ON a.id = b.id", &[]),
            ("SELECT id FROM jobs FOR UPDATE SKIP LOCKED", &[]),
            ("SELECT id FROM jobs FOR NO KEY UPDATE", &[]),
            ("insert into a values (1), (2)", &["a"]),
            ("INSERT INTO a SELECT * FROM b ON CONFLICT (id) DO UPDATE SET n = excluded.n", &["a"]),
            ("INSERT OR REPLACE INTO a VALUES (1)", &["a"]),
            ("REPLACE INTO a VALUES (1)", &["a"]),
            ("UPDATE ONLY a SET n = 1", &["a"]),
            ("UPDATE OR IGNORE a SET n = 1", &["a"]),
            ("DELETE FROM ONLY s.a AS x USING b WHERE x.id = b.id", &["s.a"]),
            ("MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN UPDATE SET n = 1", &["a"]),
            ("TRUNCATE TABLE a", &["a"]),
            (
                "WITH x AS (INSERT INTO a VALUES (1) RETURNING id), y AS (DELETE FROM b RETURNING id) SELECT 1",
                &["a", "b"],
            ),
            ("UPDATE `My \"table\"` SET n = 'insert into secret'", &["`My \"table\"`"]),
        ];
        for (sql, tables) in cases {
            assert_eq!(write_set(sql), tables, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_write_set(sql in "(insert into|update|delete from|\"|`|'|[a-zäß.]| ){0,12}") {
            let _ = write_set(&sql);
        }
    }
}
