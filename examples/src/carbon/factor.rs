use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::ParseError;
use super::quantity::exact_decimal;

/// Kilograms of CO₂ equivalent a unit, as an exact fraction: 44/12 is no decimal.
///
/// ```
/// use offgridflow::carbon::Ratio;
/// assert_eq!("0.20705".parse::<Ratio>()?.to_string(), "0.20705");
/// assert_eq!("44/12".parse::<Ratio>()?.to_string(), "11/3");
/// # Ok::<(), offgridflow::carbon::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ratio {
    numerator: i64,   // >= 0
    denominator: i64, // > 0, without a factor in common with the numerator
}

impl Ratio {
    /// The fraction in lowest terms; `None` when it is negative or divides by zero.
    #[must_use]
    pub fn new(numerator: i64, denominator: i64) -> Option<Self> {
        if numerator < 0 || denominator <= 0 {
            return None;
        }
        let common = greatest_common_divisor(numerator, denominator);
        Some(Self { numerator: numerator / common, denominator: denominator / common })
    }

    /// What stands above the line.
    #[must_use]
    pub const fn numerator(self) -> i64 {
        self.numerator
    }

    /// What stands below the line; never zero.
    #[must_use]
    pub const fn denominator(self) -> i64 {
        self.denominator
    }
}

fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl FromStr for Ratio {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || {
            ParseError(format!(
                "`{}` is not a decimal or a fraction that is zero or more",
                super::shown(text)
            ))
        };
        let (above, below) = text.split_once('/').unwrap_or((text, "1"));
        let (above, below) = (exact_decimal(above)?.normalize(), exact_decimal(below)?.normalize());
        let scale = above.scale().max(below.scale());
        let whole = |number: Decimal| {
            let shifted = number.mantissa().checked_mul(10_i128.checked_pow(scale - number.scale())?)?;
            i64::try_from(shifted).ok()
        };
        whole(above).zip(whole(below)).and_then(|(above, below)| Self::new(above, below)).ok_or_else(refuse)
    }
}

impl fmt::Display for Ratio {
    /// A decimal where the fraction is one, else the fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = (0..=12_u32).find_map(|scale| {
            let shifted = i128::from(self.numerator) * 10_i128.pow(scale);
            let whole = shifted % i128::from(self.denominator) == 0;
            whole.then(|| {
                Decimal::try_from_i128_with_scale(shifted / i128::from(self.denominator), scale).ok()
            })?
        });
        match exact {
            Some(decimal) => decimal.fmt(f),
            None => write!(f, "{}/{}", self.numerator, self.denominator),
        }
    }
}

impl TryFrom<String> for Ratio {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Ratio> for String {
    fn from(ratio: Ratio) -> Self {
        ratio.to_string()
    }
}

/// Scope of the Greenhouse Gas Protocol: 1 direct, 2 purchased energy, 3 everything else in the value chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i16", into = "i16")]
pub struct Scope(i16);

impl Scope {
    /// The number, 1 to 3.
    #[must_use]
    pub const fn number(self) -> i16 {
        self.0
    }
}

impl TryFrom<i16> for Scope {
    type Error = ParseError;

    fn try_from(number: i16) -> Result<Self, ParseError> {
        if (1..=3).contains(&number) {
            Ok(Self(number))
        } else {
            Err(ParseError("scope is 1, 2 or 3".to_owned()))
        }
    }
}

impl From<Scope> for i16 {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

/// What one unit of a category emits, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    /// The category it belongs to.
    pub category: String,
    /// Unit that quantities of this category are in, such as `kWh`.
    pub unit: String,
    /// Kilograms of CO₂ equivalent a unit.
    pub kg_co2e_per_unit: Ratio,
    /// Scope of the Greenhouse Gas Protocol.
    pub scope: Scope,
    /// Whether its emissions count in totals; international bunker fuels do not.
    pub in_totals: bool,
    /// The publication the value is taken from.
    pub source: String,
    /// Grows by one with each change; 1 for a published default.
    pub version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_ratio_survives_its_own_text(numerator in 0_i64.., denominator in 1_i64..) {
            let ratio = Ratio::new(numerator, denominator).unwrap();
            prop_assert_eq!(ratio.to_string().parse::<Ratio>().unwrap(), ratio);
        }

        #[test]
        fn arbitrary_text_never_panics(text in "[-0-9./eE]*|.*") {
            let _ = text.parse::<Ratio>();
        }
    }

    #[test]
    fn impossible_ratios_are_refused() {
        for text in ["-1", "1/0", "1/-2", "x", "", "1/2/3"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
    }
}
