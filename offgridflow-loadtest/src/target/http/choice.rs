//! Which of its routes and flows an operation takes.

use std::num::NonZeroU32;

use super::HttpTarget;
#[cfg(feature = "cli")]
use crate::histogram::as_f64;
use crate::op::Op;

impl HttpTarget {
    /// The first route or flow takes the place of what is asked without any.
    pub(super) fn weigh(&mut self, weight: NonZeroU32) {
        if self.weights == 0 {
            self.routes.clear();
            self.replayed = None;
        }
        self.weights += u64::from(weight.get());
    }

    /// Each route and flow with its part of the operations, where some were given.
    #[cfg(feature = "cli")]
    pub(crate) fn outline(&self) -> Vec<String> {
        let routes = self.routes.iter().map(|route| ("route", route.to_string()));
        let flows = self.flows.iter().map(|flow| ("flow", flow.to_string()));
        let given = self.every_weight().zip(routes.chain(flows)).filter(|_| self.weights > 0);
        let part = |weight: u64| as_f64(weight) * 100.0 / as_f64(self.weights);
        given.map(|(weight, (kind, shown))| format!("{kind:<11} {:5.1} %  {shown}", part(weight))).collect()
    }

    /// Which route or flow an operation takes: the log's, or drawn from its own random numbers by weight.
    pub(super) fn draw(&self, op: &Op) -> usize {
        if let Some(replayed) = &self.replayed {
            return replayed.route(op.index());
        }
        if self.routes.len() + self.flows.len() == 1 {
            return 0;
        }
        let mut draw = op.rng().below(self.weights);
        let passed = |weight: u64| {
            let here = draw < weight;
            draw = draw.saturating_sub(weight);
            here
        };
        self.every_weight().position(passed).unwrap_or(0)
    }

    /// Of all routes, then of all flows.
    fn every_weight(&self) -> impl Iterator<Item = u64> {
        let routes = self.routes.iter().map(|route| route.weight);
        routes.chain(self.flows.iter().map(|flow| flow.weight)).map(|weight| weight.get().into())
    }

    /// What reports name a route or flow.
    pub(super) fn name(&self, at: usize) -> &str {
        match at.checked_sub(self.routes.len()) {
            None => self.routes[at].name(),
            Some(at) => &self.flows[at].name,
        }
    }
}
