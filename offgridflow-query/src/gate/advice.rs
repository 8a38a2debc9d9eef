//! Sizing advice from Little's law: how many connections the work of the last minutes needs, and on what evidence.

use std::fmt;
use std::time::Duration;

/// Checkouts below which nothing is said: the arrival rate is then known to about 3 % (1/√n).
const ENOUGH_CHECKOUTS: u64 = 1_000;
/// A shorter stretch says more about its moment than about the load.
const ENOUGH_TIME: Duration = Duration::from_secs(10);
/// Callers that may have to wait before waiting counts as a problem.
const WAITING_ALLOWED: f64 = 0.05;
/// A wait that counts as one: more than this part of what a connection is needed for.
const WAIT_THAT_HURTS: f64 = 0.1;

/// What a pool did over a stretch of time.
///
/// By Little's law the mean number of busy connections is the arrival rate times the time each is taken, whatever the
/// distributions are; [`Advice::of`] needs nothing else to tell how many are needed.
///
/// ```
/// use offgridflow_query::{Advice, Evidence, Sizing};
/// use std::time::Duration;
/// let evidence = Evidence {
///     window: Duration::from_secs(60), max_open: 4, checkouts: 24_000, occupied: Duration::from_secs(230),
///     waited: 19_000, wait: Duration::from_secs(400), refused: 12, peak: 4, server_cores: None,
/// };
/// assert_eq!(evidence.arrivals_per_sec().round(), 400.0);
/// let advice = Advice::of(evidence);
/// assert_eq!(advice.sizing, Sizing::Raise { to: 8 }); // 3.8 busy on average, and 2 √3.8 for the fluctuation
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Evidence {
    /// The time it covers.
    pub window: Duration,
    /// Connections that could be open.
    pub max_open: usize,
    /// Callers that got a place.
    pub checkouts: u64,
    /// How long places were taken, summed up: connecting, testing and cleaning up included.
    pub occupied: Duration,
    /// Callers that had to wait.
    pub waited: u64,
    /// How long they waited, summed up.
    pub wait: Duration,
    /// Callers that waited in vain, or were refused at once because they would have.
    pub refused: u64,
    /// The most places taken at one time.
    pub peak: usize,
    /// Cores of the database server, if you told the pool.
    pub server_cores: Option<usize>,
}

impl Evidence {
    /// Callers a second, those turned away included (λ).
    #[must_use]
    pub fn arrivals_per_sec(&self) -> f64 {
        ratio(count(self.checkouts + self.refused), self.window.as_secs_f64())
    }

    /// Mean time a place is taken, in seconds (W).
    #[must_use]
    pub fn occupied_secs(&self) -> f64 {
        ratio(self.occupied.as_secs_f64(), count(self.checkouts))
    }

    /// Connections that the callers would keep busy on average, had nobody been turned away (L = λ·W).
    #[must_use]
    pub fn load(&self) -> f64 {
        self.arrivals_per_sec() * self.occupied_secs()
    }

    /// Part of the places that were taken on average, 0 to 1.
    #[must_use]
    pub fn utilisation(&self) -> f64 {
        ratio(self.occupied.as_secs_f64(), self.window.as_secs_f64() * count(self.max_open as u64))
    }

    /// Part of the callers that had to wait, 0 to 1.
    #[must_use]
    pub fn waited_share(&self) -> f64 {
        ratio(count(self.waited), count(self.checkouts + self.refused))
    }

    /// Mean wait of those that waited, in seconds.
    #[must_use]
    pub fn mean_wait_secs(&self) -> f64 {
        ratio(self.wait.as_secs_f64(), count(self.waited))
    }

    /// Connections for this load: L, and 2·√L more for its fluctuation (square-root staffing), at least 1.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
    pub fn needed(&self) -> usize {
        let load = self.load();
        ((load + 2.0 * load.sqrt()).ceil() as usize).max(1)
    }

    fn is_enough(&self) -> bool {
        self.checkouts >= ENOUGH_CHECKOUTS && self.window >= ENOUGH_TIME
    }

    fn is_congested(&self) -> bool {
        self.refused > 0
            || self.waited_share() > WAITING_ALLOWED
                && self.mean_wait_secs() > WAIT_THAT_HURTS * self.occupied_secs()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count")]
fn count(n: u64) -> f64 {
    n as f64
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// What to do about the size of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Sizing {
    /// Less than 1 000 checkouts, or less than 10 s: ask again later.
    NotEnoughData,
    /// Leave it.
    Fits,
    /// Callers wait because the load needs more connections. Raise `max_open`, and look again: callers that wait for
    /// an answer before they ask again hide part of the load.
    Raise {
        /// The size that the load needs.
        to: usize,
    },
    /// Nobody waits and most connections are never used. Others may need them.
    Lower {
        /// The size that the load needs, and not less than what was in use at one time.
        to: usize,
    },
    /// Callers wait although there are connections enough for the load on average: it comes in bursts, or a few hold
    /// a connection for long. Shorten what the holders do, or move it to [`Lane::Background`](crate::Lane).
    Uneven,
    /// The load needs more connections than the server has cores for (2 × cores + 1). More of them would queue there
    /// instead of here: make the statements cheaper, or the server larger.
    ServerBound,
}

/// A verdict on the size of a pool, with what it rests on. `Display` says it in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Advice {
    /// What to do.
    pub sizing: Sizing,
    /// Why.
    pub evidence: Evidence,
}

impl Advice {
    /// Judges the evidence. Pure: the same evidence gives the same advice.
    #[must_use]
    pub fn of(evidence: Evidence) -> Self {
        Self { sizing: sizing(&evidence), evidence }
    }
}

fn sizing(evidence: &Evidence) -> Sizing {
    if !evidence.is_enough() {
        return Sizing::NotEnoughData;
    }
    let needed = evidence.needed();
    if !evidence.is_congested() {
        let to = needed.max(evidence.peak);
        return if evidence.max_open >= 2 * to { Sizing::Lower { to } } else { Sizing::Fits };
    }
    let ceiling = evidence.server_cores.map_or(usize::MAX, |cores| 2 * cores + 1);
    match needed.min(ceiling) {
        to if to > evidence.max_open => Sizing::Raise { to },
        _ if needed > evidence.max_open => Sizing::ServerBound,
        _ => Sizing::Uneven,
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &self.evidence;
        match self.sizing {
            Sizing::NotEnoughData => {
                return write!(
                    f,
                    "not enough data: {} checkouts in {:.0} s, needs {ENOUGH_CHECKOUTS} in at least {} s",
                    e.checkouts,
                    e.window.as_secs_f64(),
                    ENOUGH_TIME.as_secs()
                );
            }
            Sizing::Fits => write!(f, "{} connections fit", e.max_open)?,
            Sizing::Raise { to } => write!(f, "raise max_open from {} to {to}", e.max_open)?,
            Sizing::Lower { to } => write!(f, "{} of {} connections would do", to, e.max_open)?,
            Sizing::Uneven => {
                write!(
                    f,
                    "{} connections suffice on average; bursts or long holders make callers wait",
                    e.max_open
                )?;
            }
            Sizing::ServerBound => {
                write!(f, "the load needs {} connections, more than the server has cores for", e.needed())?;
            }
        }
        write!(
            f,
            ": {:.1} checkouts/s × {:.3} ms = {:.2} busy on average, {:.0} % of {}; at most {} at once; {:.1} % waited, {:.3} ms each; {} refused; over {:.0} s",
            e.arrivals_per_sec(),
            e.occupied_secs() * 1e3,
            e.load(),
            e.utilisation() * 100.0,
            e.max_open,
            e.peak,
            e.waited_share() * 100.0,
            e.mean_wait_secs() * 1e3,
            e.refused,
            e.window.as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400 checkouts/s that take 9.5 ms each: 3.8 connections busy, 7.7 needed.
    const BUSY: Evidence = Evidence {
        window: Duration::from_secs(60),
        max_open: 4,
        checkouts: 24_000,
        occupied: Duration::from_secs(228),
        waited: 18_000,
        wait: Duration::from_secs(360),
        refused: 0,
        peak: 4,
        server_cores: None,
    };

    #[test]
    fn littles_law_is_exact() {
        assert!((BUSY.load() - 3.8).abs() < 1e-9);
        assert!((BUSY.utilisation() - 0.95).abs() < 1e-9);
        assert_eq!(BUSY.needed(), 8);
        let refused = Evidence { refused: 24_000, ..BUSY };
        assert!((refused.load() - 7.6).abs() < 1e-9, "who was turned away is part of the load");
    }

    #[test]
    fn each_situation_has_its_advice() {
        let quiet = Evidence { waited: 0, wait: Duration::ZERO, ..BUSY };
        for (evidence, expected) in [
            (BUSY, Sizing::Raise { to: 8 }),
            (Evidence { server_cores: Some(3), ..BUSY }, Sizing::Raise { to: 7 }),
            (Evidence { server_cores: Some(1), ..BUSY }, Sizing::ServerBound),
            (Evidence { max_open: 10, peak: 10, ..BUSY }, Sizing::Uneven),
            (Evidence { max_open: 10, ..quiet }, Sizing::Fits),
            (Evidence { max_open: 25, peak: 6, ..quiet }, Sizing::Lower { to: 8 }),
            (Evidence { max_open: 25, peak: 20, ..quiet }, Sizing::Fits),
            (Evidence { checkouts: 999, ..BUSY }, Sizing::NotEnoughData),
            (Evidence { window: Duration::from_secs(9), ..BUSY }, Sizing::NotEnoughData),
        ] {
            assert_eq!(Advice::of(evidence).sizing, expected, "{evidence:?}");
        }
    }

    #[test]
    fn short_waits_of_many_and_long_waits_of_few_are_no_congestion() {
        let short = Evidence { wait: Duration::from_secs(1), ..BUSY };
        let few = Evidence { waited: 100, wait: Duration::from_secs(100), ..BUSY };
        for evidence in [short, few] {
            assert_eq!(Advice::of(evidence).sizing, Sizing::Fits);
        }
        assert_eq!(Advice::of(Evidence { refused: 1, ..few }).sizing, Sizing::Raise { to: 8 });
    }

    #[test]
    fn advice_says_why() {
        let text = Advice::of(BUSY).to_string();
        assert_eq!(
            text,
            "raise max_open from 4 to 8: 400.0 checkouts/s × 9.500 ms = 3.80 busy on average, 95 % of 4; at most 4 at once; 75.0 % waited, 20.000 ms each; 0 refused; over 60 s"
        );
        let text = Advice::of(Evidence { checkouts: 3, ..BUSY }).to_string();
        assert_eq!(text, "not enough data: 3 checkouts in 60 s, needs 1000 in at least 10 s");
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        let nothing = Evidence {
            window: Duration::ZERO,
            max_open: 1,
            checkouts: 0,
            occupied: Duration::ZERO,
            waited: 0,
            wait: Duration::ZERO,
            refused: 0,
            peak: 0,
            server_cores: None,
        };
        assert_eq!(nothing.needed(), 1);
        assert!(nothing.mean_wait_secs() == 0.0 && nothing.load() == 0.0 && nothing.utilisation() == 0.0);
    }
}
