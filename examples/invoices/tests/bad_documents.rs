//! What a document that cannot be read, or whose sums are wrong, is told: the code and the words.
//!
//! Every case is one valid invoice with one text replaced.

use invoices::check::{CheckError, Verdict, check};
use invoices::document::Country;
use invoices::ubl::{DOCUMENT_BYTES_MAX, LINES_MAX};

const INVOICE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"
    xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
    xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
  <cbc:ID>R&amp;D &#x2116; 7</cbc:ID>
  <cbc:IssueDate>2026-02-03</cbc:IssueDate>
  <cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode>
  <cac:AccountingSupplierParty><cac:Party><cac:PostalAddress><cac:Country>
    <cbc:IdentificationCode>AT</cbc:IdentificationCode>
  </cac:Country></cac:PostalAddress></cac:Party></cac:AccountingSupplierParty>
  <cac:AllowanceCharge>
    <cbc:ChargeIndicator>
      0
    </cbc:ChargeIndicator><cbc:Amount currencyID="EUR">10.00</cbc:Amount>
    <cac:TaxCategory><cbc:ID>S</cbc:ID><cbc:Percent>20</cbc:Percent><cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:TaxCategory>
  </cac:AllowanceCharge>
  <cac:TaxTotal>
    <cbc:TaxAmount currencyID="EUR">18.00</cbc:TaxAmount>
    <cac:TaxSubtotal>
      <cbc:TaxableAmount currencyID="EUR">90.00</cbc:TaxableAmount><cbc:TaxAmount currencyID="EUR">18.00</cbc:TaxAmount>
      <cac:TaxCategory><cbc:ID>S</cbc:ID><cbc:Percent>20.0</cbc:Percent><cac:TaxScheme><cbc:ID> vat </cbc:ID></cac:TaxScheme></cac:TaxCategory>
    </cac:TaxSubtotal>
  </cac:TaxTotal>
  <cac:LegalMonetaryTotal>
    <cbc:LineExtensionAmount currencyID="EUR">100.00</cbc:LineExtensionAmount>
    <cbc:TaxExclusiveAmount currencyID="EUR">90.00</cbc:TaxExclusiveAmount>
    <cbc:TaxInclusiveAmount currencyID="EUR">108.00</cbc:TaxInclusiveAmount>
    <cbc:AllowanceTotalAmount currencyID="EUR">10.00</cbc:AllowanceTotalAmount>
    <cbc:PayableAmount currencyID="EUR">108.00</cbc:PayableAmount>
  </cac:LegalMonetaryTotal>
  <cac:InvoiceLine>
    <cbc:ID>1</cbc:ID><cbc:InvoicedQuantity unitCode="EA">2</cbc:InvoicedQuantity>
    <cbc:LineExtensionAmount currencyID="EUR">100.00</cbc:LineExtensionAmount>
    <cac:Item><cbc:Name>a <![CDATA[<thing>]]></cbc:Name>
      <cac:ClassifiedTaxCategory><cbc:ID>S</cbc:ID><cbc:Percent>20</cbc:Percent><cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:ClassifiedTaxCategory>
    </cac:Item>
    <cac:Price><cbc:PriceAmount currencyID="EUR">50.00</cbc:PriceAmount></cac:Price>
  </cac:InvoiceLine>
</Invoice>
"#;

fn replaced(old: &str, new: &str) -> Vec<u8> {
    assert_eq!(
        INVOICE.matches(old).count(),
        1,
        "{old:?} must stand in the invoice exactly once"
    );
    INVOICE.replacen(old, new, 1).into_bytes()
}

fn checked(old: &str, new: &str) -> Result<Verdict, CheckError> {
    check(&replaced(old, new))
}

/// Replaces `old` by `new` and expects an error of this code that says each of `words`.
fn refused(old: &str, new: &str, code: &str, words: &[&str]) {
    let error = checked(old, new).expect_err(new);
    let text = error.to_string();
    assert_eq!(error.code(), code, "{new}: {text}");
    for word in words {
        assert!(text.contains(word), "{new}: {word:?} is not in {text:?}");
    }
}

#[test]
fn the_invoice_itself_is_right() {
    let verdict = check(INVOICE.as_bytes()).unwrap();
    assert_eq!(verdict.document, "R&D № 7");
    assert_eq!(verdict.market, Country::new("AT").unwrap());
    assert_eq!(
        (verdict.lines, verdict.payable.to_string().as_str()),
        (1, "108.00")
    );
    assert_eq!(verdict.notices, [""; 0]);
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
    assert!(
        json.contains(r#""type":"invoice","market":"AT","currency":"EUR","lines":1,"net":"90.00""#),
        "{json}"
    );
}

#[test]
fn what_xml_allows_changes_nothing() {
    let other_prefixes = INVOICE
        .replace("cbc:", "b:")
        .replace("xmlns:cbc", "xmlns:b")
        .replace("cac:", "")
        .replace("xmlns:cac=", "xmlns=");
    let other_prefixes = other_prefixes
        .replacen(
            r#"<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2""#,
            r#"<i:Invoice xmlns:i="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2""#,
            1,
        )
        .replace("</Invoice>", "</i:Invoice>");
    let with_mark = format!("\u{feff}{INVOICE}");
    let with_comments = INVOICE.replace("90.00", "<!-- n -->90<?p?>.00<!-- n -->") + "<!-- end -->";
    let windows_lines = INVOICE.replace('\n', "\r\n");
    for text in [other_prefixes, with_mark, with_comments, windows_lines] {
        let verdict = check(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(verdict.payable.to_string(), "108.00");
    }
}

#[test]
fn an_indicator_has_four_spellings() {
    for spelling in ["0", "false", " 0 ", "\n\tfalse\n"] {
        checked("\n      0\n    ", spelling).expect(spelling);
    }
    for spelling in ["1", "true"] {
        let charges = "the sum of charges (BT-108) is missing, but they make 10.00";
        refused(
            "\n      0\n    ",
            spelling,
            "BR-CO-11",
            &["BR-CO-12", charges],
        );
    }
    for spelling in ["", "no", "TRUE", "2"] {
        refused(
            "\n      0\n    ",
            spelling,
            "bad-value",
            &[
                "line 12, /Invoice/cac:AllowanceCharge/cbc:ChargeIndicator",
                "expected true, false, 1 or 0",
            ],
        );
    }
}

#[test]
fn broken_xml_says_where() {
    refused("</Invoice>", "", "not-xml", &["line 40", "ends inside"]);
    refused(
        "</cac:TaxTotal>",
        "</cac:TaxTotals>",
        "not-xml",
        &["line 23", "cac:TaxTotals"],
    );
    refused(
        "<cbc:ID>1</cbc:ID>",
        "<cbc:ID>&invoice;</cbc:ID>",
        "not-xml",
        &["line 32, /Invoice/cac:InvoiceLine/cbc:ID: an entity is refused"],
    );
    refused(
        "<cbc:ID>1</cbc:ID>",
        "<cbc:ID>&#0;</cbc:ID>",
        "not-xml",
        &["line 32"],
    );
    refused(
        "<cbc:ID>1</cbc:ID>",
        "<cbc:ID>1</cbc:ID>loose",
        "not-xml",
        &["text between elements"],
    );
    refused(
        "</Invoice>\n",
        "</Invoice><more/>",
        "not-xml",
        &["anything after the root element"],
    );
    refused(
        "encoding=\"UTF-8\"",
        "encoding=\"ISO-8859-1\"",
        "not-xml",
        &["an encoding other than UTF-8"],
    );
    refused(
        "<Invoice ",
        "<!DOCTYPE Invoice [<!ENTITY a \"b\">]><Invoice ",
        "not-xml",
        &["a document type is refused"],
    );
    let error = check(b"<Invoice>\xff</Invoice>").unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (
            "not-xml",
            "the document is not UTF-8 from byte 9 on; save it as UTF-8"
        )
    );
    for empty in ["", " ", "<?xml version=\"1.0\"?>", "invoice"] {
        assert_eq!(
            check(empty.as_bytes()).unwrap_err().code(),
            "not-xml",
            "{empty:?}"
        );
    }
}

#[test]
fn another_document_is_named() {
    refused(
        "ubl:schema:xsd:Invoice-2",
        "ubl:schema:xsd:Order-2",
        "not-ubl",
        &[
            "the root element is Invoice",
            "expected Invoice or CreditNote",
        ],
    );
    assert_eq!(check(b"<html/>").unwrap_err().code(), "not-ubl");
}

#[test]
fn what_is_missing_is_asked_for_by_its_rule() {
    for (element, code) in [
        ("<cbc:ID>R&amp;D &#x2116; 7</cbc:ID>", "BR-02"),
        ("<cbc:IssueDate>2026-02-03</cbc:IssueDate>", "BR-03"),
        (
            "<cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode>",
            "BR-05",
        ),
        (
            "<cbc:IdentificationCode>AT</cbc:IdentificationCode>",
            "BR-09",
        ),
        (
            "<cbc:LineExtensionAmount currencyID=\"EUR\">100.00</cbc:LineExtensionAmount>\n    <cbc:TaxEx",
            "BR-12",
        ),
        (
            "<cbc:TaxExclusiveAmount currencyID=\"EUR\">90.00</cbc:TaxExclusiveAmount>",
            "BR-13",
        ),
        (
            "<cbc:TaxInclusiveAmount currencyID=\"EUR\">108.00</cbc:TaxInclusiveAmount>",
            "BR-14",
        ),
        (
            "<cbc:PayableAmount currencyID=\"EUR\">108.00</cbc:PayableAmount>",
            "BR-15",
        ),
        ("<cbc:ID>1</cbc:ID>", "BR-21"),
        (
            "<cbc:InvoicedQuantity unitCode=\"EA\">2</cbc:InvoicedQuantity>",
            "BR-22",
        ),
        (
            "<cbc:PriceAmount currencyID=\"EUR\">50.00</cbc:PriceAmount>",
            "BR-26",
        ),
        ("<cbc:Amount currencyID=\"EUR\">10.00</cbc:Amount>", "BR-31"),
        (
            "<cbc:TaxableAmount currencyID=\"EUR\">90.00</cbc:TaxableAmount>",
            "BR-45",
        ),
        ("<cbc:Percent>20.0</cbc:Percent>", "BR-48"),
    ] {
        let rest = if element.ends_with("<cbc:TaxEx") {
            "<cbc:TaxEx"
        } else {
            ""
        };
        refused(element, rest, code, &["is missing", code]);
    }
    refused(
        "CommonAggregateComponents-2",
        "elsewhere",
        "BR-16",
        &["at least one line"],
    );
}

#[test]
fn a_value_that_is_none_is_shown() {
    refused(
        ">50.00<",
        ">50,00<",
        "bad-value",
        &[
            "line 37, /Invoice/cac:InvoiceLine/cac:Price/cbc:PriceAmount",
            "\"50,00\"",
        ],
    );
    refused(">50.00<", ">1e2<", "bad-value", &["\"1e2\""]);
    refused(">50.00<", "><", "bad-value", &["a decimal number"]);
    refused(
        ">50.00<",
        "><b>50.00</b><",
        "not-xml",
        &["an element inside a value"],
    );
    refused(
        ">AT<",
        ">Austria<",
        "bad-value",
        &["a country of two upper-case letters", "\"Austria\""],
    );
    refused(
        ">2026-02-03<",
        ">3.2.2026<",
        "bad-value",
        &["a date such as", "\"3.2.2026\""],
    );
    refused(
        "currencyID=\"EUR\">50.00",
        ">50.00",
        "bad-value",
        &["an attribute currencyID"],
    );
    refused(
        "<cbc:Percent>20.0</cbc:Percent>",
        "<cbc:Percent>20.0</cbc:Percent><cbc:Percent>20</cbc:Percent>",
        "repeated",
        &["TaxCategory/cbc:Percent: stands here twice"],
    );
    refused(
        "<cbc:ID>S</cbc:ID><cbc:Percent>20.0<",
        "<cbc:ID>X</cbc:ID><cbc:Percent>20.0<",
        "bad-value",
        &["a VAT category", "\"X\""],
    );
}

#[test]
fn every_limit_has_its_words() {
    refused(
        "<cbc:ID>1</cbc:ID>",
        &format!("<cbc:ID>{}</cbc:ID>", "1".repeat(257)),
        "over-limit",
        &["256 bytes in one value"],
    );
    refused(
        "<cbc:ID>1</cbc:ID>",
        &format!("{}{}", "<a>".repeat(65), "</a>".repeat(65)),
        "over-limit",
        &["64 elements inside each other"],
    );
    let attributes: String = (0..65).map(|n| format!(" a{n}=''")).collect();
    refused(
        "<cac:TaxTotal>",
        &format!("<cac:TaxTotal{attributes}>"),
        "over-limit",
        &["64 attributes"],
    );
    let namespaces: String = (0..200).map(|n| format!(" xmlns:a{n}='urn:a'")).collect();
    refused(
        "<cac:TaxTotal>",
        &format!("<cac:TaxTotal{namespaces}>"),
        "over-limit",
        &["128 namespaces"],
    );
    let line = INVOICE
        .split_once("<cac:InvoiceLine>")
        .unwrap()
        .1
        .split_once("</cac:InvoiceLine>")
        .unwrap()
        .0;
    let lines = format!("<cac:InvoiceLine>{line}</cac:InvoiceLine>").repeat(LINES_MAX);
    refused(
        "</Invoice>",
        &format!("{lines}</Invoice>"),
        "over-limit",
        &["10000 lines"],
    );
    let error = check(&vec![b' '; DOCUMENT_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(error.code(), "too-large");
}

#[test]
fn a_wrong_amount_is_told_with_both_amounts() {
    refused(
        ">108.00</cbc:TaxInclusiveAmount>",
        ">108.01</cbc:TaxInclusiveAmount>",
        "BR-CO-15",
        &[
            "BR-CO-15: the total with VAT (BT-112) is 108.01, but without VAT 90.00 + VAT 18.00 make 108.00",
            "; BR-CO-16: ",
        ],
    );
    refused(
        "<cbc:PayableAmount currencyID=\"EUR\">108.00",
        "<cbc:PayableAmount currencyID=\"EUR\">-108.00",
        "BR-CO-16",
        &["is -108.00, but with VAT 108.00 - paid 0.00 + rounding 0.00 make 108.00"],
    );
    refused(
        ">90.00</cbc:TaxableAmount>",
        ">89.99</cbc:TaxableAmount>",
        "BR-S-08",
        &[
            "the taxable amount (BT-116) of category S at 20 % is 89.99, but lines - allowances + charges make 90.00",
        ],
    );
}

#[test]
fn odd_prices_are_noticed_and_accepted() {
    let verdict = checked(">50.00<", ">50.01<").unwrap();
    let notice = "PEPPOL-EN16931-R120: the net amount of line 1 is 100.00, but 2 at 50.01 for 1, \
        with charges less allowances of 0.00, are 100.02";
    assert_eq!(verdict.notices, [notice]);
}

#[test]
fn a_message_repeats_little_of_the_document() {
    let long = "n".repeat(1_000_000);
    for (old, new) in [
        (
            "<cbc:ID>1</cbc:ID>",
            format!("<cbc:{long}>&x;</cbc:{long}>"),
        ),
        ("</cac:TaxTotal>", format!("</cac:{long}>")),
        (">50.00<", format!(" {long}=\"1\" {long}=\"1\">50.00<")),
        (
            "currencyID=\"EUR\">50.00<",
            format!("currencyID=\"{long}\">50.00<"),
        ),
    ] {
        let error = checked(old, &new).expect_err("a document with a long text");
        assert!(
            error.to_string().len() < 1_000,
            "{old}: {}",
            error.to_string().len()
        );
    }
}
