//! Several requests in order.

use std::time::Duration;

use serde::Deserialize;

use super::{
    route::{Around, Route},
    template::{InFlow, Sources},
    values::Span,
};
use crate::{
    error::ConfigError,
    target::http::{HttpFlow, HttpStep},
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flow {
    name: String,
    weight: Option<u32>,
    #[serde(default)]
    step: Vec<Route>,
}

impl Flow {
    /// With steps that take values from earlier ones only, and rest for less than the time-out.
    pub(super) fn build(&self, around: &Around<'_>, timeout: Duration) -> Result<HttpFlow, ConfigError> {
        if self.weight == Some(0) {
            return Err(ConfigError::new("weight", "must be at least 1; leave the flow out instead"));
        }
        let mut flow = HttpFlow::new(&self.name).weight(self.weight.unwrap_or(1));
        for at in 0..self.step.len() {
            let step = self.build_step(at, around);
            flow = flow.step(step.map_err(super::within(&format!("step.{at}")))?);
        }
        if flow.pauses() >= timeout {
            let hint = format!(
                "its pauses take {:?}, and the time-out of {timeout:?} is for the whole flow: raise load.timeout",
                flow.pauses()
            );
            return Err(ConfigError::new("step", hint));
        }
        Ok(flow)
    }

    fn build_step(&self, at: usize, around: &Around<'_>) -> Result<HttpStep, ConfigError> {
        let said = &self.step[at];
        if said.weight.is_some() {
            return Err(ConfigError::new("weight", "is the flow's: each of its steps is taken as often"));
        }
        let (earlier, later) = (names(&self.step[..at]), names(&self.step[at..]));
        let flow = Some(InFlow { earlier: &earlier, later: &later });
        let around = Around { from: Sources { flow, ..around.from }, ..*around };
        let mut step = HttpStep::new(said.request(&around)?);
        if let Some(Span(pause)) = said.pause {
            step = step.pause(pause);
        }
        if let Some(Span(wait)) = said.retry_every {
            if said.check.is_empty() && said.extract.is_empty() {
                let hint = "there is nothing to wait for: add a check, or an extraction";
                return Err(ConfigError::new("retry_every", hint));
            }
            step = step.retry_every(wait);
        }
        said.extract.iter().try_fold(step, |step, (name, from)| step.extract(name, from))
    }
}

/// What these steps extract.
fn names(steps: &[Route]) -> Vec<&str> {
    steps.iter().flat_map(|step| step.extract.keys().map(String::as_str)).collect()
}
