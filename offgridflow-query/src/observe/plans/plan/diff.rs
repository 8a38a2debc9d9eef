//! What changed between two plans, line by line.

use super::Plan;
use std::fmt;

/// The lines of two plans: those that went, those that came, those that stayed. Displayed with `-`, `+` and a space before them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PlanDiff {
    lines: Vec<(Mark, String)>,
}

/// Pairs of lines that are compared at most, where two plans begin and end differently; beyond, all of one went and all of the other came. It is the one
/// whose execution showed the regression who waits for this.
const COMPARED: usize = 1 << 18;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
enum Mark {
    Went,
    Came,
    Stayed,
}

impl PlanDiff {
    pub(super) fn new(earlier: &Plan, later: &Plan) -> Self {
        let (old, new) = (earlier.lines(), later.lines());
        let head = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
        let (old_rest, new_rest) = (&old[head..], &new[head..]);
        let same_end =
            old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(one, other)| one == other);
        let tail = same_end.count();
        let (old_middle, new_middle) =
            (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
        let marked = |mark: Mark, lines: &[String]| lines.iter().map(|line| (mark, line.clone())).collect();
        let mut lines: Vec<_> = marked(Mark::Stayed, &old[..head]);
        if old_middle.len().saturating_mul(new_middle.len()) <= COMPARED {
            changed(old_middle, new_middle, &mut lines);
        } else {
            lines.extend::<Vec<_>>(marked(Mark::Went, old_middle));
            lines.extend::<Vec<_>>(marked(Mark::Came, new_middle));
        }
        lines.extend::<Vec<_>>(marked(Mark::Stayed, &old_rest[old_rest.len() - tail..]));
        Self { lines }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(|(mark, _)| *mark == Mark::Stayed)
    }
}

/// The lines of two plans, those in common once.
fn changed(old: &[String], new: &[String], lines: &mut Vec<(Mark, String)>) {
    let common = common_tails(old, new);
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        let stays = i < old.len() && j < new.len() && old[i] == new[j];
        if stays {
            lines.push((Mark::Stayed, old[i].clone()));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push((Mark::Went, old[i].clone()));
            i += 1;
        } else {
            lines.push((Mark::Came, new[j].clone()));
            j += 1;
        }
    }
}

/// Length of the longest common subsequence of the lines from each pair of places on.
fn common_tails(old: &[String], new: &[String]) -> Vec<Vec<usize>> {
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    common
}

impl fmt::Display for PlanDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (mark, line)) in self.lines.iter().enumerate() {
            let sign = match mark {
                Mark::Went => '-',
                Mark::Came => '+',
                Mark::Stayed => ' ',
            };
            write!(f, "{}{sign} {line}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
