use std::collections::{HashMap, HashSet};

use super::Profile;
use crate::ProfileError;
use crate::binomial::two_sided;

/// Share of the changes called significant that may be none (Benjamini & Hochberg, *JRSS B* 57, 1995).
const FALSE_DISCOVERIES: f64 = 0.05;

/// What changed from one profile to another.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Diff {
    /// Every function seen in either: significant ones first, those by how far their share moved.
    pub changes: Vec<Change>,
    /// Samples of the earlier profile.
    pub before: i64,
    /// Samples of the later one.
    pub after: i64,
}

/// A function whose share of the samples may have changed.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Change {
    /// The function.
    pub function: String,
    /// Its samples in the earlier profile.
    pub before: i64,
    /// Its samples in the later one.
    pub after: i64,
    /// Its share of the later samples less its share of the earlier ones, −1 to 1.
    pub moved: f64,
    /// Chance of so uneven a split, or a more uneven one, if its share had stayed (exact, mid-P).
    pub p: f64,
    /// Whether it is significant with all the others considered: at most 5 % of those called so have not changed.
    pub significant: bool,
}

/// Which samples count for a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counting {
    /// Those taken in the function itself.
    #[default]
    Own,
    /// Those taken in it, or in what it called.
    Total,
}

impl Profile {
    /// What changed since `before`, of the kind `samples`/`count`, by each function's share.
    ///
    /// Samples are taken to be independent, which samples at random instants are. Shares add up to one: where one function grows, others shrink.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use offgridflow_profile::{Counting, Frame, Profile, Stack, ValueKind};
    /// # let profile = |samples: &[(&str, i64)]| Profile {
    /// #     kinds: vec![ValueKind::new("samples", "count")],
    /// #     stacks: samples.iter().map(|(name, count)| Stack {
    /// #         frames: vec![Frame::named(*name)],
    /// #         values: vec![*count],
    /// #         labels: Vec::new(),
    /// #     }).collect(),
    /// #     began: SystemTime::UNIX_EPOCH, duration: Duration::from_secs(10), period: 1,
    /// #     period_kind: ValueKind::new("samples", "count"), comments: Vec::new(), mappings: vec![],
    /// # };
    /// let monday = profile(&[("parse", 500), ("hash", 300), ("write", 200)]);
    /// let tuesday = profile(&[("parse", 1_000), ("hash", 610), ("write", 390), ("validate", 150)]);
    /// let diff = tuesday.diff(&monday, Counting::Own)?;
    /// let changed: Vec<&str> = diff.significant().map(|change| change.function.as_str()).collect();
    /// assert_eq!(changed, ["validate"]);
    /// # Ok::<(), offgridflow_profile::ProfileError>(())
    /// ```
    ///
    /// # Errors
    /// [`ProfileError::Unsupported`] when a profile does not count samples: sums of bytes or nanoseconds are not independent events.
    pub fn diff(&self, before: &Self, counting: Counting) -> Result<Diff, ProfileError> {
        let (earlier, later) = (before.samples(counting)?, self.samples(counting)?);
        let (n, m) = (before.total(before.counts()?), self.total(self.counts()?));
        let functions: HashSet<&str> = earlier.keys().chain(later.keys()).copied().collect();
        let mut changes: Vec<Change> = functions
            .into_iter()
            .map(|function| {
                let count = |of: &HashMap<&str, i64>| of.get(function).copied().unwrap_or(0);
                Change::of(function, count(&earlier), count(&later), n, m)
            })
            .collect();
        discover(&mut changes);
        Ok(Diff { changes, before: n, after: m })
    }

    /// Where the samples are among the kinds.
    fn counts(&self) -> Result<usize, ProfileError> {
        let at = self.kinds.iter().position(|kind| kind.name == "samples" && kind.unit == "count");
        at.ok_or(ProfileError::Unsupported {
            what: "a diff with significance of this kind of profile",
            hint: "compare CPU profiles, which count samples; for heaps compare the intervals of two snapshots",
        })
    }

    fn samples(&self, counting: Counting) -> Result<HashMap<&str, i64>, ProfileError> {
        let index = self.counts()?;
        let mut samples = HashMap::new();
        for stack in &self.stacks {
            let value = stack.values.get(index).copied().unwrap_or(0);
            let depth = if counting == Counting::Own { 1 } else { stack.frames.len() };
            let names: HashSet<&str> =
                stack.frames.iter().take(depth).map(|frame| frame.function.as_str()).collect();
            for name in names {
                let sum = samples.entry(name).or_insert(0_i64);
                *sum = sum.saturating_add(value);
            }
        }
        Ok(samples)
    }
}

impl Change {
    #[expect(clippy::cast_precision_loss, reason = "counts of samples")]
    fn of(function: &str, before: i64, after: i64, n: i64, m: i64) -> Self {
        let share = |count: i64, of: i64| if of > 0 { count as f64 / of as f64 } else { 0.0 };
        let (p, moved) = if n > 0 && m > 0 {
            // Given its samples in both, how many fall into the later profile is binomial (Przyborowski & Wilenski 1940);
            // what the two profiles leave out is taken from neither.
            (fisher(before, after, n, m), share(after, m) - share(before, n))
        } else {
            (1.0, 0.0)
        };
        Self { function: function.to_owned(), before, after, moved, p, significant: false }
    }
}

/// Two shares of two totals. Where a function has less than half of the samples, its own are split binomially; else the rest is.
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
fn fisher(before: i64, after: i64, n: i64, m: i64) -> f64 {
    let later = m as f64 / (n as f64 + m as f64);
    let all = i128::from(n) + i128::from(m);
    let (before, after) = if 2 * (i128::from(before) + i128::from(after)) <= all {
        (before, after)
    } else {
        (n.saturating_sub(before), m.saturating_sub(after))
    };
    two_sided(before.max(0).unsigned_abs(), after.max(0).unsigned_abs(), later)
}

/// Marks the largest set of which at most 5 % are false, and sorts.
#[expect(clippy::cast_precision_loss, reason = "a number of functions")]
fn discover(changes: &mut [Change]) {
    changes.sort_by(|a, b| a.p.total_cmp(&b.p).then_with(|| a.function.cmp(&b.function)));
    let tests = changes.len() as f64;
    let bound = |rank: usize| FALSE_DISCOVERIES * (rank + 1) as f64 / tests;
    let last = (0..changes.len()).rev().find(|rank| changes[*rank].p <= bound(*rank));
    changes.iter_mut().take(last.map_or(0, |last| last + 1)).for_each(|change| change.significant = true);
    let far = |change: &Change| change.moved.abs();
    changes.sort_by(|a, b| {
        b.significant
            .cmp(&a.significant)
            .then(far(b).total_cmp(&far(a)))
            .then_with(|| a.function.cmp(&b.function))
    });
}

impl Diff {
    /// The changes that are significant.
    pub fn significant(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.significant)
    }
}
