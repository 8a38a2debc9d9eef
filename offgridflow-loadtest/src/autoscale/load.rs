//! The load of a simulation: requests a second over time.

use std::time::Duration;

/// Requests a second at instants, straight lines in between.
///
/// ```
/// use {offgridflow_loadtest::autoscale::Load, std::time::Duration};
/// let load: Load = "seconds,per_second\n0,100\n600,400\n".parse().unwrap();
/// assert_eq!(load.at(Duration::from_secs(300)), 250.0);
/// assert_eq!(load.length(), Duration::from_secs(600));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Load {
    points: Vec<(f64, f64)>, // seconds, never decreasing; requests a second, never negative
}

impl Load {
    /// Of counts in equal stretches, the middle of each of which has its mean.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of requests, and hours")]
    pub fn of_counts(counts: &[u64], each: Duration) -> Self {
        let length = each.as_secs_f64();
        let points = counts.iter().enumerate();
        Self {
            points: points.map(|(at, count)| ((at as f64 + 0.5) * length, *count as f64 / length)).collect(),
        }
    }

    /// `0s=100,5m=600,20m=600`.
    ///
    /// # Errors
    /// The corner that cannot be read, or comes before the one before it.
    pub fn of_corners(text: &str) -> Result<Self, String> {
        let mut load = Self::default();
        for corner in text.split(',') {
            let (at, per_sec) =
                corner.split_once('=').ok_or_else(|| format!("{corner:?} is not TIME=PER_SECOND"))?;
            let at = crate::units::parse_duration(at.trim())?;
            load.push(&format!("{},{per_sec}", at.as_secs_f64()))?;
        }
        Ok(load)
    }

    /// A point of `SECONDS,PER_SECOND`.
    fn push(&mut self, text: &str) -> Result<(), String> {
        let point = point(text)?;
        if let Some((before, _)) = self.points.last().filter(|(before, _)| *before > point.0) {
            return Err(format!("{} s come after {before} s", point.0));
        }
        self.points.push(point);
        Ok(())
    }

    /// Requests a second; before the first point and after the last one what these say.
    #[must_use]
    pub fn at(&self, at: Duration) -> f64 {
        let at = at.as_secs_f64();
        let next = self.points.partition_point(|(second, _)| *second <= at);
        let point = |index: usize| self.points.get(index).copied();
        match (next.checked_sub(1).and_then(point), point(next)) {
            (Some((from, low)), Some((to, high))) => low + (high - low) * (at - from) / (to - from),
            (Some((_, last)), None) => last,
            (None, Some((_, first))) => first,
            (None, None) => 0.0,
        }
    }

    /// Until the last point.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.points.last().map_or(0.0, |(at, _)| *at))
    }
}

impl std::str::FromStr for Load {
    type Err = String;

    /// Lines of `SECONDS,PER_SECOND`, after a header or without one; empty lines and those that begin with `#` do not count.
    ///
    /// # Errors
    /// The number of a line that is none of these, and what is wrong with it.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut load = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            let header = load.points.is_empty() && line.starts_with(char::is_alphabetic);
            if !(line.is_empty() || line.starts_with('#') || header) {
                load.push(line).map_err(|why| format!("line {number}: {why}"))?;
            }
        }
        if load.points.is_empty() {
            return Err("no line of SECONDS,PER_SECOND".to_owned());
        }
        Ok(load)
    }
}

fn point(line: &str) -> Result<(f64, f64), String> {
    let number =
        |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    let (at, per_sec) = line.split_once(',').ok_or_else(|| format!("{line:?} has no comma"))?;
    let at = number(at).filter(|at| *at <= super::simulate::LONGEST.as_secs_f64());
    let at = at.ok_or("the seconds are a number from 0 to 31 days")?;
    Ok((at, number(per_sec).ok_or("the rate is a number from 0 up")?))
}
