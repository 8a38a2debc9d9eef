//! As much of PromQL as the rules need: which series a query picks, over which range, inside which function.

/// A series that a query picks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The metric's name.
    pub name: String,
    /// What stands between its braces.
    pub matchers: String,
    /// What stands between its brackets, for a range.
    pub range: Option<String>,
    /// The function or aggregation around it.
    pub function: Option<String>,
}

const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const WORDS: [&str; 8] = ["and", "or", "unless", "bool", "offset", "atan2", "Inf", "NaN"];

/// The series that a query picks, in order.
///
/// # Errors
/// What is not closed. Prometheus itself checks the rest.
pub fn selectors(query: &str) -> Result<Vec<Selector>, String> {
    let mut scan = Scan { rest: query, found: Vec::new(), around: Vec::new() };
    scan.run()?;
    Ok(scan.found)
}

struct Scan<'q> {
    rest: &'q str,
    found: Vec<Selector>,
    around: Vec<Option<String>>, // of each open parenthesis: the function before it
}

impl<'q> Scan<'q> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(next) = self.rest.chars().next() {
            match next {
                _ if is_name(next) && !next.is_ascii_digit() => self.word()?,
                '(' => {
                    self.around.push(None);
                    self.skip(1);
                }
                ')' => {
                    self.around.pop().ok_or("a parenthesis too many is closed")?;
                    self.skip(1);
                }
                '"' => drop(self.until('"')?),
                '{' | '[' => return Err(format!("`{next}` without a metric before it")),
                '0'..='9' => self.number(),
                _ => self.skip(next.len_utf8()),
            }
        }
        if self.around.is_empty() { Ok(()) } else { Err("a parenthesis is not closed".to_owned()) }
    }

    fn word(&mut self) -> Result<(), String> {
        let length = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest.trim_start();
        if LISTS.contains(&word) {
            return if self.rest.starts_with('(') { self.until(')').map(drop) } else { Ok(()) };
        }
        if WORDS.contains(&word) {
            return Ok(());
        }
        if self.rest.starts_with('(') {
            self.around.push(Some(word.to_owned()));
            self.skip(1);
            return Ok(());
        }
        if ["by", "without"].iter().any(|list| self.rest.starts_with(&format!("{list} "))) {
            // `sum by (…) (…)`: an aggregation whose list comes first.
            let open = self.rest.find(')').ok_or("a list of labels is not closed")? + 1;
            self.rest = self.rest[open..].trim_start();
            self.around.push(Some(word.to_owned()));
            return if self.rest.starts_with('(') {
                self.skip(1);
                Ok(())
            } else {
                Err(format!("`{word}` of nothing"))
            };
        }
        self.selector(word)
    }

    fn selector(&mut self, name: &str) -> Result<(), String> {
        let matchers = if self.rest.starts_with('{') { self.until('}')? } else { "" };
        let range = if self.rest.starts_with('[') { Some(self.until(']')?.to_owned()) } else { None };
        let function = self.around.iter().rev().flatten().next().cloned();
        self.found.push(Selector { name: name.to_owned(), matchers: matchers.to_owned(), range, function });
        Ok(())
    }

    /// What stands between the next character and its end.
    fn until(&mut self, end: char) -> Result<&'q str, String> {
        let inner = &self.rest[1..];
        let mut quoted = false;
        for (at, c) in inner.char_indices() {
            if c == end && !quoted {
                self.rest = &inner[at + c.len_utf8()..];
                return Ok(&inner[..at]);
            }
            quoted ^= c == '"';
        }
        Err(format!("no `{end}` in `{inner}`"))
    }

    fn number(&mut self) {
        let length =
            self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(self.rest.len());
        self.skip(length);
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(query: &str) -> Vec<String> {
        selectors(query).unwrap().into_iter().map(|one| one.name).collect()
    }

    #[test]
    fn functions_labels_and_words_are_no_metrics() {
        let query = r#"(sum by (a, b) (rate(x_total{c="}", d=~"e.*"}[5m])) or vector(0)) / on (a) group_left y > 0.5"#;
        assert_eq!(names(query), ["x_total", "y"]);
        assert_eq!(names("histogram_quantile(0.9, sum by (le) (rate(z_bucket[1m])))"), ["z_bucket"]);
        assert_eq!(names("time() - max(process_start_time_seconds)"), ["process_start_time_seconds"]);
        assert_eq!(names("topk(5, job:errors:rate5m offset 1d)"), ["job:errors:rate5m"]);
    }

    #[test]
    fn a_range_has_the_function_around_it() {
        let found =
            selectors("sum(rate(a[$__rate_interval])) + sum by (x) (increase(b{c=\"d\"}[1h]))").unwrap();
        let of = |at: usize| (found[at].function.as_deref(), found[at].range.as_deref());
        assert_eq!(
            (of(0), of(1)),
            ((Some("rate"), Some("$__rate_interval")), (Some("increase"), Some("1h")))
        );
    }

    #[test]
    fn what_is_not_closed_is_said() {
        for wrong in ["sum(a", "a)", "a{b=\"c\"", "rate(a[5m)", "{a=\"b\"}"] {
            assert!(selectors(wrong).is_err(), "{wrong}");
        }
    }
}
