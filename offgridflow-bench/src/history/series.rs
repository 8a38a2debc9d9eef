use std::collections::{BTreeMap, HashMap};

use super::Record;

/// One benchmark over the commits, as ratios to one origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The benchmark's full name.
    pub bench: String,
    /// Commits in order.
    pub commits: Vec<String>,
    /// ln ratio to the origin at each.
    pub values: Vec<f64>,
    /// Inverse variance of each; all 1 when one of them is not known.
    pub weights: Vec<f64>,
}

/// Puts records in the order of `commits` (oldest first; what is not among them is left out). Where the anchor changed, ratios are chained
/// through the new anchor's own record against an older one; what cannot be chained is left out and counted. Of two records of the same commit,
/// benchmark and anchor the later line counts, so files merged by union need no care.
#[must_use]
pub fn series(records: &[Record], commits: &[String]) -> (Vec<Series>, usize) {
    let mut benches: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        benches.entry(&record.bench).or_default().push(record);
    }
    let mut unchained = 0;
    let all = benches.into_iter().map(|(bench, records)| {
        let (series, left) = one(bench, &records, commits);
        unchained += left;
        series
    });
    (all.collect(), unchained)
}

fn one(bench: &str, records: &[&Record], commits: &[String]) -> (Series, usize) {
    let place: HashMap<&str, usize> =
        commits.iter().enumerate().map(|(nth, commit)| (commit.as_str(), nth)).collect();
    let mut by_place: BTreeMap<usize, &Record> = BTreeMap::new();
    for record in records {
        if let Some(nth) = place.get(record.commit.as_str()) {
            by_place.insert(*nth, record);
        }
    }
    let offsets = offsets(records);
    let mut series =
        Series { bench: bench.to_owned(), commits: Vec::new(), values: Vec::new(), weights: Vec::new() };
    let mut left = 0;
    for record in by_place.into_values() {
        match offsets.get(record.anchor.as_str()) {
            Some(offset) if record.ln_ratio.is_finite() => {
                series.commits.push(record.commit.clone());
                series.values.push(offset + record.ln_ratio);
                series.weights.push(record.spread.map_or(f64::NAN, |spread| spread.powi(-2)));
            }
            _ => left += 1,
        }
    }
    if !series.weights.iter().all(|weight| weight.is_finite() && *weight > 0.0) {
        series.weights.fill(1.0);
    }
    (series, left)
}

/// ln of each anchor over the first one, as far as a record of one anchor against another leads there.
fn offsets<'a>(records: &[&'a Record]) -> HashMap<&'a str, f64> {
    let mut known: HashMap<&str, f64> =
        records.first().map(|first| (first.anchor.as_str(), 0.0)).into_iter().collect();
    loop {
        let before = known.len();
        for record in records {
            if let Some(offset) = known.get(record.anchor.as_str()).copied() {
                known.entry(&record.commit).or_insert(offset + record.ln_ratio);
            }
        }
        if known.len() == before {
            return known;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(commit: &str, anchor: &str, ln_ratio: f64) -> Record {
        Record {
            commit: commit.to_owned(),
            anchor: anchor.to_owned(),
            bench: "b".to_owned(),
            ln_ratio,
            spread: None,
            nanoseconds: None,
            machine: String::new(),
            at: 0,
        }
    }

    #[test]
    fn a_new_anchor_changes_nothing() {
        let commits: Vec<String> = ["a", "c1", "c2", "c3"].map(str::to_owned).to_vec();
        let records = [
            record("c1", "a", 0.1),
            record("c2", "a", 0.3),
            record("c3", "c2", 0.05),
            record("a", "a", 0.0),
            record("c1", "a", 0.2),
            record("x", "nowhere", 9.0),
        ];
        let (all, unchained) = series(&records, &commits);
        assert_eq!(all[0].commits, ["a", "c1", "c2", "c3"]);
        let rounded: Vec<f64> = all[0].values.iter().map(|value| (value * 1e6).round() / 1e6).collect();
        assert_eq!(
            (rounded, unchained),
            (vec![0.0, 0.2, 0.3, 0.35], 0),
            "the later record of c1 counts, c3 is chained through c2"
        );
        let lost = [record("c1", "a", 0.1), record("c3", "gone", 0.1)];
        assert_eq!(series(&lost, &commits).1, 1, "what cannot be chained is counted");
    }
}
