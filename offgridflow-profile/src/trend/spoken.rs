use std::fmt;
use std::time::Duration;

/// A duration as people say it.
pub(crate) struct Spoken(pub(crate) Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs().saturating_add(u64::from(self.0.subsec_nanos() > 0)) {
            seconds @ 0..120 => write!(f, "{seconds} s"),
            seconds @ 120..7_200 => write!(f, "{} min", seconds.div_ceil(60)),
            seconds @ 7_200..172_800 => write!(f, "{} h", seconds.div_ceil(3_600)),
            seconds => write!(f, "{} d", seconds.div_ceil(86_400)),
        }
    }
}

/// Bytes in the unit that reads best.
pub(crate) struct Bytes(pub(crate) f64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            bytes if bytes < 1_024.0 => write!(f, "{:.0} B", self.0),
            bytes if bytes < 1_048_576.0 => write!(f, "{:.1} KiB", self.0 / 1_024.0),
            bytes if bytes < 1_073_741_824.0 => write!(f, "{:.1} MiB", self.0 / 1_048_576.0),
            _ => write!(f, "{:.2} GiB", self.0 / 1_073_741_824.0),
        }
    }
}

/// Bytes per second, spoken per hour: leaks are slow.
pub(crate) struct Rate(pub(crate) f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/h", Bytes(self.0 * 3_600.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_can_be_said() {
        let said = |duration: Duration| Spoken(duration).to_string();
        assert_eq!(said(Duration::from_millis(1_500)), "2 s");
        assert_eq!(said(Duration::from_secs(7_200)), "2 h");
        assert_eq!(said(Duration::MAX), "213503982334602 d");
    }
}
