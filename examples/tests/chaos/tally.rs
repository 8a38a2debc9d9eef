//! What was seen, against what is promised.

use std::fmt;
use std::time::Duration;

use crate::load::Seen;

/// What a run holds to.
pub struct Bounds {
    /// How old a total may be.
    pub stale: Duration,
    /// Share of reads of what nobody writes that may go unanswered, whatever is broken.
    pub quiet_failed: f64,
    /// Share of reads of what is being written that may, while the database answers.
    pub busy_failed: f64,
    /// How long after the end of a fault both servers may take to write, and to read what was written.
    pub recovery: Duration,
}

/// A blow, and what was seen from its beginning to the recovery.
#[derive(Debug)]
pub struct Struck {
    pub name: &'static str,
    /// Whether the database answered all the time.
    pub database_answers: bool,
    pub seen: Seen,
    pub recovery: Option<Duration>,
    /// What else was to hold and did not.
    pub fault: Option<String>,
    /// Why the blow was not struck.
    pub skipped: Option<&'static str>,
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = self.skipped {
            return write!(f, "blow={} SKIP {why}", self.name);
        }
        let Seen { quiet, busy, acknowledged, unanswered_writes, worst_stale } = &self.seen;
        write!(
            f,
            "blow={} quiet_reads={} unanswered={} busy_reads={} unanswered={} acknowledged={acknowledged} writes_sent_again={unanswered_writes} worst_stale_ms={} recovery_ms={}",
            self.name,
            quiet[0],
            quiet[1],
            busy[0],
            busy[1],
            worst_stale.as_millis(),
            self.recovery.map_or_else(|| "none".to_owned(), |took| took.as_millis().to_string()),
        )?;
        self.fault.iter().try_for_each(|fault| write!(f, " fault={fault:?}"))
    }
}

/// What is stored, against what was sent.
#[derive(Debug, Default)]
pub struct Account {
    pub acknowledged: u64,
    pub stored: u64,
    pub lost: u64,
    pub foreign: u64,
    /// What is not as it should be, in sentences.
    pub wrong: Vec<String>,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, stored, lost, foreign, wrong } = self;
        write!(
            f,
            "account acknowledged={acknowledged} stored={stored} lost={lost} foreign_or_twice={foreign} wrong_totals={} {wrong:?}",
            wrong.len()
        )
    }
}

/// A whole run.
#[derive(Debug, Default)]
pub struct Tally {
    pub blows: Vec<Struck>,
    pub account: Account,
}

impl Tally {
    /// The figures of all blows, for the promise's line.
    pub fn sum(&self) -> String {
        let struck = || self.blows.iter().filter(|blow| blow.skipped.is_none());
        let reads = |which: fn(&Seen) -> [u64; 2]| {
            struck()
                .map(|blow| which(&blow.seen))
                .fold([0, 0], |sum, more| [sum[0] + more[0], sum[1] + more[1]])
        };
        let (quiet, busy) = (reads(|seen| seen.quiet), reads(|seen| seen.busy));
        let stale = struck().map(|blow| blow.seen.worst_stale).max().unwrap_or_default();
        let recovery = struck().filter_map(|blow| blow.recovery).max().unwrap_or_default();
        format!(
            "sum blows={} skipped={} acknowledged={} lost={} foreign_or_twice={} wrong_totals={} reads={} unanswered_quiet={} unanswered_busy={} worst_stale_ms={} worst_recovery_ms={}",
            struck().count(),
            self.blows.len() - struck().count(),
            self.account.acknowledged,
            self.account.lost,
            self.account.foreign,
            self.account.wrong.len(),
            quiet[0] + busy[0],
            quiet[1],
            busy[1],
            stale.as_millis(),
            recovery.as_millis()
        )
    }

    /// Whether everything held.
    pub fn judge(&self, bounds: &Bounds) -> Result<(), Vec<String>> {
        let mut faults: Vec<String> = self.blows.iter().flat_map(|blow| judge(blow, bounds)).collect();
        let Account { acknowledged, lost, foreign, wrong, .. } = &self.account;
        if *acknowledged == 0 {
            faults.push("nothing was acknowledged".to_owned());
        }
        if *lost + *foreign > 0 {
            faults.push(format!(
                "{lost} acknowledged rows are lost, {foreign} rows are there that nobody sent, or twice"
            ));
        }
        faults.extend(wrong.iter().cloned());
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

fn judge(blow: &Struck, bounds: &Bounds) -> Vec<String> {
    if blow.skipped.is_some() {
        return Vec::new();
    }
    let share = |[all, failed]: [u64; 2]| failed as f64 / all.max(1) as f64;
    let (name, seen) = (blow.name, &blow.seen);
    let mut faults: Vec<String> = blow.fault.iter().map(|fault| format!("{name}: {fault}")).collect();
    if seen.worst_stale > bounds.stale {
        faults.push(format!("{name}: a total was {:?} old", seen.worst_stale));
    }
    if seen.quiet[0] == 0 || share(seen.quiet) > bounds.quiet_failed {
        faults.push(format!(
            "{name}: {} of {} reads of what nobody writes went unanswered",
            seen.quiet[1], seen.quiet[0]
        ));
    }
    if blow.database_answers && share(seen.busy) > bounds.busy_failed {
        faults.push(format!(
            "{name}: {} of {} reads of what is written went unanswered",
            seen.busy[1], seen.busy[0]
        ));
    }
    if blow.recovery.is_none_or(|took| took > bounds.recovery) {
        faults.push(format!("{name}: recovered after {:?}", blow.recovery));
    }
    faults
}
