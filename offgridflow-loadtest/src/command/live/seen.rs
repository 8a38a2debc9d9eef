//! What the view knows of a run.

use std::{collections::VecDeque, time::Duration};

use crate::{Light, Outlook, Plan, RunState, Standing, Window, histogram::Distribution};

/// How many windows it remembers: the widest heat map.
const KEPT: usize = 120;

/// A run so far.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) target: String,
    pub(super) load: String,
    pub(super) windows: VecDeque<Window>, // at most KEPT, the latest last
    pub(super) responses: Distribution,   // of the measured part
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) offered: Option<u64>,
    pub(super) measured: Duration,
    pub(super) longest_lag: Duration, // of a window's p99
    pub(super) outlook: Outlook,
    pub(super) stopping: bool,
    pub(super) steering: Option<Steering>, // where it may be steered
}

/// How a run that may be steered stands, and what the last key was refused for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Steering {
    pub(super) address: String,
    pub(super) paused: bool,
    pub(super) altered: bool,
    pub(super) said: Option<String>,
}

impl Steering {
    /// Whether it stands otherwise than it did.
    pub(super) fn look(&mut self, standing: &Standing) -> bool {
        let (paused, altered) =
            (standing.state == RunState::Paused, standing.annotations.iter().any(|one| one.what.alters()));
        let is_new = (paused, altered) != (self.paused, self.altered);
        (self.paused, self.altered) = (paused, altered);
        is_new
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            target: String::new(),
            load: String::new(),
            windows: VecDeque::new(),
            responses: Distribution::default(),
            ok: 0,
            failed: 0,
            offered: None,
            measured: Duration::ZERO,
            longest_lag: Duration::ZERO,
            outlook: Outlook { light: Light::Amber, says: "nothing measured yet".into() },
            stopping: false,
            steering: None,
        }
    }
}

impl Seen {
    pub(super) fn begin(&mut self, plan: &Plan) {
        (self.target, self.load) = (plan.target.clone(), plan.load());
    }

    pub(super) fn take(&mut self, window: Window) {
        if window.measured {
            self.responses.merge(window.responses());
            self.ok += window.ok;
            self.failed += window.failed;
            self.measured += window.length().saturating_sub(window.paused);
            if let Some(offered) = window.offered {
                self.offered = Some(self.offered.unwrap_or(0) + offered);
            }
            self.longest_lag = self.longest_lag.max(window.lag_p99.unwrap_or_default());
        }
        if let Some(outlook) = &window.outlook {
            self.outlook = outlook.clone();
        }
        if self.windows.len() == KEPT {
            self.windows.pop_front();
        }
        self.windows.push_back(window);
    }

    pub(super) fn last(&self) -> Option<&Window> {
        self.windows.back()
    }
}
