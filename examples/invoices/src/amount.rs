//! Decimal numbers of a document: how they are read, and the one way in which they are rounded.
//!
//! Never a float, and never a rounding that is not written here.

use rust_decimal::{Decimal, RoundingStrategy};

/// Digits before the point that a number may have. Twelve hold any amount below a million million.
pub const INTEGER_DIGITS_MAX: usize = 12;

/// Digits after the point that a number may have. Amounts have two, prices and quantities more.
pub const FRACTION_DIGITS_MAX: usize = 10;

/// Decimals of a currency amount in EN 16931, whatever the currency.
pub const AMOUNT_DECIMALS: u32 = 2;

/// Reads an `xs:decimal`: an optional sign, digits, an optional point, no exponent, spaces around it.
///
/// `None` for anything else, and for more digits than [`INTEGER_DIGITS_MAX`] and
/// [`FRACTION_DIGITS_MAX`] allow. Those limits keep every sum and product of a document exact.
/// The number of decimals is kept as written: `1.10` has two.
pub fn parse(text: &str) -> Option<Decimal> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if integer.is_empty() && fraction.is_empty() || !all_digits(integer) || !all_digits(fraction) {
        return None;
    }
    let integer = integer.trim_start_matches('0');
    if integer.len() > INTEGER_DIGITS_MAX || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let magnitude = integer
        .bytes()
        .chain(fraction.bytes())
        .fold(0_i128, |sum, byte| sum * 10 + i128::from(byte - b'0'));
    let scale = u32::try_from(fraction.len()).ok()?;
    Decimal::try_from_i128_with_scale(if negative { -magnitude } else { magnitude }, scale).ok()
}

/// Rounds to the two decimals of an amount, halves away from zero.
///
/// That is the commercial rounding the standard asks for: its validation artefacts round the absolute
/// value half up, so that a credit of 0.125 becomes 0.13 as an invoice of 0.125 does.
pub fn rounded(value: Decimal) -> Decimal {
    value.round_dp_with_strategy(AMOUNT_DECIMALS, RoundingStrategy::MidpointAwayFromZero)
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::{parse, rounded};

    #[test]
    fn reads_what_xml_schema_calls_a_decimal() {
        for (text, number, decimals) in [
            ("0", 0, 0),
            (" 12.30\n", 1230, 2),
            ("-0.05", -5, 2),
            ("+7", 7, 0),
            (".5", 5, 1),
            ("5.", 5, 0),
            ("000000000000000012", 12, 0),
            ("999999999999.0000000001", 9_999_999_999_990_000_000_001, 10),
        ] {
            let expected = Decimal::from_i128_with_scale(number, decimals);
            let read = parse(text).expect(text);
            assert_eq!((read, read.scale()), (expected, decimals), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            " ",
            ".",
            "-",
            "1e2",
            "1,5",
            "1 000",
            "0x10",
            "NaN",
            "INF",
            "--1",
            "1.2.3",
            "1_000",
            "٣",
            "1000000000000",
            "0.00000000001",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn rounds_halves_away_from_zero() {
        for (value, expected) in [
            ("0.125", "0.13"),
            ("-0.125", "-0.13"),
            ("0.1249", "0.12"),
            ("365.125", "365.13"),
        ] {
            assert_eq!(
                rounded(parse(value).unwrap()),
                parse(expected).unwrap(),
                "{value}"
            );
        }
    }
}
