//! Single elements: texts, amounts, groups.

use std::io;

use quick_xml::Writer;
use quick_xml::events::BytesText;
use rust_decimal::Decimal;

use crate::document::{Country, Currency};

pub(super) type Xml = Writer<Vec<u8>>;

pub(super) fn empty_writer() -> Xml {
    Writer::new_with_indent(Vec::new(), b' ', 2)
}

/// An element with others in it.
pub(super) fn group(
    xml: &mut Xml,
    name: &str,
    content: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<()> {
    xml.create_element(name).write_inner_content(content)?;
    Ok(())
}

pub(super) fn text(xml: &mut Xml, name: &str, value: &str) -> io::Result<()> {
    xml.create_element(name)
        .write_text_content(BytesText::new(value))?;
    Ok(())
}

/// An amount with its two decimals.
pub(super) fn amount(
    xml: &mut Xml,
    name: &str,
    value: Decimal,
    currency: Currency,
) -> io::Result<()> {
    number_in(
        xml,
        name,
        &format!("{value:.2}"),
        ("currencyID", currency.as_str()),
    )
}

/// A price with as many decimals as it has.
pub(super) fn price(
    xml: &mut Xml,
    name: &str,
    value: Decimal,
    currency: Currency,
) -> io::Result<()> {
    number_in(
        xml,
        name,
        &value.to_string(),
        ("currencyID", currency.as_str()),
    )
}

pub(super) fn quantity(xml: &mut Xml, name: &str, value: Decimal, unit: &str) -> io::Result<()> {
    number_in(xml, name, &value.to_string(), ("unitCode", unit))
}

fn number_in(xml: &mut Xml, name: &str, number: &str, attribute: (&str, &str)) -> io::Result<()> {
    xml.create_element(name)
        .with_attribute(attribute)
        .write_text_content(BytesText::new(number))?;
    Ok(())
}

pub(super) fn country(xml: &mut Xml, country: Country) -> io::Result<()> {
    group(xml, "cac:Country", |xml| {
        text(xml, "cbc:IdentificationCode", country.as_str())
    })
}
