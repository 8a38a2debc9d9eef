use serde::Serialize;
use statrs::distribution::{Beta, ContinuousCDF};

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// Times it happened.
    pub events: u64,
    /// Times it could have.
    pub trials: u64,
}

impl Rate {
    /// The share itself; 0 when nothing was tried.
    #[must_use]
    pub fn share(self) -> f64 {
        if self.trials == 0 { 0.0 } else { self.events as f64 / self.trials as f64 }
    }

    /// The exact one-sided 99 % lower bound of the rate (Clopper and Pearson 1934).
    #[must_use]
    pub fn at_least(self) -> f64 {
        let (events, trials) = (self.events as f64, self.trials as f64);
        if self.events == 0 { 0.0 } else { quantile(events, trials - events + 1.0, 0.01) }
    }

    /// The exact one-sided 99 % upper bound of the rate.
    #[must_use]
    pub fn at_most(self) -> f64 {
        let (events, trials) = (self.events as f64, self.trials as f64);
        if self.events >= self.trials { 1.0 } else { quantile(events + 1.0, trials - events, 0.99) }
    }

    /// The exact 95 % interval of the rate.
    #[must_use]
    pub fn interval(self) -> (f64, f64) {
        let (events, trials) = (self.events as f64, self.trials as f64);
        let low = if self.events == 0 { 0.0 } else { quantile(events, trials - events + 1.0, 0.025) };
        let high =
            if self.events >= self.trials { 1.0 } else { quantile(events + 1.0, trials - events, 0.975) };
        (low, high)
    }

    /// Counts one more.
    pub fn count(&mut self, happened: bool) {
        self.events += u64::from(happened);
        self.trials += 1;
    }
}

fn quantile(a: f64, b: f64, share: f64) -> f64 {
    Beta::new(a, b).map_or(f64::NAN, |beta| beta.inverse_cdf(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_clopper_and_pearsons() {
        let none = Rate { events: 0, trials: 459 };
        assert!((none.at_most() - (1.0 - 0.01_f64.powf(1.0 / 459.0))).abs() < 1e-9);
        let all = Rate { events: 10, trials: 10 };
        assert!((all.at_least() - 0.01_f64.powf(0.1)).abs() < 1e-9 && all.at_most() == 1.0);
        let (low, high) = Rate { events: 5, trials: 10 }.interval();
        assert!((low - 0.1871).abs() < 1e-4 && (high - 0.8129).abs() < 1e-4, "{low} {high}");
        let some = Rate { events: 3, trials: 1_000 };
        assert!(some.at_least() < 0.003 && (0.009..0.011).contains(&some.at_most()), "{}", some.at_most());
    }
}
