use crate::Error;

/// What one benchmark took, sample by sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The benchmark's full name.
    pub name: String,
    /// Nanoseconds an iteration, in the order they were taken.
    pub samples: Vec<f64>,
}

impl Measurement {
    /// A measurement of `samples`, in nanoseconds an iteration and in the order they were taken.
    #[must_use]
    pub fn new(name: impl Into<String>, samples: Vec<f64>) -> Self {
        Self { name: name.into(), samples }
    }

    /// The samples' logarithms, once they are known to be durations and enough.
    pub(crate) fn logarithms(&self) -> Result<Vec<f64>, Error> {
        const LEAST: usize = 10;
        let refuse = |reason| Err(Error::Samples { name: self.name.clone(), reason });
        if self.samples.len() < LEAST {
            return refuse("fewer than 10 samples");
        }
        if !self.samples.iter().all(|sample| sample.is_finite() && *sample > 0.0) {
            return refuse("a sample is not a positive number of nanoseconds");
        }
        Ok(self.samples.iter().map(|sample| sample.ln()).collect())
    }
}

/// Where measurements come from: a folder of criterion's, a database, a test.
pub trait MeasurementSource {
    /// All measurements of the source, each benchmark once, ordered by name.
    ///
    /// # Errors
    /// When the source cannot be read whole; a part of it is never returned as if it were all.
    fn measurements(&self) -> Result<Vec<Measurement>, Error>;
}

impl MeasurementSource for Vec<Measurement> {
    fn measurements(&self) -> Result<Vec<Measurement>, Error> {
        let mut measurements = self.clone();
        measurements.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(measurements)
    }
}
