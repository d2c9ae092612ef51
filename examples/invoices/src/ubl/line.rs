//! Reads the lines of a document, with their prices.

use super::cursor::Name;
use super::error::ReadError;
use super::tax;
use super::value::{Reader, put};
use crate::document::{Line, Price, Vat};

/// Reads a line; invoices and credit notes name its quantity differently.
pub(super) fn read_line(
    reader: &mut Reader<'_>,
    quantity_element: &str,
) -> Result<Line, ReadError> {
    let (mut id, mut quantity, mut net, mut price, mut vat) = (None, None, None, None, None);
    let mut adjustments = Vec::new();
    while let Some(name) = reader.cursor.child()? {
        match name {
            Name::Cbc("ID") => put(&mut id, reader.text()?, reader)?,
            Name::Cbc("LineExtensionAmount") => put(&mut net, reader.amount()?, reader)?,
            Name::Cbc(element) if element == quantity_element => {
                put(&mut quantity, reader.number()?, reader)?
            }
            Name::Cac("AllowanceCharge") => {
                reader.push(&mut adjustments, |reader| tax::read_line_adjustment(reader))?;
            }
            Name::Cac("Item") => put(&mut vat, read_item(reader)?, reader)?,
            Name::Cac("Price") => put(&mut price, read_price(reader)?, reader)?,
            _ => reader.cursor.skip()?,
        }
    }
    Ok(Line {
        id: reader.need(id, "BR-21", "the line's identifier (BT-126)")?,
        quantity: reader.need(quantity, "BR-22", "the quantity (BT-129)")?,
        net: reader.need(net, "BR-24", "the line's net amount (BT-131)")?,
        price: reader.need(price, "BR-26", "the item's net price (BT-146)")?,
        vat: reader.need(
            vat.flatten(),
            "BR-CO-04",
            "the item's VAT category (BT-151)",
        )?,
        adjustments,
    })
}

fn read_item(reader: &mut Reader<'_>) -> Result<Option<Vat>, ReadError> {
    let mut vat = None;
    while let Some(name) = reader.cursor.child()? {
        match name {
            Name::Cac("ClassifiedTaxCategory") => tax::read_vat_into(&mut vat, reader)?,
            _ => reader.cursor.skip()?,
        }
    }
    Ok(vat)
}

fn read_price(reader: &mut Reader<'_>) -> Result<Price, ReadError> {
    let (mut net, mut base_quantity, mut discount) = (None, None, None);
    while let Some(name) = reader.cursor.child()? {
        match name {
            Name::Cbc("PriceAmount") => put(&mut net, reader.amount()?, reader)?,
            Name::Cbc("BaseQuantity") => put(&mut base_quantity, reader.number()?, reader)?,
            Name::Cac("AllowanceCharge") => {
                put(&mut discount, tax::read_line_adjustment(reader)?, reader)?
            }
            _ => reader.cursor.skip()?,
        }
    }
    let (discount, gross) = discount.map_or((None, None), |discount| {
        (Some(discount.amount), discount.base)
    });
    Ok(Price {
        net: reader.need(net, "BR-26", "the item's net price (BT-146)")?,
        base_quantity,
        discount,
        gross,
    })
}
