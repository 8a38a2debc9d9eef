use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a project promises of itself: a `[[promise]]` of the file that `bench.toml` names.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Promise {
    /// Its name on the page: `S1`.
    pub id: String,
    /// What has to hold, with its figure.
    pub target: String,
    /// What it still waits for, where it cannot be measured yet.
    #[serde(default)]
    pub later: Option<String>,
}

/// What a measurement of a promise said: a report of `{"promise": "S1", "said": "PASS", …}`, with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The promise's id.
    pub promise: String,
    /// `PASS`, `FAIL` or `SKIP`.
    pub said: String,
    /// What was measured.
    pub measured: String,
    /// What failed beside it, as it has to.
    pub control: String,
    /// `quick` or `full`; only a full one is of the target itself.
    pub size: String,
    /// The commit measured.
    #[serde(default)]
    pub commit: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub at: u64,
    /// What kind of machine it was.
    #[serde(default)]
    pub machine: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    promise: Vec<Promise>,
}

/// The promises of a file of `[[promise]]` tables; what else a table holds is its own affair.
///
/// # Errors
/// What of it is no TOML, or lacks an id or a target.
pub fn promises_in(text: &str) -> Result<Vec<Promise>, String> {
    toml::from_str::<File>(text).map(|file| file.promise).map_err(|error| error.to_string())
}

impl Judgement {
    /// The page's word for it.
    pub(super) fn words(&self) -> &'static str {
        match (self.said.as_str(), self.size.as_str()) {
            ("PASS", "full") => "kept",
            ("PASS", _) => "kept in quick size",
            ("FAIL", _) => "broken",
            _ => "not measured: skipped",
        }
    }

    /// Whether it says anything of the promise.
    pub(super) fn is_measured(&self) -> bool {
        matches!(self.said.as_str(), "PASS" | "FAIL")
    }
}

/// The newest judgement of each promise; of two of the same moment the later line counts.
pub(super) fn newest(judgements: &[Judgement]) -> BTreeMap<&str, &Judgement> {
    let mut newest: BTreeMap<&str, &Judgement> = BTreeMap::new();
    for judgement in judgements {
        let known = newest.entry(&judgement.promise).or_insert(judgement);
        if judgement.at >= known.at {
            *known = judgement;
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_needs_an_id_and_a_target() {
        let text = "[[promise]]\nid = 'S1'\ntarget = 'soon'\ncontrol = 'a mutant'\n";
        let whole = Promise { id: "S1".to_owned(), target: "soon".to_owned(), later: None };
        assert_eq!(promises_in(text).unwrap(), [whole]);
        assert!(promises_in("[[promise]]\nid = 'S1'\n").unwrap_err().contains("target"));
        assert_eq!(promises_in("").unwrap(), []);
    }
}
