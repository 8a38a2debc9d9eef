//! Response times from the fastest to the slowest.

use super::seen::{Seen, interval};
use crate::histogram::{Interval, Quantile, min_samples};

/// A point on the curve of response times, and of service times beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Percentile {
    /// Which share of the operations took no longer: 0.99 for the 99th percentile.
    pub share: f64,
    /// The response time.
    pub response: Quantile,
    /// How sure that is.
    pub interval: Interval,
    /// The service time.
    pub service: Quantile,
}

/// What is left above each point of the first decade; the others have a tenth, a hundredth … of it.
const REST: [f64; 10] = [1.0, 0.8, 0.63, 0.5, 0.4, 0.315, 0.25, 0.2, 0.16, 0.125];
/// The curve ends here at the latest: one operation in ten million.
const DECADES: i32 = 7;

impl Seen<'_> {
    /// As far as there are operations for it: the last point is the highest percentile of which the run can tell something.
    pub(super) fn percentiles(&self) -> Vec<Percentile> {
        let (response, observed) = (self.response(), &self.record.response);
        let shares = (0..DECADES).flat_map(|decade| REST.map(|rest| 1.0 - rest / 10_f64.powi(decade)));
        let told = shares.take_while(|&share| observed.seen.count() >= min_samples(share));
        told.map(|share| Percentile {
            share,
            response: response.quantile(share),
            interval: if share > 0.0 { interval(response, observed, share) } else { Interval::NONE },
            service: self.record.service.seen.quantile(share),
        })
        .collect()
    }
}
