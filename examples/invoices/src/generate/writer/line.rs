//! The lines of a document.

use std::io;

use super::element::{Xml, amount, group, price, quantity, text};
use super::vat::{write_adjustment, write_category};
use crate::document::{Currency, Document, DocumentKind, Line};
use crate::generate::draft::Item;

pub(super) fn write_line(
    xml: &mut Xml,
    document: &Document,
    line: &Line,
    (name, unit): Item,
) -> io::Result<()> {
    let (line_element, quantity_element) = match document.kind {
        DocumentKind::Invoice => ("cac:InvoiceLine", "cbc:InvoicedQuantity"),
        DocumentKind::CreditNote => ("cac:CreditNoteLine", "cbc:CreditedQuantity"),
    };
    group(xml, line_element, |xml| {
        text(xml, "cbc:ID", &line.id)?;
        quantity(xml, quantity_element, line.quantity, unit)?;
        amount(xml, "cbc:LineExtensionAmount", line.net, document.currency)?;
        for adjustment in &line.adjustments {
            write_adjustment(xml, adjustment, document.currency)?;
        }
        group(xml, "cac:Item", |xml| {
            text(xml, "cbc:Name", name)?;
            write_category(xml, "cac:ClassifiedTaxCategory", line.vat, None)
        })?;
        write_price(xml, line, unit, document.currency)
    })
}

fn write_price(xml: &mut Xml, line: &Line, unit: &str, currency: Currency) -> io::Result<()> {
    group(xml, "cac:Price", |xml| {
        price(xml, "cbc:PriceAmount", line.price.net, currency)?;
        if let Some(base) = line.price.base_quantity {
            quantity(xml, "cbc:BaseQuantity", base, unit)?;
        }
        let (Some(discount), Some(gross)) = (line.price.discount, line.price.gross) else {
            return Ok(());
        };
        group(xml, "cac:AllowanceCharge", |xml| {
            text(xml, "cbc:ChargeIndicator", "false")?;
            price(xml, "cbc:Amount", discount, currency)?;
            price(xml, "cbc:BaseAmount", gross, currency)
        })
    })
}
