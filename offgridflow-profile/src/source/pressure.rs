use std::time::Duration;

/// How long tasks stood still for want of memory (Linux' pressure stall information).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Pressure {
    /// At least one task stood still.
    pub some: Stall,
    /// All of them did at once.
    pub full: Stall,
}

/// The share of time stood still, and how long since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Stall {
    /// Over the last 10 s, 0 to 1.
    pub share_10s: f64,
    /// Over the last minute, 0 to 1.
    pub share_60s: f64,
    /// Over the last five minutes, 0 to 1.
    pub share_300s: f64,
    /// Since the machine, or the group, was started.
    pub total: Duration,
}

/// The lines of a `memory.pressure` file; none where it is not one.
pub(super) fn parse(text: &str) -> Option<Pressure> {
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Some(Pressure { some: stall(line("some")?)?, full: stall(line("full")?)? })
}

fn stall(line: &str) -> Option<Stall> {
    let field =
        |name: &str| line.split_whitespace().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let share = |name: &str| Some((field(name)?.parse::<f64>().ok()? / 100.0).clamp(0.0, 1.0));
    Some(Stall {
        share_10s: share("avg10")?,
        share_60s: share("avg60")?,
        share_300s: share("avg300")?,
        total: Duration::from_micros(field("total")?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_kernel_s_file_is_read() {
        let text = "some avg10=1.50 avg60=0.25 avg300=0.00 total=123456\nfull avg10=0.10 avg60=0.00 avg300=0.00 total=99\n";
        let pressure = parse(text).unwrap();
        assert_eq!((pressure.some.share_10s, pressure.some.share_60s), (0.015, 0.0025));
        assert_eq!(pressure.full.total, Duration::from_micros(99));
        assert_eq!(parse("some avg10=1.50"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(some|full|avg10=|[ -~\n]){0,40}") {
            let _ = parse(&text);
        }
    }
}
