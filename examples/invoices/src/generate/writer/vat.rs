//! VAT categories and totals, and the allowances and charges that are taxed.

use std::io;

use super::element::{Xml, amount, group, text};
use crate::document::{Adjustment, Category, Currency, Sign, TaxTotal, Vat};

pub(super) fn write_adjustment(
    xml: &mut Xml,
    adjustment: &Adjustment,
    currency: Currency,
) -> io::Result<()> {
    let (indicator, reason) = match adjustment.sign {
        Sign::Allowance => ("false", "Discount"),
        Sign::Charge => ("true", "Freight"),
    };
    group(xml, "cac:AllowanceCharge", |xml| {
        text(xml, "cbc:ChargeIndicator", indicator)?;
        text(xml, "cbc:AllowanceChargeReason", reason)?;
        if let Some(percent) = adjustment.percent {
            text(xml, "cbc:MultiplierFactorNumeric", &percent.to_string())?;
        }
        amount(xml, "cbc:Amount", adjustment.amount, currency)?;
        if let Some(base) = adjustment.base {
            amount(xml, "cbc:BaseAmount", base, currency)?;
        }
        adjustment.vat.map_or(Ok(()), |vat| {
            write_category(xml, "cac:TaxCategory", vat, None)
        })
    })
}

pub(super) fn write_tax_total(xml: &mut Xml, total: &TaxTotal) -> io::Result<()> {
    group(xml, "cac:TaxTotal", |xml| {
        amount(xml, "cbc:TaxAmount", total.amount, total.currency)?;
        for subtotal in &total.subtotals {
            group(xml, "cac:TaxSubtotal", |xml| {
                amount(xml, "cbc:TaxableAmount", subtotal.taxable, total.currency)?;
                amount(xml, "cbc:TaxAmount", subtotal.tax, total.currency)?;
                write_category(
                    xml,
                    "cac:TaxCategory",
                    subtotal.vat,
                    exemption(subtotal.vat.category),
                )
            })?;
        }
        Ok(())
    })
}

pub(super) fn write_category(
    xml: &mut Xml,
    name: &str,
    vat: Vat,
    exemption: Option<&str>,
) -> io::Result<()> {
    group(xml, name, |xml| {
        text(xml, "cbc:ID", vat.category.code())?;
        if let Some(rate) = vat.rate {
            text(xml, "cbc:Percent", &rate.to_string())?;
        }
        if let Some(reason) = exemption {
            text(xml, "cbc:TaxExemptionReason", reason)?;
        }
        group(xml, "cac:TaxScheme", |xml| text(xml, "cbc:ID", "VAT"))
    })
}

/// Why no VAT is charged, which the breakdown says for some categories and must not for others.
fn exemption(category: Category) -> Option<&'static str> {
    match category {
        Category::Exempt => Some("Exempt"),
        Category::ReverseCharge => Some("Reverse charge"),
        Category::IntraCommunity => Some("Intra-community supply"),
        Category::Export => Some("Export outside the EU"),
        Category::NotSubject => Some("Not subject to VAT"),
        Category::Standard
        | Category::Zero
        | Category::CanaryIslands
        | Category::CeutaMelilla
        | Category::SplitPayment => None,
    }
}
