//! Writes a draft as UBL 2.1, in the order of elements that its schema wants.
//!
//! It writes what the draft states and computes nothing.

mod element;
mod line;
mod vat;

use std::io;

use quick_xml::events::{BytesDecl, Event};

use super::draft::Draft;
use super::parties::{Party, Trade};
use crate::document::{Currency, Document, DocumentKind, Totals};
use element::{Xml, amount, country, empty_writer, group, text};

const CAC: &str = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2";
const CBC: &str = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2";
const STANDARD: &str = "urn:cen.eu:en16931:2017";

/// Writes the document.
pub(super) fn write(draft: &Draft) -> Vec<u8> {
    let mut xml = empty_writer();
    write_root(&mut xml, draft).expect("writing to memory cannot fail");
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    bytes
}

fn write_root(xml: &mut Xml, draft: &Draft) -> io::Result<()> {
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let root = match draft.document.kind {
        DocumentKind::Invoice => "Invoice",
        DocumentKind::CreditNote => "CreditNote",
    };
    let namespace = format!("urn:oasis:names:specification:ubl:schema:xsd:{root}-2");
    let attributes = [
        ("xmlns", namespace.as_str()),
        ("xmlns:cac", CAC),
        ("xmlns:cbc", CBC),
    ];
    xml.create_element(root)
        .with_attributes(attributes)
        .write_inner_content(|xml| write_content(xml, draft))?;
    Ok(())
}

fn write_content(xml: &mut Xml, draft: &Draft) -> io::Result<()> {
    let document = &draft.document;
    let currency = document.currency;
    write_header(xml, document)?;
    group(xml, "cac:AccountingSupplierParty", |xml| {
        write_party(xml, &draft.seller)
    })?;
    group(xml, "cac:AccountingCustomerParty", |xml| {
        write_party(xml, &draft.buyer)
    })?;
    if draft.trade == Trade::IntraCommunity {
        write_delivery(xml, draft)?;
    }
    group(xml, "cac:PaymentTerms", |xml| {
        text(xml, "cbc:Note", "Within 30 days")
    })?;
    for adjustment in &document.adjustments {
        vat::write_adjustment(xml, adjustment, currency)?;
    }
    for total in &document.tax_totals {
        vat::write_tax_total(xml, total)?;
    }
    write_totals(xml, &document.totals, currency)?;
    for (line, item) in document.lines.iter().zip(&draft.items) {
        line::write_line(xml, document, line, *item)?;
    }
    Ok(())
}

fn write_header(xml: &mut Xml, document: &Document) -> io::Result<()> {
    text(xml, "cbc:CustomizationID", STANDARD)?;
    text(xml, "cbc:ID", &document.id)?;
    text(xml, "cbc:IssueDate", &document.issued)?;
    match document.kind {
        DocumentKind::Invoice => text(xml, "cbc:InvoiceTypeCode", "380")?,
        DocumentKind::CreditNote => text(xml, "cbc:CreditNoteTypeCode", "381")?,
    }
    text(xml, "cbc:DocumentCurrencyCode", document.currency.as_str())?;
    if let Some(currency) = document.accounting_currency {
        text(xml, "cbc:TaxCurrencyCode", currency.as_str())?;
    }
    if document.kind == DocumentKind::CreditNote {
        group(xml, "cac:BillingReference", |xml| {
            group(xml, "cac:InvoiceDocumentReference", |xml| {
                text(xml, "cbc:ID", "the invoice before")
            })
        })?;
    }
    Ok(())
}

fn write_party(xml: &mut Xml, party: &Party) -> io::Result<()> {
    group(xml, "cac:Party", |xml| {
        group(xml, "cac:PostalAddress", |xml| {
            text(xml, "cbc:CityName", party.city)?;
            country(xml, party.country)
        })?;
        if let Some(vat_id) = &party.vat_id {
            group(xml, "cac:PartyTaxScheme", |xml| {
                text(xml, "cbc:CompanyID", vat_id)?;
                group(xml, "cac:TaxScheme", |xml| text(xml, "cbc:ID", "VAT"))
            })?;
        }
        group(xml, "cac:PartyLegalEntity", |xml| {
            text(xml, "cbc:RegistrationName", &party.name)?;
            text(xml, "cbc:CompanyID", &party.registration)
        })
    })
}

/// Who supplies to another country of the EU says when and where.
fn write_delivery(xml: &mut Xml, draft: &Draft) -> io::Result<()> {
    group(xml, "cac:Delivery", |xml| {
        text(xml, "cbc:ActualDeliveryDate", &draft.document.issued)?;
        group(xml, "cac:DeliveryLocation", |xml| {
            group(xml, "cac:Address", |xml| country(xml, draft.buyer.country))
        })
    })
}

fn write_totals(xml: &mut Xml, totals: &Totals, currency: Currency) -> io::Result<()> {
    group(xml, "cac:LegalMonetaryTotal", |xml| {
        for (name, value) in [
            ("cbc:LineExtensionAmount", Some(totals.lines)),
            ("cbc:TaxExclusiveAmount", Some(totals.without_vat)),
            ("cbc:TaxInclusiveAmount", Some(totals.with_vat)),
            ("cbc:AllowanceTotalAmount", totals.allowances),
            ("cbc:ChargeTotalAmount", totals.charges),
            ("cbc:PrepaidAmount", totals.prepaid),
            ("cbc:PayableRoundingAmount", totals.rounding),
            ("cbc:PayableAmount", Some(totals.payable)),
        ] {
            if let Some(value) = value {
                amount(xml, name, value, currency)?;
            }
        }
        Ok(())
    })
}
