//! Stretches of a rate.

use serde::Deserialize;

use super::values::Span;
use crate::{error::ConfigError, rate::Rate};

/// One of `{ over, to }`, `{ over, sine }` and `{ steps }`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stage {
    over: Option<Span>,
    to: Option<f64>,
    sine: Option<Sine>,
    steps: Option<Steps>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sine {
    mean: f64,
    amplitude: f64,
    period: Span,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps {
    from: f64,
    to: f64,
    count: u32,
    each: Span,
}

/// The rate of all stages, one after the other; a fault names its stage.
pub(super) fn rate_of(stages: &[Stage]) -> Result<Rate, ConfigError> {
    if stages.is_empty() {
        let hint = "at least one stage is needed, for example stages = [{ over = \"30s\", to = 100 }]";
        return Err(ConfigError::new("stages", hint));
    }
    let mut rate = Rate::default();
    for (index, stage) in stages.iter().enumerate() {
        rate = stage.follow(rate).map_err(|(field, hint)| {
            let field = if field.is_empty() { String::new() } else { format!(".{field}") };
            ConfigError::new(format!("stages.{index}{field}"), hint)
        })?;
    }
    rate.validate().map_err(|error| ConfigError::new("stages", error.hint))?;
    Ok(rate)
}

/// The part of a stage that is wrong, and what to do.
type Fault = (&'static str, &'static str);

impl Stage {
    fn follow(self, rate: Rate) -> Result<Rate, Fault> {
        let (field, rate) = match self {
            Self { over: Some(Span(over)), to: Some(to), sine: None, steps: None } => {
                ("", rate.then_ramp_to(to, over))
            }
            Self { over: Some(Span(over)), to: None, sine: Some(sine), steps: None } => {
                let Sine { mean, amplitude, period: Span(period) } = sine;
                ("sine", rate.then_sine(mean, amplitude, period, over))
            }
            Self { over: None, to: None, sine: None, steps: Some(steps) } => {
                let Steps { from, to, count, each: Span(each) } = steps;
                ("steps", rate.then_steps(from, to, count, each))
            }
            _ => {
                let hint = "write { over = \"30s\", to = 100 }, \
                            { over = \"60s\", sine = { mean = 100, amplitude = 50, period = \"20s\" } } or \
                            { steps = { from = 100, to = 500, count = 5, each = \"30s\" } }";
                return Err(("", hint));
            }
        };
        match rate.fault() {
            Some(hint) => Err((field, hint)),
            None => Ok(rate),
        }
    }
}
