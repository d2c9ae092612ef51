//! Reads what VAT is charged on and how much: allowances, charges, categories, totals, breakdowns.

use std::collections::BTreeSet;

use super::cursor::Name;
use super::error::ReadError;
use super::value::{Reader, put};
use crate::document::{Adjustment, Category, Currency, Sign, Subtotal, TaxTotal, Vat};

/// The only tax scheme that EN 16931 has rules for; other taxes are left alone.
const VAT_SCHEME: &str = "VAT";

/// Reads an allowance or charge on the whole document, which must say how VAT applies to it.
pub(super) fn read_document_adjustment(reader: &mut Reader<'_>) -> Result<Adjustment, ReadError> {
    let adjustment = read_adjustment(reader, ["BR-31", "BR-36"])?;
    if adjustment.vat.is_none() {
        let rule = match adjustment.sign {
            Sign::Allowance => "BR-32",
            Sign::Charge => "BR-37",
        };
        return Err(reader.missing(rule, "the VAT category (BT-95, BT-102)"));
    }
    Ok(adjustment)
}

/// Reads an allowance or charge on a line or a price, which shares the line's VAT.
pub(super) fn read_line_adjustment(reader: &mut Reader<'_>) -> Result<Adjustment, ReadError> {
    let adjustment = read_adjustment(reader, ["BR-41", "BR-43"])?;
    Ok(Adjustment {
        vat: None,
        ..adjustment
    })
}

fn read_adjustment(
    reader: &mut Reader<'_>,
    amount_rules: [&'static str; 2],
) -> Result<Adjustment, ReadError> {
    let (mut sign, mut amount, mut base, mut percent, mut vat) = (None, None, None, None, None);
    while let Some(name) = reader.cursor.child()? {
        match name {
            Name::Cbc("ChargeIndicator") => put(&mut sign, read_sign(reader)?, reader)?,
            Name::Cbc("Amount") => put(&mut amount, reader.amount()?, reader)?,
            Name::Cbc("BaseAmount") => put(&mut base, reader.amount()?, reader)?,
            Name::Cbc("MultiplierFactorNumeric") => put(&mut percent, reader.number()?, reader)?,
            Name::Cac("TaxCategory") => read_vat_into(&mut vat, reader)?,
            _ => reader.cursor.skip()?,
        }
    }
    let sign = reader.need(sign, "UBL", "cbc:ChargeIndicator")?;
    let [allowance_rule, charge_rule] = amount_rules;
    let rule = match sign {
        Sign::Allowance => allowance_rule,
        Sign::Charge => charge_rule,
    };
    Ok(Adjustment {
        sign,
        amount: reader.need(amount, rule, "the amount")?,
        base,
        percent,
        vat,
    })
}

/// An `xs:boolean`, which has four spellings.
fn read_sign(reader: &mut Reader<'_>) -> Result<Sign, ReadError> {
    let text = reader.cursor.value()?;
    match text.as_str() {
        "true" | "1" => Ok(Sign::Charge),
        "false" | "0" => Ok(Sign::Allowance),
        _ => Err(reader.bad(&text, "true, false, 1 or 0")),
    }
}

/// Reads a VAT total with its breakdown.
pub(super) fn read_tax_total(reader: &mut Reader<'_>) -> Result<TaxTotal, ReadError> {
    let mut amount = None;
    let (mut subtotals, mut currencies) = (Vec::new(), BTreeSet::new());
    while let Some(name) = reader.cursor.child()? {
        match name {
            Name::Cbc("TaxAmount") => {
                put(&mut amount, reader.amount_with_currency()?, reader)?;
            }
            Name::Cac("TaxSubtotal") => {
                reader.push(&mut subtotals, |reader| {
                    read_subtotal(reader, &mut currencies)
                })?;
            }
            _ => reader.cursor.skip()?,
        }
    }
    let (amount, currency) =
        reader.need(amount, "UBL", "the VAT amount (BT-110), cbc:TaxAmount,")?;
    if let Some(other) = currencies.into_iter().find(|other| *other != currency) {
        return Err(reader.bad(
            other.as_str(),
            "a breakdown in the currency of its VAT total",
        ));
    }
    // The subtotals of taxes that are not VAT are no part of the VAT breakdown.
    Ok(TaxTotal {
        currency,
        amount,
        subtotals: subtotals.into_iter().flatten().collect(),
    })
}

/// `None` for the subtotal of a tax that is not VAT.
fn read_subtotal(
    reader: &mut Reader<'_>,
    currencies: &mut BTreeSet<Currency>,
) -> Result<Option<Subtotal>, ReadError> {
    let (mut taxable, mut tax, mut category) = (None, None, None);
    while let Some(name) = reader.cursor.child()? {
        let slot = match name {
            Name::Cbc("TaxableAmount") => &mut taxable,
            Name::Cbc("TaxAmount") => &mut tax,
            Name::Cac("TaxCategory") => {
                put(&mut category, read_category(reader)?, reader)?;
                continue;
            }
            _ => {
                reader.cursor.skip()?;
                continue;
            }
        };
        let (amount, currency) = reader.amount_with_currency()?;
        put(slot, amount, reader)?;
        currencies.insert(currency);
    }
    let Some(vat) = reader.need(category, "BR-47", "the VAT category (BT-118)")? else {
        return Ok(None);
    };
    if vat.rate.is_none() && vat.category != Category::NotSubject {
        return Err(reader.missing("BR-48", "the VAT rate (BT-119)"));
    }
    Ok(Some(Subtotal {
        taxable: reader.need(taxable, "BR-45", "the taxable amount (BT-116)")?,
        tax: reader.need(tax, "BR-46", "the tax amount (BT-117)")?,
        vat,
    }))
}

/// Reads a tax category; one of VAT goes into the slot, one of another tax nowhere.
pub(super) fn read_vat_into(
    slot: &mut Option<Vat>,
    reader: &mut Reader<'_>,
) -> Result<(), ReadError> {
    match read_category(reader)? {
        Some(vat) => put(slot, vat, reader),
        None => Ok(()),
    }
}

fn read_category(reader: &mut Reader<'_>) -> Result<Option<Vat>, ReadError> {
    let (mut code, mut rate, mut scheme) = (None, None, None);
    while let Some(name) = reader.cursor.child()? {
        match name {
            Name::Cbc("ID") => put(&mut code, reader.text()?, reader)?,
            Name::Cbc("Percent") => put(&mut rate, reader.number()?, reader)?,
            Name::Cac("TaxScheme") => put(&mut scheme, read_scheme(reader)?, reader)?,
            _ => reader.cursor.skip()?,
        }
    }
    let scheme = reader.need(scheme.flatten(), "UBL", "cac:TaxScheme/cbc:ID")?;
    if !scheme.eq_ignore_ascii_case(VAT_SCHEME) {
        return Ok(None);
    }
    let code = reader.need(code, "BR-47", "the VAT category code, cbc:ID,")?;
    match Category::from_code(&code) {
        Some(category) => Ok(Some(Vat { category, rate })),
        None => Err(reader.bad(&code, "a VAT category: S, Z, E, AE, K, G, O, L, M or B")),
    }
}

fn read_scheme(reader: &mut Reader<'_>) -> Result<Option<String>, ReadError> {
    let mut id = None;
    while let Some(name) = reader.cursor.child()? {
        match name {
            Name::Cbc("ID") => put(&mut id, reader.text()?, reader)?,
            _ => reader.cursor.skip()?,
        }
    }
    Ok(id)
}
