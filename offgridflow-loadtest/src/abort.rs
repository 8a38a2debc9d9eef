//! Ending a run early because of what its last seconds were like.

use std::{fmt, str::FromStr, time::Duration};

use crate::{
    error::ConfigError,
    threshold::{Metric, Threshold},
    units::{exact_duration, parse_duration},
};

/// The longest stretch that is looked at.
const LONGEST: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);

/// A condition on the last seconds of a run which, once it holds, ends it.
///
/// ```text
/// failure_ratio[10s] > 50%                    of what ended in the last ten seconds
/// p95(response)[30s] > 2s after 1m            not before a minute has passed
/// achieved_rate[15s] < 80%                    answered, as a share of what was due in that time (open loop)
/// failures[5s]{POST /activities} >= 100       on one route
/// ```
///
/// The metrics are those of a [`Threshold`], over whole seconds from 1 s to 5 min. It is asked once a second, of measured operations only: not before the
/// stretch lies behind the warm-up and the grace after `after`. Where the stretch holds nothing to tell, or too little for its percentile, it does not hold; a
/// target that answers nothing is caught by `answered[10s] < 1`.
///
/// ```
/// use offgridflow_loadtest::AbortRule;
/// let rule: AbortRule = "failure_ratio[10s]{GET /} > 50% after 1m".parse()?;
/// assert_eq!(rule.to_string(), "failure_ratio[10s]{GET /} > 50% after 60s");
/// assert!("failure_ratio > 50%".parse::<AbortRule>().unwrap_err().hint.contains("failure_ratio[10s]"));
/// # Ok::<(), offgridflow_loadtest::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AbortRule {
    pub(crate) condition: Threshold,
    /// Whole seconds.
    pub(crate) over: Duration,
    pub(crate) after: Duration,
}

/// Why and when a run was ended by one of its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Aborted {
    /// The rule as written.
    pub rule: String,
    /// What was measured, in words.
    pub measured: String,
    /// The end of the stretch it was measured in, from the start of the run.
    #[cfg_attr(feature = "serde", serde(rename = "at_ns", with = "crate::report::nanos"))]
    pub at: Duration,
}

impl AbortRule {
    /// The first instant by which it can hold, from the start of the run.
    pub(crate) fn first(&self) -> Duration {
        self.after.saturating_add(self.over)
    }
}

impl FromStr for AbortRule {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        parse(text).map_err(|hint| ConfigError::new("abort_if", format!("`{}`: {hint}", text.trim())))
    }
}

fn parse(text: &str) -> Result<AbortRule, String> {
    let (condition, after) = split_grace(text)?;
    // Before the route, whose name may hold brackets of its own, and before the limit.
    let head = condition.find(['{', '<', '>']).unwrap_or(condition.len());
    let window = condition[..head].find('[').and_then(|open| {
        let close = condition[open..head].find(']')? + open;
        Some((open, close))
    });
    let Some((open, close)) = window else {
        let metric = condition[..head].trim();
        let metric = if metric.is_empty() { "failure_ratio" } else { metric };
        return Err(format!(
            "say over which time, for example `{}`",
            format!("{metric}[10s] {}", &condition[head..]).trim_end()
        ));
    };
    let over = parse_duration(&condition[open + 1..close])?;
    if !(SECOND..=LONGEST).contains(&over) || over.subsec_nanos() > 0 {
        return Err("the time in brackets is whole seconds, from 1s to 5m".into());
    }
    let condition = format!("{}{}", condition[..open].trim_end(), &condition[close + 1..]);
    let condition = condition.parse().map_err(|error: ConfigError| {
        let said = error.hint;
        said.split_once("`: ").map_or(said.clone(), |(_, hint)| hint.to_owned())
    })?;
    Ok(AbortRule { condition, over, after })
}

/// The condition, and how long it is not asked.
fn split_grace(text: &str) -> Result<(&str, Duration), String> {
    let tail = text.rfind('}').map_or(0, |brace| brace + 1);
    match text[tail..].rsplit_once(" after ") {
        Some((before, grace)) => Ok((&text[..tail + before.len()], parse_duration(grace)?)),
        None => Ok((text, Duration::ZERO)),
    }
}

impl fmt::Display for AbortRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let condition = self.condition.to_string();
        let head = condition.find(['{', '<', '>']).unwrap_or(condition.len());
        let (metric, rest) = (condition[..head].trim_end(), &condition[head..]);
        let space = if self.condition.route.is_none() { " " } else { "" };
        write!(f, "{metric}[{}]{space}{rest}", exact_duration(self.over))?;
        if !self.after.is_zero() {
            write!(f, " after {}", exact_duration(self.after))?;
        }
        Ok(())
    }
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` held, with {}", self.rule, self.measured)
    }
}

impl AbortRule {
    /// # Errors
    /// What this plan could never find out.
    pub(crate) fn check(
        &self,
        planned: Duration,
        closed: bool,
        has_deadline: bool,
    ) -> Result<(), ConfigError> {
        let refused = |hint: String| Err(ConfigError::new("abort_if", format!("`{self}`: {hint}")));
        if self.first() > planned {
            return refused(format!(
                "it is first asked after {}, and the plan takes {}",
                exact_duration(self.first()),
                exact_duration(planned)
            ));
        }
        match self.condition.metric {
            Metric::AchievedRate if closed => {
                refused("achieved_rate needs an open loop: a closed loop offers no rate".into())
            }
            Metric::LateRatio if !has_deadline => {
                refused("late_ratio needs a deadline to be late for".into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_as_they_are_written() {
        for text in [
            "failure_ratio[10s] > 50%",
            "p95(response)[30s] > 2s after 60s",
            "achieved_rate[15s] < 80%",
            "failures[5s]{POST /after lunch} >= 100",
            "p99.9(service)[300s]{GET /a[0]/{id}} > 1s after 5s",
        ] {
            assert_eq!(text.parse::<AbortRule>().map(|rule| rule.to_string()), Ok(text.to_owned()));
        }
        let loose: AbortRule = " mean(response) [2m] >= 1s after 1m ".parse().expect("with blanks");
        assert_eq!(loose.to_string(), "mean(response)[120s] >= 1s after 60s");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, hint) in [
            ("failure_ratio > 50%", "say over which time, for example `failure_ratio[10s] > 50%`"),
            ("failure_ratio[10] > 50%", "needs a unit"),
            ("failure_ratio[500ms] > 50%", "whole seconds, from 1s to 5m"),
            ("failure_ratio[1500ms] > 50%", "whole seconds"),
            ("failure_ratio[10m] > 50%", "whole seconds"),
            ("p95(latency)[10s] > 1s", "`latency` is not measured"),
            ("failure_ratio[10s] > 50% after lunch", "`lunch` is not a unit of time"),
            ("failure_ratio[10s]", "write a comparison"),
            ("", "say over which time"),
        ] {
            let error = text.parse::<AbortRule>().expect_err(text);
            assert!(error.field == "abort_if" && error.hint.contains(hint), "{text}: {error}");
        }
    }
}
