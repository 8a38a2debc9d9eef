//! Decimal text in PostgreSQL's binary form of `numeric`: digits to the base 10 000, aligned at the decimal point.

use crate::decimal::WITHOUT_DIGITS;

const NEGATIVE: u16 = 0x4000;
/// The signs that say that there are no digits.
const SIGN_OF: [(u16, &str); 3] =
    [(0xc000, WITHOUT_DIGITS[0]), (0xd000, WITHOUT_DIGITS[1]), (0xf000, WITHOUT_DIGITS[2])];
/// Digits behind the decimal point that the format can show.
const MAX_SCALE: u16 = 0x3fff;

/// Appends the binary form, without a length in front, of `text`, which a chunk has checked to be a decimal number.
/// `None`, and nothing appended, if the number does not fit the format.
pub(super) fn put(text: &str, out: &mut Vec<u8>) -> Option<()> {
    if let Some((sign, _)) = SIGN_OF.iter().find(|(_, word)| *word == text) {
        [0, 0, *sign, 0].iter().for_each(|word| out.extend(word.to_be_bytes()));
        return Some(());
    }
    let (unsigned, negative) = match text.strip_prefix('-') {
        Some(unsigned) => (unsigned, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let scale = (i64::try_from(part.len()).ok()? - exponent).max(0);
    let scale = u16::try_from(scale).ok().filter(|&scale| scale <= MAX_SCALE)?;

    let digits: Vec<u8> = whole.bytes().chain(part.bytes()).map(|digit| digit - b'0').collect();
    let leading = digits.iter().take_while(|&&digit| digit == 0).count();
    let before_point = i64::try_from(whole.len()).ok()? + exponent - i64::try_from(leading).ok()?;
    let (weight, groups) = groups(&digits[leading..], before_point)?;
    // `numeric_recv` reads the count without a sign: 131 072 digits before the point and 16 383 behind it fit.
    let (count, weight) = (u16::try_from(groups.len()).ok()?, i16::try_from(weight).ok()?);

    out.extend(count.to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(if negative && count > 0 { NEGATIVE } else { 0 }.to_be_bytes());
    out.extend(scale.to_be_bytes());
    groups.iter().for_each(|group| out.extend(group.to_be_bytes()));
    Some(())
}

/// Digits (the first one not zero) by fours, and the power of 10 000 of the first group.
fn groups(digits: &[u8], before_point: i64) -> Option<(i64, Vec<u16>)> {
    if digits.is_empty() {
        return Some((0, Vec::new()));
    }
    let weight = (before_point - 1).div_euclid(4);
    let padding = usize::try_from((weight + 1) * 4 - before_point).ok()?; // 0 to 3
    let mut groups = vec![0u16; (padding + digits.len()).div_ceil(4)];
    for (at, &digit) in (padding..).zip(digits) {
        groups[at / 4] += u16::from(digit) * [1_000, 100, 10, 1][at % 4];
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    Some((weight, groups))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Count, weight, sign, scale, digits.
    fn words(text: &str) -> Vec<u16> {
        let mut out = Vec::new();
        put(text, &mut out).unwrap();
        out.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn groups_align_at_the_decimal_point() {
        assert_eq!(words("0"), [0, 0, 0, 0]);
        assert_eq!(words("-0.00"), [0, 0, 0, 2]);
        assert_eq!(words("1"), [1, 0, 0, 0, 1]);
        assert_eq!(words("12345.678"), [3, 1, 0, 3, 1, 2345, 6780]);
        assert_eq!(words("-0.0001"), [1, 0xffff, 0x4000, 4, 1]);
        assert_eq!(words("10000"), [1, 1, 0, 0, 1]);
        assert_eq!(words("1.5E-3"), [1, 0xffff, 0, 4, 15]);
        assert_eq!(words("+1e8"), [1, 2, 0, 0, 1]);
        assert_eq!(words(".5"), [1, 0xffff, 0, 1, 5000]);
        assert_eq!(words("NaN"), [0, 0, 0xc000, 0]);
        assert_eq!(words("-Infinity"), [0, 0, 0xf000, 0]);
    }

    #[test]
    fn what_does_not_fit_leaves_no_trace() {
        let mut out = vec![7];
        assert_eq!(put(&format!("0.{}1", "0".repeat(20_000)), &mut out), None);
        assert_eq!(put(&"9".repeat(131_073), &mut out), None);
        assert_eq!(out, [7]);
    }
}
