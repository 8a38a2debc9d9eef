use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use super::{ParseError, Ratio, shown};

/// Decimal places a quantity keeps.
const PLACES: u32 = 6;

/// An exact amount in its category's unit, held as an integer count of millionths: ±9.2 × 10¹².
///
/// ```
/// use offgridflow::carbon::Quantity;
/// let quantity: Quantity = "12.50".parse()?;
/// assert_eq!((quantity.millionths(), quantity.to_string().as_str()), (12_500_000, "12.5"));
/// assert!("0.0000001".parse::<Quantity>().is_err(), "never rounded");
/// # Ok::<(), offgridflow::carbon::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i64);

impl Quantity {
    /// From a count of millionths, as the database holds it.
    #[must_use]
    pub const fn from_millionths(millionths: i64) -> Self {
        Self(millionths)
    }

    /// The count of millionths.
    #[must_use]
    pub const fn millionths(self) -> i64 {
        self.0
    }

    /// Emissions at `ratio` kilograms a unit, rounded once: to whole grams, halves away from zero, so that an adjustment
    /// cancels what it adjusts. `None` beyond ±9.2 × 10¹⁸ g.
    #[must_use]
    pub fn emissions(self, ratio: Ratio) -> Option<Grams> {
        let grams_times_divisor =
            i128::from(self.0).checked_mul(i128::from(ratio.numerator()))?.checked_mul(1_000)?;
        let divisor = i128::from(ratio.denominator()) * 10_i128.pow(PLACES);
        let half = divisor / 2 * grams_times_divisor.signum();
        let rounded = grams_times_divisor.checked_add(half)? / divisor;
        i64::try_from(rounded).ok().map(Grams::from)
    }
}

impl FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let number = exact_decimal(text)?;
        let scaled = number.checked_mul(Decimal::from(10_u64.pow(PLACES)));
        let scaled = scaled.ok_or_else(|| too_large(text))?.normalize();
        if scaled.scale() > 0 {
            return Err(ParseError(format!("`{}` has more than {PLACES} decimal places", shown(text))));
        }
        i64::try_from(scaled).map(Self).map_err(|_| too_large(text))
    }
}

/// Reads a decimal without rounding; exponents are welcome, names such as `NaN` are not.
pub(super) fn exact_decimal(text: &str) -> Result<Decimal, ParseError> {
    let refuse = || ParseError(format!("`{}` is not a decimal number of at most 28 digits", shown(text)));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    if text.contains('_') {
        return Err(refuse()); // the library takes it for a separator
    }
    let mantissa = Decimal::from_str_exact(mantissa).map_err(|_| refuse())?.normalize();
    let exponent: i32 = exponent.parse().map_err(|_| refuse())?;
    shifted(mantissa, exponent).ok_or_else(refuse)
}

/// `number` times ten to the `exponent`, exactly or not at all.
fn shifted(number: Decimal, exponent: i32) -> Option<Decimal> {
    let scale = i32::try_from(number.scale()).ok()?.checked_sub(exponent)?;
    if number.is_zero() {
        return Some(number);
    }
    let (whole, scale) = match u32::try_from(scale) {
        Ok(scale) => (number.mantissa(), scale),
        Err(_) => (number.mantissa().checked_mul(10_i128.checked_pow(scale.unsigned_abs())?)?, 0),
    };
    Decimal::try_from_i128_with_scale(whole, scale).ok()
}

fn too_large(text: &str) -> ParseError {
    ParseError(format!("`{}` is beyond ±9.2 × 10¹²", shown(text)))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decimal::new(self.0, PLACES).normalize().fmt(f)
    }
}

impl Serialize for Quantity {
    /// As text: a JSON number would pass through floats on many a client.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Greenhouse gas in grams of CO₂ equivalent; shown in kilograms, exactly. One activity's fit 64 bits, a sum's need not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grams(i128);

impl Grams {
    /// A sum from its billions and the rest, as [`crate::store::Total`] has it.
    #[must_use]
    pub fn from_parts(billions: i64, rest: i64) -> Self {
        Self(i128::from(billions) * 1_000_000_000 + i128::from(rest))
    }

    /// One activity's, as the database holds it; saturates, which only a sum could make it do.
    #[must_use]
    pub fn to_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })
    }
}

impl From<i64> for Grams {
    fn from(grams: i64) -> Self {
        Self(grams.into())
    }
}

impl std::iter::Sum for Grams {
    fn sum<I: Iterator<Item = Self>>(grams: I) -> Self {
        Self(grams.map(|grams| grams.0).sum())
    }
}

impl fmt::Display for Grams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, grams) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let kilograms = format!("{}.{:03}", grams / 1_000, grams % 1_000);
        write!(f, "{sign}{}", kilograms.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for Grams {
    /// As text in kilograms, for the same reason as [`Quantity`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ratio(text: &str) -> Ratio {
        text.parse().unwrap()
    }

    #[test]
    fn emissions_are_rounded_once_and_symmetrically() {
        let one = Quantity::from_millionths(1_000_000);
        let third = ratio("11000000/3"); // kg CO2 a kiloton of carbon
        assert_eq!(one.emissions(third), Some(Grams::from(3_666_666_667)));
        assert_eq!(Quantity::from_millionths(-1_000_000).emissions(third), Some(Grams::from(-3_666_666_667)));
        assert_eq!(Quantity::from_millionths(3_000_000).emissions(third), Some(Grams::from(11_000_000_000)));
        assert_eq!(one.emissions(ratio("0.0005")), Some(Grams::from(1)), "half a gram rounds away from zero");
        assert_eq!(one.emissions(ratio("0.0004999")), Some(Grams::from(0)));
    }

    #[test]
    fn kilograms_are_shown_exactly() {
        for (grams, shown) in
            [(0, "0"), (1, "0.001"), (-1, "-0.001"), (1_000, "1"), (-12_340, "-12.34"), (100_000, "100")]
        {
            assert_eq!(Grams::from(grams).to_string(), shown);
        }
        let sum: Grams = [Grams::from(i64::MAX); 4].into_iter().sum();
        assert_eq!(sum.to_string(), "36893488147419103.228");
    }

    #[test]
    fn what_is_no_exact_decimal_is_refused_with_a_reason() {
        for text in [
            "NaN",
            "inf",
            "",
            " 1",
            "1,5",
            "0x10",
            "--1",
            "1e",
            "1e99",
            "1e-99",
            "1_000",
            "1.0000000000000000000000000000049e0",
            "1e0.5",
        ] {
            let error = text.parse::<Quantity>().unwrap_err().to_string();
            assert!(error.contains("is not a decimal number") || error.contains("beyond"), "{text}: {error}");
        }
        assert!("1e-7".parse::<Quantity>().unwrap_err().to_string().contains("decimal places"));
        assert!("9223372036855".parse::<Quantity>().unwrap_err().to_string().contains("beyond"));
    }

    proptest! {
        #[test]
        fn a_quantity_survives_its_own_text(millionths: i64) {
            let quantity = Quantity::from_millionths(millionths);
            prop_assert_eq!(quantity.to_string().parse::<Quantity>().unwrap(), quantity);
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn an_adjustment_cancels_what_it_adjusts(millionths in -i64::MAX..i64::MAX, numerator in 0_i64..1_000_000_000, denominator in 1_i64..1_000_000) {
            let ratio = Ratio::new(numerator, denominator).unwrap();
            let plus = Quantity::from_millionths(millionths).emissions(ratio);
            let minus = Quantity::from_millionths(-millionths).emissions(ratio);
            prop_assert_eq!(plus.map(|grams| -grams.to_i64()), minus.map(Grams::to_i64));
        }
    }
}
