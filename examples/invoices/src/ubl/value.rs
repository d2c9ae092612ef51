//! Reads single values of a document into their types, and says which is missing or stands twice.
//!
//! It knows types and cardinalities, not invoices.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::LINES_MAX;
use super::cursor::{Cursor, Name, shown};
use super::error::{Limit, ReadError};
use crate::amount;
use crate::document::{Code, Currency};

pub(super) struct Reader<'x> {
    pub(super) cursor: Cursor<'x>,
    /// The currencies met, with the line of the first amount in each.
    pub(super) amount_currencies: BTreeMap<Currency, u64>,
}

impl<'x> Reader<'x> {
    pub(super) fn new(cursor: Cursor<'x>) -> Self {
        Self {
            cursor,
            amount_currencies: BTreeMap::new(),
        }
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self) -> Result<String, ReadError> {
        let text = self.cursor.value()?;
        if text.is_empty() {
            Err(self.bad(&text, "a text"))
        } else {
            Ok(text)
        }
    }

    /// The date as written, checked for the form of an `xs:date`.
    pub(super) fn date(&mut self) -> Result<String, ReadError> {
        let text = self.cursor.value()?;
        if is_date(&text) {
            Ok(text)
        } else {
            Err(self.bad(&text, "a date such as 2026-01-31"))
        }
    }

    pub(super) fn code<const N: usize>(&mut self) -> Result<Code<N>, ReadError> {
        let text = self.cursor.value()?;
        let expected = if N == 2 {
            "a country of two upper-case letters"
        } else {
            "a currency of three upper-case letters"
        };
        Code::new(&text).ok_or_else(|| self.bad(&text, expected))
    }

    /// A number that is no amount: a quantity, a rate, a factor.
    pub(super) fn number(&mut self) -> Result<Decimal, ReadError> {
        let text = self.cursor.value()?;
        amount::parse(&text).ok_or_else(|| {
            self.bad(
                &text,
                "a decimal number of at most 12 digits before and 10 after the point",
            )
        })
    }

    /// An amount in the document's currency, which is noted to be compared once all is read.
    pub(super) fn amount(&mut self) -> Result<Decimal, ReadError> {
        let (value, currency) = self.amount_with_currency()?;
        if !self.amount_currencies.contains_key(&currency) {
            let line = self.cursor.line();
            self.amount_currencies.insert(currency, line);
        }
        Ok(value)
    }

    /// An amount that may be in either currency of the document.
    pub(super) fn amount_with_currency(&mut self) -> Result<(Decimal, Currency), ReadError> {
        let attribute = self.cursor.currency_id().unwrap_or_default().to_owned();
        let value = self.number()?;
        let currency = Currency::new(&attribute);
        let currency = currency.ok_or_else(|| {
            self.bad(
                &attribute,
                "an attribute currencyID of three upper-case letters",
            )
        })?;
        Ok((value, currency))
    }

    /// Reads the one child `cac:<element>` of the open element with `read`.
    pub(super) fn only<T>(
        &mut self,
        element: &str,
        mut read: impl FnMut(&mut Self) -> Result<Option<T>, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        let mut found = None;
        while let Some(name) = self.cursor.child()? {
            match name {
                Name::Cac(local) if local == element => {
                    let value = read(self)?;
                    put(&mut found, value, self)?;
                }
                _ => self.cursor.skip()?,
            }
        }
        Ok(found.flatten())
    }

    /// Appends what `read` reads, as long as the limit allows it.
    pub(super) fn push<T>(
        &mut self,
        list: &mut Vec<T>,
        read: impl FnOnce(&mut Self) -> Result<T, ReadError>,
    ) -> Result<(), ReadError> {
        if list.len() == LINES_MAX {
            return Err(self.cursor.over(Limit::Lines));
        }
        list.push(read(self)?);
        Ok(())
    }

    /// Unwraps what must have been met in the element that has just ended.
    pub(super) fn need<T>(
        &self,
        value: Option<T>,
        rule: &'static str,
        what: &'static str,
    ) -> Result<T, ReadError> {
        value.ok_or_else(|| self.missing(rule, what))
    }

    pub(super) fn missing(&self, rule: &'static str, what: &'static str) -> ReadError {
        ReadError::Missing {
            place: self.cursor.place(),
            rule,
            what,
        }
    }

    pub(super) fn bad(&self, found: &str, expected: &'static str) -> ReadError {
        ReadError::BadValue {
            place: self.cursor.place(),
            expected,
            found: shown(found),
        }
    }
}

/// Fills what may be met once. To be called as soon as the element has ended.
pub(super) fn put<T>(slot: &mut Option<T>, value: T, reader: &Reader<'_>) -> Result<(), ReadError> {
    if slot.is_some() {
        return Err(ReadError::Repeated {
            place: reader.cursor.place(),
        });
    }
    *slot = Some(value);
    Ok(())
}

/// `YYYY-MM-DD`, with or without a time zone.
fn is_date(text: &str) -> bool {
    let Some((date, zone)) = text.split_at_checked(10) else {
        return false;
    };
    let form = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(byte, form)| {
                if form == b'0' {
                    byte.is_ascii_digit()
                } else {
                    byte == form
                }
            })
    };
    let within = |part: &str, max: u8| {
        part.parse::<u8>()
            .is_ok_and(|number| (1..=max).contains(&number))
    };
    let zone_known = ["", "Z"].contains(&zone) || form(zone, "+00:00") || form(zone, "-00:00");
    form(date, "0000-00-00") && within(&date[5..7], 12) && within(&date[8..], 31) && zone_known
}

#[cfg(test)]
mod tests {
    use super::is_date;

    #[test]
    fn a_date_has_ten_characters_and_perhaps_a_zone() {
        for text in [
            "2026-01-31",
            "2026-12-01Z",
            "2026-06-15+02:00",
            "2026-06-15-01:30",
        ] {
            assert!(is_date(text), "{text}");
        }
        for text in [
            "",
            "2026-1-31",
            "2026-13-01",
            "2026-00-01",
            "2026-01-32",
            "31.01.2026",
            "2026-01-31T00:00",
            "2026-01-3é",
        ] {
            assert!(!is_date(text), "{text}");
        }
    }
}
