use super::GateError;
use super::git::Repository;
use crate::history::{Blessing, parse_lines};

/// What each benchmark is allowed beyond the rule: limits of its own, blessings, and being gone.
#[derive(Debug, Default)]
pub(crate) struct Allowances {
    /// Names, `*` for any text, and the share that does not matter; the last that fits counts.
    pub(crate) limits: Vec<(String, f64)>,
    /// Accepted between base and head.
    pub(crate) blessings: Vec<Blessing>,
    /// Names, `*` for any text, of benchmarks that may be gone.
    pub(crate) missing: Vec<String>,
}

impl Allowances {
    /// The share that does not matter for `bench`, and why it is not the rule's; `None` when it is.
    pub(crate) fn of(&self, bench: &str, slowdown: f64) -> Option<(f64, String)> {
        let own = self.limits.iter().rev().find(|(name, _)| matches(name, bench)).map(|(_, limit)| *limit);
        let given: Vec<&Blessing> =
            self.blessings.iter().filter(|blessing| matches(&blessing.bench, bench)).collect();
        if own.is_none() && given.is_empty() {
            return None;
        }
        let blessed = given.iter().fold(1.0, |product, blessing| product * (1.0 + blessing.slowdown)) - 1.0;
        let limit = own.unwrap_or(slowdown).max(blessed);
        let reasons: Vec<&str> = given.iter().map(|blessing| blessing.reason.as_str()).collect();
        let why =
            if reasons.is_empty() { String::new() } else { format!(", accepted: {}", reasons.join("; ")) };
        Some((limit, format!("up to {} % slower does not matter{why}", percent(limit))))
    }

    /// Whether `bench` may be gone.
    pub(crate) fn may_be_gone(&self, bench: &str) -> bool {
        self.missing.iter().any(|name| matches(name, bench))
    }
}

fn percent(share: f64) -> f64 {
    (share * 1e4).round() / 100.0
}

/// The blessings that the head's file has and the base's has not: one that the base had was about an older change.
pub(crate) fn fresh_blessings(
    repository: &Repository,
    base: &str,
    head: &str,
    file: &str,
) -> Result<Vec<Blessing>, GateError> {
    let read = |commit: &str| -> Result<Vec<Blessing>, GateError> {
        let text = repository.file_at(commit, file).unwrap_or_default();
        parse_lines(&text).map_err(|(line, error)| {
            GateError::Usage(format!("{file} at {commit:.12}, line {line} is no blessing: {error}"))
        })
    };
    let before = read(base)?;
    Ok(read(head)?.into_iter().filter(|blessing| !before.contains(blessing)).collect())
}

/// Whether `name` is `bench`, `*` in it standing for any text, or for itself.
fn matches(name: &str, bench: &str) -> bool {
    let Some((first, rest)) = name.split_once('*') else { return name == bench };
    if name == bench {
        return true;
    }
    let Some(tail) = bench.strip_prefix(first) else { return false };
    (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| matches(rest, &tail[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blessing(bench: &str, slowdown: f64) -> Blessing {
        let (reason, commit) = ("checks its input".to_owned(), "c".to_owned());
        Blessing { bench: bench.to_owned(), slowdown, reason, commit }
    }

    #[test]
    fn a_star_is_any_text() {
        for (name, bench, fits) in [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a/*", "a/b: c", true),
            ("*: miss/*", "p/t: miss/100 %", true),
            ("*x", "axbx", true),
            ("a*b*c", "a-c-b", false),
            ("", "a", false),
            ("2 * 3", "2 * 3", true),
            ("*", "ü/\"%", true),
        ] {
            assert_eq!(matches(name, bench), fits, "{name} {bench}");
        }
    }

    #[test]
    fn the_larger_of_limit_and_blessing_counts() {
        let allowances = Allowances {
            limits: vec![("p/*".to_owned(), 0.05), ("p/t: b".to_owned(), 0.03)],
            blessings: vec![blessing("p/t: b", 0.1), blessing("p/t: b", 0.1), blessing("p/t: c", 0.01)],
            missing: vec!["p/t: old *".to_owned()],
        };
        let (limit, why) = allowances.of("p/t: b", 0.02).unwrap();
        assert!(
            (limit - 0.21).abs() < 1e-12 && why.contains("up to 21 %") && why.contains("checks its input")
        );
        assert_eq!(
            allowances.of("p/t: c", 0.02).unwrap().0,
            0.05,
            "its own limit is wider than the blessing"
        );
        assert_eq!(allowances.of("q/t: b", 0.02), None);
        assert!(allowances.may_be_gone("p/t: old one") && !allowances.may_be_gone("p/t: b"));
    }
}
