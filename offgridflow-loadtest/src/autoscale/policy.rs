//! What a HorizontalPodAutoscaler says, with Kubernetes' defaults.

use std::time::Duration;

/// A HorizontalPodAutoscaler (`autoscaling/v2`), as far as it decides how many replicas run.
#[derive(Debug, Clone, PartialEq)]
pub struct Hpa {
    /// `metadata.name`.
    pub name: String,
    /// `minReplicas`. Default: 1.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
    /// `metrics`: each wants a number of replicas, and the largest counts.
    pub targets: Vec<Target>,
    /// `behavior.scaleUp`.
    pub up: Direction,
    /// `behavior.scaleDown`.
    pub down: Direction,
    /// How far a metric may be from its target before anything is done about it.
    pub tolerance: Tolerance,
}

impl Hpa {
    /// With Kubernetes' default behaviour and no metric yet.
    #[must_use]
    pub fn new(name: impl Into<String>, min: u32, max: u32) -> Self {
        Self {
            name: name.into(),
            min,
            max,
            targets: Vec::new(),
            up: Direction::default_up(),
            down: Direction::default_down(),
            tolerance: Tolerance::default(),
        }
    }
}

/// The average utilisation of a resource, in percent of what the pods request, at which the number of replicas is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Of what.
    pub resource: Resource,
    /// `averageUtilization`, in percent.
    pub percent: u32,
}

/// A resource that pods request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Processor time. Pods that start are not counted.
    Cpu,
    /// Memory. Every pod is counted, ready or not.
    Memory,
}

/// The rules of one direction: `behavior.scaleUp` or `behavior.scaleDown`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direction {
    /// `stabilizationWindowSeconds`: for so long, the most cautious recommendation counts.
    pub window: Duration,
    /// `selectPolicy`.
    pub select: Select,
    /// `policies`.
    pub policies: Vec<Policy>,
}

impl Direction {
    /// The larger of 100 % and four pods each 15 seconds, at once.
    #[must_use]
    pub fn default_up() -> Self {
        let quarter = Duration::from_secs(15);
        Self {
            window: Duration::ZERO,
            select: Select::Max,
            policies: vec![Policy::percent(100, quarter), Policy::pods(4, quarter)],
        }
    }

    /// All of them each 15 seconds, after five minutes.
    #[must_use]
    pub fn default_down() -> Self {
        Self {
            window: Duration::from_secs(300),
            select: Select::Max,
            policies: vec![Policy::percent(100, Duration::from_secs(15))],
        }
    }
}

/// Which of several policies counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Select {
    /// The one that changes most. Default.
    #[default]
    Max,
    /// The one that changes least.
    Min,
    /// None: nothing goes in this direction.
    Disabled,
}

/// How much may change within a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// By how much.
    pub limit: Limit,
    /// `periodSeconds`: from 1 second to 30 minutes.
    pub period: Duration,
}

impl Policy {
    /// `pods` more or fewer within `period`.
    #[must_use]
    pub const fn pods(pods: u32, period: Duration) -> Self {
        Self { limit: Limit::Pods(pods), period }
    }

    /// `percent` of what ran when `period` began, more or fewer.
    #[must_use]
    pub const fn percent(percent: u32, period: Duration) -> Self {
        Self { limit: Limit::Percent(percent), period }
    }
}

/// The amount of a [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// A number of pods.
    Pods(u32),
    /// Percent of the pods at the beginning of the period.
    Percent(u32),
}

/// When a metric is close enough to its target that nothing is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// `1 − down ≤ usage ÷ target ≤ 1 + up`: since Kubernetes 1.33, where both can be set. Default: a tenth each.
    Between {
        /// `scaleDown.tolerance`.
        down: f64,
        /// `scaleUp.tolerance`.
        up: f64,
    },
    /// `|1 − usage ÷ target| ≤ tolerance`, as before 1.33. Not the same at the edge: 77 % of a target of 70 % is 0.1 and a rounding
    /// error away, which scales here.
    Within(f64),
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::Between { down: 0.1, up: 0.1 }
    }
}

impl Tolerance {
    /// Whether nothing is done at this ratio of usage to target.
    #[must_use]
    pub fn holds(self, ratio: f64) -> bool {
        match self {
            Self::Between { down, up } => (1.0 - down..=1.0 + up).contains(&ratio),
            Self::Within(tolerance) => (1.0 - ratio).abs() <= tolerance,
        }
    }
}
