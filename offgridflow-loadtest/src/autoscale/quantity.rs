//! Kubernetes' quantities, and what is said of a replica in a line.

use crate::autoscale::{Capacity, Use};

/// Decimal and binary suffixes, by what they multiply with.
const SUFFIXES: [(&str, f64); 9] = [
    ("Ki", 1_024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
];

/// A quantity as Kubernetes writes it (`500m`, `1.5`, `128Mi`), times `unit`, as a whole number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded before")]
fn quantity(text: &str, unit: f64) -> Result<u64, String> {
    let suffix = SUFFIXES.iter().find_map(|(suffix, times)| Some((text.strip_suffix(suffix)?, *times)));
    let (number, times) = suffix.unwrap_or((text, 1.0));
    let number: Option<f64> = number.parse().ok().map(|number: f64| number * times * unit);
    match number {
        Some(number) if (0.0..=1e15).contains(&number) => Ok(number.round() as u64),
        _ => Err(format!("{text:?} is no quantity, such as 500m or 128Mi")),
    }
}

impl Use {
    /// Of a processor: `request=500m,idle=25m,full=450m` and perhaps `limit=1`.
    ///
    /// # Errors
    /// What is missing or cannot be read.
    ///
    /// ```
    /// # use offgridflow_loadtest::autoscale::Use;
    /// let cpu = Use::of_cpu("request=500m,idle=25m,full=0.45").unwrap();
    /// assert_eq!((cpu.request, cpu.idle, cpu.full, cpu.limit), (500, 25, 450, None));
    /// ```
    pub fn of_cpu(text: &str) -> Result<Self, String> {
        Self::of(text, 1e3)
    }

    /// Of memory: `request=128Mi,idle=22Mi,full=60Mi` and perhaps `limit=512Mi`.
    ///
    /// # Errors
    /// What is missing or cannot be read.
    pub fn of_memory(text: &str) -> Result<Self, String> {
        Self::of(text, 1.0)
    }

    fn of(text: &str, unit: f64) -> Result<Self, String> {
        let [mut request, mut idle, mut full, mut limit] = [None; 4];
        for part in text.split(',') {
            let (name, value) =
                part.trim().split_once('=').ok_or_else(|| format!("{part:?} is not NAME=QUANTITY"))?;
            let field = match name {
                "request" => &mut request,
                "idle" => &mut idle,
                "full" => &mut full,
                "limit" => &mut limit,
                other => return Err(format!("{other:?} is none of request, idle, full and limit")),
            };
            *field = Some(quantity(value, unit)?);
        }
        let of = |field: Option<u64>, name: &str| field.ok_or_else(|| format!("{name}= is missing"));
        let found = Self {
            request: of(request, "request")?,
            idle: of(idle, "idle")?,
            full: of(full, "full")?,
            limit,
        };
        match found {
            Self { request: 0, .. } => Err("request= is above 0: utilisation is percent of it".to_owned()),
            Self { idle, full, .. } if full < idle => Err("full= is not less than idle=".to_owned()),
            found => Ok(found),
        }
    }
}

impl std::str::FromStr for Capacity {
    type Err = String;

    /// `500`, or `usl:LAMBDA,ALPHA,BETA`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
        };
        let refused =
            || format!("{text:?} is neither requests a second of one replica nor usl:LAMBDA,ALPHA,BETA");
        let found = match text.strip_prefix("usl:") {
            None => number(text).map(Self::Each),
            Some(law) => match law.split(',').map(number).collect::<Option<Vec<_>>>().as_deref() {
                Some(&[lambda, alpha, beta]) => Some(Self::Usl { lambda, alpha, beta }),
                _ => None,
            },
        };
        found.filter(|capacity| capacity.of(1) > 0.0).ok_or_else(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_kubernetes_own() {
        for (text, cpu, memory) in
            [("500m", 500, 1), ("1", 1_000, 1), ("0.1", 100, 0), ("128Mi", 134_217_728_000, 134_217_728)]
        {
            assert_eq!((quantity(text, 1e3), quantity(text, 1.0)), (Ok(cpu), Ok(memory)), "{text}");
        }
        for text in ["", "m", "-1", "1Zi", "NaN", "1e30"] {
            assert!(quantity(text, 1.0).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (text, why) in [
            ("request=1", "idle= is missing"),
            ("request=0,idle=0,full=0", "above 0"),
            ("request=1,idle=2,full=1", "not less"),
            ("request", "NAME=QUANTITY"),
            ("requests=1", "none of"),
        ] {
            assert!(Use::of_cpu(text).unwrap_err().contains(why), "{text}");
        }
        assert_eq!("500".parse(), Ok(Capacity::Each(500.0)));
        assert_eq!("usl:500,0.1,0".parse(), Ok(Capacity::Usl { lambda: 500.0, alpha: 0.1, beta: 0.0 }));
        for text in ["", "0", "usl:1,2", "usl:0,0,0", "-1"] {
            assert!(text.parse::<Capacity>().is_err(), "{text}");
        }
    }
}
