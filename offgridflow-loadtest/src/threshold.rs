//! What a run has to achieve: `p95(response) < 100ms`.

use std::{fmt, str::FromStr, time::Duration};

use crate::{
    error::ConfigError,
    units::{exact_duration, parse_duration, parse_percent},
};

/// A condition on a run, or on one of its routes.
///
/// ```text
/// p95(response) < 100ms            p50, p99.9, mean, max, min of: response, service,
/// max(service){GET /slow} <= 2s        dispatch_lag, admission_wait, first_byte
/// failure_ratio < 1%               share of operations that failed
/// achieved_rate >= 99%             answered by the end of the schedule, as a share of what was offered (open loop)
/// late_ratio <= 1%                 share of operations answered after their deadline, or never
/// throughput >= 900/s              answers a second, within the measured part of the plan
/// failures < 10                    how many failed
/// answered >= 1000                 how many were answered
/// ```
///
/// A route in braces narrows `response` and `service` of the first form, and all others but `achieved_rate`, to that route.
/// A condition without data is not met. One that no run could meet or break (`failure_ratio <= 200%`), or on a route that cannot be,
/// is refused before the run by [`LoadTest::validate`](crate::LoadTest::validate).
///
/// ```
/// use offgridflow_loadtest::Threshold;
/// let threshold: Threshold = "p99.9(response){GET /} <= 1.5s".parse()?;
/// assert_eq!(threshold.to_string(), "p99.9(response){GET /} <= 1500ms");
/// assert!("p95(latency) < 1s".parse::<Threshold>().unwrap_err().hint.contains("response"));
/// # Ok::<(), offgridflow_loadtest::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    pub(crate) metric: Metric,
    pub(crate) route: Option<String>,
    pub(crate) comparison: Comparison,
    pub(crate) limit: Limit,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    Time(Statistic, Series),
    FailureRatio,
    AchievedRate,
    LateRatio,
    Throughput,
    Failures,
    Answered,
}

/// A statistic of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistic {
    /// In thousandths of a percent: p99.9 is 99 900.
    Quantile(u32),
    Mean,
    Max,
    Min,
}

/// Which part of an operation's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Series {
    Response,
    Service,
    DispatchLag,
    AdmissionWait,
    FirstByte,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Limit {
    Time(Duration),
    Percent(f64),
    PerSecond(f64),
    Count(u64),
}

const SERIES: [(&str, Series); 5] = [
    ("response", Series::Response),
    ("service", Series::Service),
    ("dispatch_lag", Series::DispatchLag),
    ("admission_wait", Series::AdmissionWait),
    ("first_byte", Series::FirstByte),
];
const PLAIN: [(&str, Metric); 6] = [
    ("failure_ratio", Metric::FailureRatio),
    ("achieved_rate", Metric::AchievedRate),
    ("late_ratio", Metric::LateRatio),
    ("throughput", Metric::Throughput),
    ("failures", Metric::Failures),
    ("answered", Metric::Answered),
];
// Longer first: `<=` also begins with `<`.
const COMPARISONS: [(&str, Comparison); 4] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

impl Threshold {
    /// At most this share of operations may fail.
    pub(crate) fn failure_ratio(share: f64) -> Self {
        Self {
            metric: Metric::FailureRatio,
            route: None,
            comparison: Comparison::AtMost,
            limit: Limit::Percent(share * 100.0),
        }
    }

    /// Whether it is a condition on the failures of the whole run.
    pub(crate) fn judges_failures(&self) -> bool {
        self.route.is_none() && matches!(self.metric, Metric::FailureRatio | Metric::Failures)
    }
}

impl Comparison {
    /// The one that a text begins with, and what follows it.
    pub(crate) fn read(text: &str) -> Option<(Self, &str)> {
        COMPARISONS.iter().find_map(|(sign, comparison)| Some((*comparison, text.strip_prefix(sign)?)))
    }

    pub(crate) fn holds<T: PartialOrd>(self, measured: T, limit: T) -> bool {
        match self {
            Self::Less => measured < limit,
            Self::AtMost => measured <= limit,
            Self::More => measured > limit,
            Self::AtLeast => measured >= limit,
        }
    }

    /// Whether small values are good.
    pub(crate) fn is_upper(self) -> bool {
        matches!(self, Self::Less | Self::AtMost)
    }
}

impl FromStr for Threshold {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        parse(text).map_err(|hint| ConfigError::new("thresholds", format!("`{}`: {hint}", text.trim())))
    }
}

fn parse(text: &str) -> Result<Threshold, String> {
    let (left, route, rest) = split(text)?;
    let rest = rest.trim_start();
    let (comparison, limit) = Comparison::read(rest)
        .ok_or("write a comparison (<, <=, >, >=), for example \"p95(response) < 100ms\"")?;
    let metric = metric(left.trim())?;
    if route.is_some() && !may_have_route(metric) {
        return Err("this is measured for the whole run only: leave out the route".into());
    }
    Ok(Threshold { metric, route, comparison, limit: parse_limit(metric, limit)? })
}

/// The metric, the route in braces if there is one, and the rest from the comparison on.
fn split(text: &str) -> Result<(&str, Option<String>, &str), String> {
    let end = text.find(['{', '<', '>']).unwrap_or(text.len());
    let (left, rest) = text.split_at(end);
    let Some(braced) = rest.strip_prefix('{') else { return Ok((left, None, rest)) };
    // The last brace, since route templates hold braces themselves.
    let close = braced.rfind('}').ok_or("the route's closing brace is missing")?;
    let route = braced[..close].trim();
    if route.is_empty() {
        return Err("the route between the braces is empty".into());
    }
    Ok((left, Some(route.to_owned()), &braced[close + 1..]))
}

fn metric(text: &str) -> Result<Metric, String> {
    if let Some((_, metric)) = PLAIN.iter().find(|(name, _)| *name == text) {
        return Ok(*metric);
    }
    let unknown = || {
        let names: Vec<_> = PLAIN.iter().map(|(name, _)| *name).collect();
        format!("`{text}` is not a metric: use {} or, for example, p95(response)", names.join(", "))
    };
    let (statistic, series) =
        text.strip_suffix(')').and_then(|text| text.split_once('(')).ok_or_else(unknown)?;
    Ok(Metric::Time(parse_statistic(statistic.trim())?, parse_series(series.trim())?))
}

fn parse_statistic(text: &str) -> Result<Statistic, String> {
    match text {
        "mean" => return Ok(Statistic::Mean),
        "max" => return Ok(Statistic::Max),
        "min" => return Ok(Statistic::Min),
        _ => {}
    }
    let wrong =
        || format!("`{text}` is not a statistic: use mean, max, min or a percentile such as p95 or p99.9");
    let number = text.strip_prefix('p').ok_or_else(wrong)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(whole) && digits(part) && whole.len() <= 2 && part.len() > 3 {
        return Err(format!(
            "`{text}` is finer than a run can tell: at most three decimals, such as p99.999"
        ));
    }
    if !digits(whole) || !digits(part) || whole.len() > 2 {
        return Err(wrong());
    }
    let thousandths: u32 = format!("{whole}{part:0<3}").parse().map_err(|_| wrong())?;
    if thousandths == 0 { Err(wrong()) } else { Ok(Statistic::Quantile(thousandths)) }
}

fn parse_series(text: &str) -> Result<Series, String> {
    let found = SERIES.iter().find(|(name, _)| *name == text).map(|(_, series)| *series);
    found.ok_or_else(|| {
        let names: Vec<_> = SERIES.iter().map(|(name, _)| *name).collect();
        format!("`{text}` is not measured: use {}", names.join(", "))
    })
}

fn parse_limit(metric: Metric, text: &str) -> Result<Limit, String> {
    match metric {
        Metric::Time(..) => parse_duration(text).map(Limit::Time),
        Metric::FailureRatio | Metric::AchievedRate | Metric::LateRatio => {
            let text = text.trim();
            parse_percent(text.strip_suffix("of offered").unwrap_or(text)).map(Limit::Percent)
        }
        Metric::Throughput => {
            let text = text.trim();
            let number = text.strip_suffix("/s").unwrap_or(text).trim_end();
            let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let rate = number.parse().ok().filter(|_| plain).map(Limit::PerSecond);
            rate.ok_or_else(|| format!("`{text}` is not a rate, for example 900/s"))
        }
        Metric::Failures | Metric::Answered => {
            let count = text.trim().parse();
            count.map(Limit::Count).map_err(|_| format!("`{}` is not a whole number", text.trim()))
        }
    }
}

fn may_have_route(metric: Metric) -> bool {
    use Series::{Response, Service};
    matches!(
        metric,
        Metric::Time(_, Response | Service)
            | Metric::FailureRatio
            | Metric::LateRatio
            | Metric::Throughput
            | Metric::Failures
            | Metric::Answered
    )
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.metric {
            Metric::Time(statistic, series) => write!(f, "{statistic}({series})")?,
            metric => {
                f.write_str(PLAIN.iter().find(|(_, plain)| *plain == metric).map_or("?", |(name, _)| name))?;
            }
        }
        if let Some(route) = &self.route {
            write!(f, "{{{route}}}")?;
        }
        let sign = COMPARISONS.iter().find(|(_, comparison)| *comparison == self.comparison);
        write!(f, " {} ", sign.map_or("?", |(sign, _)| sign))?;
        match self.limit {
            Limit::Time(limit) => f.write_str(&exact_duration(limit)),
            Limit::Percent(limit) => write!(f, "{limit}%"),
            Limit::PerSecond(limit) => write!(f, "{limit}/s"),
            Limit::Count(limit) => write!(f, "{limit}"),
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::Max => f.write_str("max"),
            Self::Min => f.write_str("min"),
            Self::Quantile(thousandths) => {
                let (whole, part) = (thousandths / 1_000, thousandths % 1_000);
                let text = format!("p{whole}.{part:03}");
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SERIES.iter().find(|(_, series)| series == self).map_or("?", |(name, _)| name))
    }
}
