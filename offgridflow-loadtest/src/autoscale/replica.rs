//! What replicas can do, and what they use while they do it.

use std::time::Duration;

/// A kind of replica, as it was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replica {
    /// How much they can do together.
    pub capacity: Capacity,
    /// From its start until it takes requests.
    pub starts_in: Duration,
    /// Processor time, in thousandths of a core.
    pub cpu: Use,
    /// Memory, in bytes.
    pub memory: Use,
}

/// Requests a second that replicas answer within the objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Capacity {
    /// So many each: nothing is shared that could run out.
    Each(f64),
    /// Gunther's Universal Scalability Law: `n λ ÷ (1 + α (n − 1) + β n (n − 1))`.
    Usl {
        /// λ: requests a second of one alone.
        lambda: f64,
        /// α: the share of work that only one does at a time.
        alpha: f64,
        /// β: what each costs each other one.
        beta: f64,
    },
}

impl Capacity {
    /// Requests a second of `replicas` together.
    ///
    /// ```
    /// use offgridflow_loadtest::autoscale::Capacity;
    /// assert_eq!(Capacity::Each(500.0).of(4), 2_000.0);
    /// let shared = Capacity::Usl { lambda: 500.0, alpha: 0.1, beta: 0.0 };
    /// assert_eq!(shared.of(11), 2_750.0); // half of eleven times one
    /// ```
    #[must_use]
    pub fn of(self, replicas: u32) -> f64 {
        let n = f64::from(replicas);
        match self {
            Self::Each(per_sec) => n * per_sec,
            Self::Usl { .. } if replicas == 0 => 0.0,
            Self::Usl { lambda, alpha, beta } => {
                n * lambda / (1.0 + alpha * (n - 1.0) + beta * n * (n - 1.0))
            }
        }
    }

    /// The fewest replicas of `most` that are enough; `None` where none of them are.
    #[must_use]
    pub fn needed(self, per_sec: f64, most: u32) -> Option<u32> {
        (0..=most).find(|&replicas| self.of(replicas) >= per_sec)
    }
}

/// What a replica requests and uses of a resource, linear in its load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// `resources.requests`.
    pub request: u64,
    /// What it uses without a request, caches filled.
    pub idle: u64,
    /// What it uses at its capacity.
    pub full: u64,
    /// `resources.limits`: it uses no more, whatever is asked of it.
    pub limit: Option<u64>,
}

impl Use {
    /// At `load` times its capacity.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "bytes and thousandths of cores"
    )]
    pub fn at(self, load: f64) -> u64 {
        let more = (self.full.saturating_sub(self.idle) as f64 * load.max(0.0)) as u64;
        (self.idle + more).min(self.limit.unwrap_or(u64::MAX))
    }
}
