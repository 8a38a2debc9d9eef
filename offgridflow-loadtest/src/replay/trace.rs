//! The arrivals of a log, as a schedule.

use std::{fmt, time::Duration};

use super::{
    builder::{ReplayBuilder, SPEED_UNIT},
    entry::Entry,
    error::{RefusedLine, ReplayError},
    format::LogFormat,
    visits::Visits,
};
use crate::{rate::MAX_SPAN, schedule::ArrivalProcess};

const SECOND: u64 = 1_000_000_000;

/// The arrivals of a log at their own distances, or all of them faster or slower by one factor.
///
/// A log tells times to a tick: the coarsest of a second, a millisecond, a microsecond or a nanosecond that
/// all its timestamps are multiples of. Entries of one tick are spread evenly within it, in their order, so that
/// a log with seconds does not become a burst a second; the replay begins with the first entry's tick and ends
/// with the last one's. Timestamps out of order are sorted, keeping the order of equal ones, and counted. Times are
/// divided by the speed in integers: any split over shards is the same replay.
///
/// Costs 16 bytes an entry and each distinct request once; asking for an instant is O(1).
///
/// ```
/// use {offgridflow_loadtest::{ArrivalProcess, LogFormat, Replay}, std::time::Duration};
/// let log = br#"
/// ::1 - - [10/Oct/2000:13:55:36 -0700] "GET /sites?page=2 HTTP/1.1" 200 2326
/// ::1 - - [10/Oct/2000:13:55:36 -0700] "POST /activities HTTP/1.1" 201 17
/// ::1 - - [10/Oct/2000:13:55:38 -0700] "GET /sites HTTP/1.1" 200 2326
/// "#;
/// let replay = Replay::builder(LogFormat::Common).speed(2.0).read(&log[..])?;
/// assert_eq!(replay.intended(1), Some(Duration::from_millis(250))); // the middle of its second, twice as fast
/// assert_eq!(replay.intended(2), Some(Duration::from_secs(1)));
/// assert_eq!(replay.duration(), Duration::from_millis(1_500));
/// assert_eq!(replay.entry(1).and_then(|entry| entry.path()), Some("/activities"));
/// # Ok::<(), offgridflow_loadtest::ReplayError>(())
/// ```
#[derive(Clone)]
pub struct Replay {
    arrivals: Box<[Arrival]>, // in order, from the start of the run; of visits, their first requests
    visits: Option<Visits>,
    entries: Box<[Entry]>,
    duration_ns: u64,
    peak_per_sec: f64,
    summary: ReplaySummary,
}

/// When, and which of the distinct requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at_ns: i64,
    pub(super) entry: u32,
    pub(super) client: u32,
}

/// How reading a log went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReplaySummary {
    /// How many lines (records, in CSV) there are; blank ones and a header do not count.
    pub records: u64,
    /// How many of them could not be used.
    pub refused: u64,
    /// The first five of those.
    pub examples: Vec<RefusedLine>,
    /// How many entries have a timestamp before one that stands above them.
    pub out_of_order: u64,
    /// How many [visits](ReplayBuilder::visits) the entries are, where those are replayed.
    pub visits: Option<u64>,
    /// What the log calls its columns (CSV), or the fields of its first line (NDJSON); the first twenty.
    pub columns: Vec<String>,
}

impl Replay {
    /// A reader of logs of this format, at the speed they were written.
    pub fn builder(format: LogFormat) -> ReplayBuilder {
        ReplayBuilder::new(format)
    }

    /// What operation `k` stands for; `None` beyond the log.
    #[must_use]
    pub fn entry(&self, k: u64) -> Option<&Entry> {
        self.entry_id(k).map(|id| &self.entries[id])
    }

    /// What operation `k` asks in order, each with the pause before it: all of a [visit](ReplayBuilder::visits), else its one entry. Nothing beyond the log.
    pub fn visit(&self, k: u64) -> impl Iterator<Item = (Duration, &Entry)> {
        self.visit_ids(k).map(|(pause, id)| (pause, &self.entries[id]))
    }

    /// How long the longest operation takes whose requests are answered after `answer` each: `answer` itself, unless there are [visits](ReplayBuilder::visits). Below that, a
    /// [time-out](crate::LoadTest::timeout) cuts visits.
    #[must_use]
    pub fn longest_visit(&self, answer: Duration) -> Duration {
        self.visits.as_ref().map_or(answer, |visits| visits.longest(answer))
    }

    /// How many [visits](ReplayBuilder::visits) go on at a time where answers take no time: a lower bound of what has to be
    /// [in flight](crate::LoadTest::max_in_flight). `None` without visits.
    #[must_use]
    pub fn visits_at_once(&self) -> Option<usize> {
        self.visits.as_ref().map(|visits| visits.at_once(&self.arrivals))
    }

    /// How reading the log went.
    #[must_use]
    pub fn summary(&self) -> &ReplaySummary {
        &self.summary
    }

    /// Which of the [distinct](Self::distinct) entries operation `k` stands for.
    pub(crate) fn entry_id(&self, k: u64) -> Option<usize> {
        let arrival = self.arrivals.get(usize::try_from(k).ok()?)?;
        usize::try_from(arrival.entry).ok()
    }

    /// As [`visit`](Self::visit), with the numbers of [distinct](Self::distinct) entries.
    pub(crate) fn visit_ids(&self, k: u64) -> impl Iterator<Item = (Duration, usize)> {
        let visit = self.visits.as_ref().and_then(|visits| Some(visits.requests(usize::try_from(k).ok()?)));
        let single = self.visits.is_none().then(|| self.entry_id(k)).flatten();
        let requests = visit.unwrap_or_default().iter();
        let ids = requests.filter_map(|request| {
            Some((Duration::from_nanos(request.pause_ns), usize::try_from(request.entry).ok()?))
        });
        ids.chain(single.map(|id| (Duration::ZERO, id)))
    }

    /// Whether its operations are visits.
    #[cfg(feature = "http")]
    pub(crate) fn has_visits(&self) -> bool {
        self.visits.is_some()
    }

    /// Each request once.
    #[cfg(feature = "http")]
    pub(crate) fn distinct(&self) -> &[Entry] {
        &self.entries
    }

    /// From at least one arrival, at absolute times.
    pub(super) fn new(
        mut arrivals: Vec<Arrival>,
        entries: Box<[Entry]>,
        speed_micros: u64,
        longest_pause: Option<Duration>,
        mut summary: ReplaySummary,
    ) -> Result<Self, ReplayError> {
        if summary.out_of_order > 0 {
            arrivals.sort_by_key(|arrival| arrival.at_ns);
        }
        let duration_ns = from_zero(&mut arrivals, speed_micros)?;
        let visits = longest_pause.map(|pause| {
            let scaled = pause.as_nanos() * u128::from(SPEED_UNIT) / u128::from(speed_micros);
            let (begins, visits) = Visits::of(&arrivals, i64::try_from(scaled).unwrap_or(i64::MAX));
            arrivals = begins;
            visits
        });
        summary.visits = visits.as_ref().map(|visits| u64::try_from(visits.count()).unwrap_or(u64::MAX));
        let peak_per_sec = peak(&arrivals, duration_ns);
        Ok(Self { arrivals: arrivals.into(), visits, entries, duration_ns, peak_per_sec, summary })
    }

    /// How many arrivals there are before `ns`.
    fn before(&self, ns: u64) -> u64 {
        let before = self.arrivals.partition_point(|arrival| arrival.ns() < ns);
        u64::try_from(before).unwrap_or(u64::MAX)
    }
}

impl Arrival {
    /// From the start of the run, once times count from there.
    pub(super) fn ns(&self) -> u64 {
        u64::try_from(self.at_ns).unwrap_or(0)
    }
}

impl ArrivalProcess for Replay {
    fn intended(&self, k: u64) -> Option<Duration> {
        let arrival = self.arrivals.get(usize::try_from(k).ok()?)?;
        Some(Duration::from_nanos(arrival.ns()))
    }

    fn operations(&self) -> u64 {
        u64::try_from(self.arrivals.len()).unwrap_or(u64::MAX)
    }

    fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration_ns)
    }

    /// Over the second around `at`, as far as it lies in the replay.
    fn rate_at(&self, at: Duration) -> f64 {
        let at_ns = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        let from = at_ns.saturating_sub(SECOND / 2);
        let to = at_ns.saturating_add(SECOND / 2).min(self.duration_ns);
        if from >= to {
            return 0.0;
        }
        per_sec(self.before(to) - self.before(from), to - from)
    }

    /// Over the busiest second.
    fn peak_rate(&self) -> f64 {
        self.peak_per_sec
    }

    /// The first lines that could not be used, each with the reason.
    fn remarks(&self) -> Vec<String> {
        self.summary.examples.iter().map(|refused| format!("the log's {refused}")).collect()
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("operations", &self.arrivals.len())
            .field("duration", &self.duration())
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ReplaySummary {
    /// One line without anything that the log says, for example `997 of 1000 lines, 12 out of order, 3 refused`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} lines", self.records - self.refused, self.records)?;
        if self.out_of_order > 0 {
            write!(f, ", {} out of order", self.out_of_order)?;
        }
        if self.refused > 0 {
            write!(f, ", {} refused", self.refused)?;
        }
        if let Some(visits) = self.visits {
            write!(f, ", in {visits} visits")?;
        }
        Ok(())
    }
}

/// Moves sorted arrivals to the start of the run, spread within their ticks and divided by the speed; answers
/// how long all of it lasts, in nanoseconds.
fn from_zero(arrivals: &mut [Arrival], speed_micros: u64) -> Result<u64, ReplayError> {
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else {
        return Err(ReplayError::Empty);
    };
    let tick = tick(arrivals);
    let (start, end) = (first.at_ns, i128::from(last.at_ns) + i128::from(tick));
    let scaled = |ns: u128| ns * u128::from(SPEED_UNIT) / u128::from(speed_micros);
    let since = |at: i128| scaled(u128::try_from(at - i128::from(start)).unwrap_or(0));
    let lasts = since(end);
    let duration = u64::try_from(lasts).map_or(Duration::MAX, Duration::from_nanos);
    if duration > MAX_SPAN {
        return Err(ReplayError::TooLong { lasts: duration });
    }
    for same in arrivals.chunk_by_mut(|one, next| one.at_ns == next.at_ns) {
        let (at, count) = (i128::from(same[0].at_ns), i128::try_from(same.len()).unwrap_or(1));
        for (place, arrival) in (0..).zip(same) {
            let at = since(at + i128::from(tick) * place / count);
            arrival.at_ns = i64::try_from(at).unwrap_or(i64::MAX); // at most 100 days
        }
    }
    // At great speed the last tick may round to nothing: the last arrival is within the replay all the same.
    let last_ns = arrivals.last().map_or(0, Arrival::ns);
    Ok(u64::try_from(lasts).unwrap_or(u64::MAX).max(last_ns + 1))
}

/// The coarsest unit, in nanoseconds, that all timestamps are multiples of.
fn tick(arrivals: &[Arrival]) -> i64 {
    let mut units = [1_000_000_000, 1_000_000, 1_000, 1].into_iter();
    let mut tick = units.next().unwrap_or(1);
    for arrival in arrivals {
        while arrival.at_ns % tick != 0 {
            tick = units.next().unwrap_or(1);
        }
    }
    tick
}

/// The most arrivals of any second, or of the whole if that is shorter.
fn peak(arrivals: &[Arrival], duration_ns: u64) -> f64 {
    let (mut from, mut most) = (0, 0);
    for (to, arrival) in arrivals.iter().enumerate() {
        while arrivals[from].ns() + SECOND <= arrival.ns() {
            from += 1;
        }
        most = most.max(to + 1 - from);
    }
    per_sec(u64::try_from(most).unwrap_or(u64::MAX), duration_ns.min(SECOND))
}

#[expect(clippy::cast_precision_loss, reason = "for display and sizing")]
fn per_sec(count: u64, over_ns: u64) -> f64 {
    count as f64 * SECOND as f64 / over_ns.max(1) as f64
}
