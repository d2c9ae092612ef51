//! Reads an EN 16931 invoice or credit note in UBL 2 as far as its sums go.
//!
//! It reads in one pass, by namespace and not by prefix, skips what the sums do not need, and names
//! the element and the line of what it cannot read. It reads only what is stated: nothing is
//! computed, assumed or repaired here. The UBL schema is not enforced beyond what is read.

mod cursor;
mod error;
mod line;
mod tax;
mod value;

pub use error::{Limit, Place, ReadError};

use cursor::{Cursor, Name};
use value::{Reader, put};

use crate::document::{Document, DocumentKind, Totals};

/// Bytes of a document. The largest sensible invoices, attachments included, stay below.
pub const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Lines of a document; also allowances and charges in one place, and VAT breakdowns.
pub const LINES_MAX: usize = 10_000;

/// Reads a document.
///
/// # Errors
/// When it is too large, not well-formed, no UBL invoice or credit note, lacks what the sums need,
/// or states a value that is none. Reading it again gives the same error.
pub fn read(bytes: &[u8]) -> Result<Document, ReadError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(ReadError::TooLarge { bytes: bytes.len() });
    }
    let mut reader = Reader::new(Cursor::new(bytes)?);
    let kind = match reader.cursor.root()? {
        Name::Invoice("Invoice") => DocumentKind::Invoice,
        Name::CreditNote("CreditNote") => DocumentKind::CreditNote,
        _ => {
            return Err(ReadError::NotUbl {
                found: reader.cursor.root_tag(),
            });
        }
    };
    let document = read_document(&mut reader, kind)?;
    reader.cursor.finish()?;
    Ok(document)
}

fn read_document(reader: &mut Reader<'_>, kind: DocumentKind) -> Result<Document, ReadError> {
    let (line_element, quantity_element) = match kind {
        DocumentKind::Invoice => ("InvoiceLine", "InvoicedQuantity"),
        DocumentKind::CreditNote => ("CreditNoteLine", "CreditedQuantity"),
    };
    let (mut id, mut issued, mut currency, mut accounting_currency) = (None, None, None, None);
    let (mut market, mut totals) = (None, None);
    let (mut lines, mut adjustments, mut tax_totals) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(name) = reader.cursor.child()? {
        match name {
            Name::Cbc("ID") => put(&mut id, reader.text()?, reader)?,
            Name::Cbc("IssueDate") => put(&mut issued, reader.date()?, reader)?,
            Name::Cbc("DocumentCurrencyCode") => put(&mut currency, reader.code()?, reader)?,
            Name::Cbc("TaxCurrencyCode") => put(&mut accounting_currency, reader.code()?, reader)?,
            Name::Cac("AccountingSupplierParty") => put(&mut market, read_market(reader)?, reader)?,
            Name::Cac("AllowanceCharge") => {
                reader.push(&mut adjustments, |reader| {
                    tax::read_document_adjustment(reader)
                })?;
            }
            Name::Cac("TaxTotal") => {
                reader.push(&mut tax_totals, |reader| tax::read_tax_total(reader))?
            }
            Name::Cac("LegalMonetaryTotal") => put(&mut totals, read_totals(reader)?, reader)?,
            Name::Cac(element) if element == line_element => {
                reader.push(&mut lines, |reader| {
                    line::read_line(reader, quantity_element)
                })?;
            }
            _ => reader.cursor.skip()?,
        }
    }
    if lines.is_empty() {
        return Err(reader.missing("BR-16", "at least one line (BG-25)"));
    }
    Ok(Document {
        kind,
        id: reader.need(id, "BR-02", "the document's number (BT-1), cbc:ID,")?,
        issued: reader.need(issued, "BR-03", "the issue date (BT-2), cbc:IssueDate,")?,
        currency: reader.need(
            currency,
            "BR-05",
            "the currency (BT-5), cbc:DocumentCurrencyCode,",
        )?,
        accounting_currency,
        market: reader.need(market.flatten(), "BR-09", "the seller's country (BT-40)")?,
        lines,
        adjustments,
        tax_totals,
        totals: reader.need(
            totals,
            "BR-12",
            "the totals (BG-22), cac:LegalMonetaryTotal,",
        )?,
        amount_currencies: std::mem::take(&mut reader.amount_currencies),
    })
}

/// The country in `Party/PostalAddress/Country/IdentificationCode`.
fn read_market(reader: &mut Reader<'_>) -> Result<Option<crate::document::Country>, ReadError> {
    reader.only("Party", |reader| {
        reader.only("PostalAddress", |reader| {
            reader.only("Country", |reader| {
                let mut country = None;
                while let Some(name) = reader.cursor.child()? {
                    match name {
                        Name::Cbc("IdentificationCode") => {
                            put(&mut country, reader.code()?, reader)?
                        }
                        _ => reader.cursor.skip()?,
                    }
                }
                Ok(country)
            })
        })
    })
}

fn read_totals(reader: &mut Reader<'_>) -> Result<Totals, ReadError> {
    let (mut lines, mut without_vat, mut with_vat, mut payable) = (None, None, None, None);
    let (mut allowances, mut charges, mut prepaid, mut rounding) = (None, None, None, None);
    while let Some(name) = reader.cursor.child()? {
        let slot = match name {
            Name::Cbc("LineExtensionAmount") => &mut lines,
            Name::Cbc("TaxExclusiveAmount") => &mut without_vat,
            Name::Cbc("TaxInclusiveAmount") => &mut with_vat,
            Name::Cbc("AllowanceTotalAmount") => &mut allowances,
            Name::Cbc("ChargeTotalAmount") => &mut charges,
            Name::Cbc("PrepaidAmount") => &mut prepaid,
            Name::Cbc("PayableRoundingAmount") => &mut rounding,
            Name::Cbc("PayableAmount") => &mut payable,
            _ => {
                reader.cursor.skip()?;
                continue;
            }
        };
        put(slot, reader.amount()?, reader)?;
    }
    Ok(Totals {
        lines: reader.need(lines, "BR-12", "the sum of line net amounts (BT-106)")?,
        allowances,
        charges,
        without_vat: reader.need(without_vat, "BR-13", "the total without VAT (BT-109)")?,
        with_vat: reader.need(with_vat, "BR-14", "the total with VAT (BT-112)")?,
        prepaid,
        rounding,
        payable: reader.need(payable, "BR-15", "the amount due for payment (BT-115)")?,
    })
}
