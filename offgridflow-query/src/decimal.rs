//! Decimal numbers as text: what is one, and which are equal.

/// PostgreSQL's `numeric` ends at 131 072 digits before the point, so that six are enough.
const MAX_EXPONENT_DIGITS: usize = 6;

/// Numbers that are no digits, as PostgreSQL writes them.
pub(crate) const WITHOUT_DIGITS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Digits with an optional sign, point and exponent, or one of [`WITHOUT_DIGITS`].
pub(crate) fn is_decimal(text: &str) -> bool {
    has_digits(text) || WITHOUT_DIGITS.contains(&text)
}

fn has_digits(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_fits = digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty());
    mantissa_fits && exponent.is_none_or(|e| digits(e) && (1..=MAX_EXPONENT_DIGITS).contains(&e.len()))
}

/// Appends bytes that are equal exactly when two decimal numbers are (1.0 and 1.00, 1e2 and 100).
pub(crate) fn put_canonical(text: &str, out: &mut Vec<u8>) {
    if WITHOUT_DIGITS.contains(&text) {
        out.push(3);
        return out.extend(text.as_bytes());
    }
    let (unsigned, negative) = match text.strip_prefix('-') {
        Some(unsigned) => (unsigned, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(part.bytes()).collect();
    let leading = digits.iter().take_while(|&&digit| digit == b'0').count();
    let trailing = digits.iter().rev().take_while(|&&digit| digit == b'0').count();
    let significant = digits.get(leading..digits.len() - trailing.min(digits.len())).unwrap_or_default();
    // 0.d₁d₂… · 10^scale, with d₁ not zero
    let exponent: i64 = exponent.parse().unwrap_or(0); // MAX_EXPONENT_DIGITS at most
    let scale = exponent + whole.len() as i64 - leading as i64;
    if significant.is_empty() {
        return out.push(0);
    }
    out.push(if negative { 1 } else { 2 });
    out.extend(scale.to_be_bytes());
    out.extend((significant.len() as u64).to_be_bytes());
    out.extend(significant);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_told_from_other_text() {
        for good in
            ["0", "-1", "+1.50", ".5", "5.", "1e10", "1.5E-3", "1e-10000", "NaN", "Infinity", "-Infinity"]
        {
            assert!(is_decimal(good), "{good}");
        }
        for bad in ["", ".", "-", "1,5", "0x10", "1e", "nan", "+Infinity", " 1", "1e1000000"] {
            assert!(!is_decimal(bad), "{bad}");
        }
    }

    #[test]
    fn equal_numbers_have_equal_bytes_and_others_do_not() {
        let bytes = |text: &str| {
            let mut out = Vec::new();
            put_canonical(text, &mut out);
            out
        };
        for equal in [
            &["1", "1.0", "+1.00", "01", "10e-1", "0.1e1"][..],
            &["0", "-0.00", ".0", "0e9"],
            &["-120", "-1.2E2"],
        ] {
            assert!(equal.iter().all(|text| bytes(text) == bytes(equal[0])), "{equal:?}");
        }
        let different = ["0", "1", "-1", "10", "0.1", "12", "1.2", "102", "NaN", "Infinity", "-Infinity"];
        for (at, one) in different.iter().enumerate() {
            assert!(different[..at].iter().all(|other| bytes(other) != bytes(one)), "{one}");
        }
    }
}
