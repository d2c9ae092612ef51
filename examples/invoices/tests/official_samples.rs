//! The official examples of EN 16931 in UBL: the verdict on each, and on each with one amount changed.
//!
//! The folder is named by `UBL_SAMPLES`; the files are no part of this project. Without it the tests
//! say so and check nothing, which CI does not accept.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where its own expectations do"
)]
#![expect(
    clippy::print_stdout,
    reason = "who runs the tests without the samples is told so"
)]

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{env, fs};

use invoices::check::{CheckError, Verdict, check};
use invoices::document::DocumentKind;
use quick_xml::events::Event;
use rust_decimal::{Decimal, RoundingStrategy};

use DocumentKind::{CreditNote, Invoice};

struct Sample {
    file: &'static str,
    kind: DocumentKind,
    document: &'static str,
    market: &'static str,
    currency: &'static str,
    lines: usize,
    net: &'static str,
    tax: &'static str,
    payable: &'static str,
    /// Lines and prices that do not add up, which no rule of the standard forbids.
    notices: &'static [&'static str],
}

const R046: &str = "PEPPOL-EN16931-R046";
const R120: &str = "PEPPOL-EN16931-R120";

/// All sixteen are valid, in the words of the standard too: none needs a tolerance.
#[rustfmt::skip]
const SAMPLES: [Sample; 16] = [
    Sample { file: "guide-example1", kind: Invoice, document: "12115118", market: "NL", currency: "EUR", lines: 20, net: "229.60", tax: "20.73", payable: "250.33", notices: &[R120] },
    Sample { file: "guide-example2", kind: Invoice, document: "TOSL108", market: "NO", currency: "NOK", lines: 5, net: "1436.50", tax: "365.28", payable: "801.78", notices: &[R120, R046] },
    Sample { file: "guide-example3", kind: Invoice, document: "TOSL108", market: "DK", currency: "DKK", lines: 2, net: "900.00", tax: "225.00", payable: "1125.00", notices: &[R120, R120] },
    Sample { file: "issue116", kind: Invoice, document: "2018210", market: "AF", currency: "SEK", lines: 4, net: "700", tax: "130", payable: "830", notices: &[] },
    Sample { file: "sample-discount-price", kind: Invoice, document: "test decimal 1", market: "HR", currency: "EUR", lines: 1, net: "12.12", tax: "3.03", payable: "15.15", notices: &[] },
    Sample { file: "ubl-tc434-creditnote1", kind: CreditNote, document: "018304 / 28865", market: "BE", currency: "EUR", lines: 1, net: "100.11", tax: "0.00", payable: "100.11", notices: &[] },
    Sample { file: "ubl-tc434-example1", kind: Invoice, document: "12115118", market: "NL", currency: "EUR", lines: 20, net: "229.60", tax: "20.73", payable: "250.33", notices: &[R120] },
    Sample { file: "ubl-tc434-example10", kind: Invoice, document: "12115118", market: "NL", currency: "EUR", lines: 20, net: "229.60", tax: "20.73", payable: "250.33", notices: &[R120] },
    Sample { file: "ubl-tc434-example2", kind: Invoice, document: "TOSL108", market: "NO", currency: "NOK", lines: 5, net: "1436.50", tax: "365.28", payable: "801.78", notices: &[R120, R046] },
    Sample { file: "ubl-tc434-example3", kind: Invoice, document: "TOSL108", market: "DK", currency: "DKK", lines: 2, net: "1700.00", tax: "305.00", payable: "2005.00", notices: &[R120, R120] },
    Sample { file: "ubl-tc434-example4", kind: Invoice, document: "TOSL110", market: "DK", currency: "DKK", lines: 3, net: "4000.00", tax: "675.00", payable: "4675.00", notices: &[] },
    Sample { file: "ubl-tc434-example5", kind: Invoice, document: "TOSL110", market: "NL", currency: "DKK", lines: 3, net: "4000.00", tax: "675.00", payable: "2337.50", notices: &[] },
    Sample { file: "ubl-tc434-example6", kind: Invoice, document: "TOSL110", market: "DK", currency: "DKK", lines: 3, net: "4000.00", tax: "675.00", payable: "4675.00", notices: &[] },
    Sample { file: "ubl-tc434-example7", kind: Invoice, document: "INVOICE_test_7", market: "SE", currency: "SEK", lines: 2, net: "3200.00", tax: "0.00", payable: "3200.00", notices: &[] },
    Sample { file: "ubl-tc434-example8", kind: Invoice, document: "1100512149", market: "NL", currency: "EUR", lines: 10, net: "908.91", tax: "190.87", payable: "1099.78", notices: &[] },
    Sample { file: "ubl-tc434-example9", kind: Invoice, document: "20150483", market: "NL", currency: "EUR", lines: 1, net: "147.00", tax: "30.87", payable: "177.87", notices: &[] },
];

#[test]
fn every_sample_has_its_verdict() {
    let Some(folder) = folder() else { return };
    let found: BTreeSet<String> = fs::read_dir(&folder)
        .expect("UBL_SAMPLES names a folder that can be read")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".xml"))
        .collect();
    let known: BTreeSet<String> = SAMPLES
        .iter()
        .map(|sample| format!("{}.xml", sample.file))
        .collect();
    assert_eq!(found, known, "the table must name every sample");
    for sample in &SAMPLES {
        let verdict = check(sample.read(&folder).as_bytes())
            .unwrap_or_else(|error| panic!("{}: {error}", sample.file));
        sample.compare(&verdict);
    }
}

#[test]
fn changing_any_amount_by_a_cent_gives_the_rule_that_it_breaks() {
    let Some(folder) = folder() else { return };
    let mut changed = 0;
    for sample in &SAMPLES {
        let xml = sample.read(&folder);
        let notices = check(xml.as_bytes()).unwrap().notices;
        for amount in amounts_in(&xml) {
            for step in [Decimal::new(1, 2), Decimal::new(-1, 2)] {
                let mut altered = xml.clone();
                altered.replace_range(amount.range.clone(), &(amount.value + step).to_string());
                let name = format!("{} {} {} {step}", sample.file, amount.path, amount.value);
                amount
                    .consequence(sample.currency, step)
                    .compare(&altered, &notices, &name);
                changed += 1;
            }
        }
    }
    assert_eq!(
        changed,
        2 * AMOUNTS,
        "every amount of every sample was changed up and down"
    );
}

/// Amounts in all the samples.
const AMOUNTS: usize = 393;

/// The folder of the samples, or `None` with a clear line where there is none.
fn folder() -> Option<PathBuf> {
    let folder = env::var_os("UBL_SAMPLES")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    if folder.is_none() {
        let in_ci = env::var_os("CI")
            .is_some_and(|value| !["", "0", "false"].map(Into::into).contains(&value));
        assert!(
            !in_ci,
            "UBL_SAMPLES is unset: CI must name the folder of the official samples"
        );
        println!(
            "SKIPPED: UBL_SAMPLES is unset; set it to the folder of the official UBL samples to check them"
        );
    }
    folder
}

impl Sample {
    fn read(&self, folder: &Path) -> String {
        let path = folder.join(format!("{}.xml", self.file));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn compare(&self, verdict: &Verdict) {
        let name = self.file;
        assert_eq!(verdict.kind, self.kind, "{name}");
        assert_eq!(verdict.document, self.document, "{name}");
        assert_eq!(verdict.market.as_str(), self.market, "{name}");
        assert_eq!(verdict.currency.as_str(), self.currency, "{name}");
        assert_eq!(verdict.lines, self.lines, "{name}");
        let amounts = [verdict.net, verdict.tax, verdict.payable].map(|amount| amount.to_string());
        assert_eq!(amounts, [self.net, self.tax, self.payable], "{name}");
        let notices: Vec<&str> = verdict
            .notices
            .iter()
            .map(|notice| rule_of(notice))
            .collect();
        assert_eq!(notices, self.notices, "{name}");
    }
}

fn rule_of(notice: &str) -> &str {
    notice.split(": ").next().unwrap_or_default()
}

/// What a change by 0.01 of one amount leads to.
#[derive(Debug)]
enum Consequence {
    /// The document is refused: exactly these rules are broken, the first gives the code.
    Broken(Vec<String>),
    /// The document is accepted, and this rule notices that a line or price does not add up so.
    Noticed(&'static str),
    /// No rule speaks of this amount, or 0.01 of it vanishes when its product is rounded.
    Nothing,
}

impl Consequence {
    fn compare(&self, altered: &str, notices: &[String], name: &str) {
        match (self, check(altered.as_bytes())) {
            (Self::Broken(rules), Err(error)) => {
                let CheckError::Broken(findings) = &error else {
                    panic!("{name}: {error}")
                };
                let broken: Vec<&str> = findings.iter().map(|finding| finding.rule).collect();
                assert_eq!(&broken, rules, "{name}: {error}");
                assert_eq!(error.code(), rules[0], "{name}");
            }
            (Self::Noticed(rule), Ok(verdict)) => {
                let new = verdict
                    .notices
                    .iter()
                    .any(|notice| rule_of(notice) == *rule && !notices.contains(notice));
                assert!(
                    new,
                    "{name}: {rule} says nothing new: {:?}",
                    verdict.notices
                );
            }
            (Self::Nothing, Ok(verdict)) => assert_eq!(verdict.notices, notices, "{name}"),
            (expected, found) => panic!("{name}: expected {expected:?}, found {found:?}"),
        }
    }
}

/// An amount of a document, where it stands in the text.
struct Amount<'x> {
    /// Local names from below the root.
    path: String,
    currency: String,
    value: Decimal,
    range: Range<usize>,
    /// The text of the element around it.
    parent: &'x str,
    /// The text of the element around that.
    grandparent: &'x str,
}

impl Amount<'_> {
    /// The rules that go with each kind of amount.
    fn consequence(&self, document_currency: &str, step: Decimal) -> Consequence {
        let broken = |rules: &[&str]| {
            Consequence::Broken(rules.iter().map(|rule| (*rule).to_owned()).collect())
        };
        match self.path.as_str() {
            "InvoiceLine/LineExtensionAmount" | "CreditNoteLine/LineExtensionAmount" => {
                broken(&["BR-CO-10", &self.taxable_rule()])
            }
            "AllowanceCharge/Amount" => {
                let charge =
                    ["1", "true"].contains(&value_in(self.parent, "ChargeIndicator").unwrap());
                broken(&[
                    if charge { "BR-CO-12" } else { "BR-CO-11" },
                    &self.taxable_rule(),
                ])
            }
            "LegalMonetaryTotal/LineExtensionAmount" => broken(&["BR-CO-10", "BR-CO-13"]),
            "LegalMonetaryTotal/AllowanceTotalAmount" => broken(&["BR-CO-11", "BR-CO-13"]),
            "LegalMonetaryTotal/ChargeTotalAmount" => broken(&["BR-CO-12", "BR-CO-13"]),
            "LegalMonetaryTotal/TaxExclusiveAmount" => broken(&["BR-CO-13", "BR-CO-15"]),
            "LegalMonetaryTotal/TaxInclusiveAmount" => broken(&["BR-CO-15", "BR-CO-16"]),
            "LegalMonetaryTotal/PrepaidAmount"
            | "LegalMonetaryTotal/PayableRoundingAmount"
            | "LegalMonetaryTotal/PayableAmount" => broken(&["BR-CO-16"]),
            "TaxTotal/TaxAmount" if self.currency == document_currency => {
                broken(&["BR-CO-14", "BR-CO-15"])
            }
            "TaxTotal/TaxSubtotal/TaxableAmount" => self.taxable_amount(step),
            "TaxTotal/TaxSubtotal/TaxAmount" => broken(&["BR-CO-14", "BR-CO-17", &self.tax_rule()]),
            "InvoiceLine/Price/PriceAmount" | "CreditNoteLine/Price/PriceAmount" => {
                self.price(step)
            }
            "InvoiceLine/Price/AllowanceCharge/BaseAmount" => Consequence::Noticed(R046),
            "InvoiceLine/Price/AllowanceCharge/Amount" if self.parent.contains("BaseAmount") => {
                Consequence::Noticed(R046)
            }
            "InvoiceLine/AllowanceCharge/Amount" => Consequence::Noticed(R120),
            // VAT in the accounting currency, a discount on an unstated price, the base of a percentage.
            "TaxTotal/TaxAmount"
            | "InvoiceLine/Price/AllowanceCharge/Amount"
            | "AllowanceCharge/BaseAmount"
            | "InvoiceLine/AllowanceCharge/BaseAmount" => Consequence::Nothing,
            other => panic!("an amount that the table does not know: {other}"),
        }
    }

    /// BR-x-08, and the tax where it is then rounded to another amount.
    fn taxable_amount(&self, step: Decimal) -> Consequence {
        let rate = value_in(self.parent, "Percent").map_or(Decimal::ZERO, decimal);
        let tax_at = |taxable: Decimal| cents(taxable * rate / Decimal::ONE_HUNDRED);
        let mut rules = vec![self.taxable_rule()];
        if tax_at(self.value + step) != tax_at(self.value) {
            rules.extend(["BR-CO-17".to_owned(), self.tax_rule()]);
        }
        Consequence::Broken(rules)
    }

    fn price(&self, step: Decimal) -> Consequence {
        let quantity = value_in(self.grandparent, "InvoicedQuantity")
            .or(value_in(self.grandparent, "CreditedQuantity"));
        let base = value_in(self.parent, "BaseQuantity").map_or(Decimal::ONE, decimal);
        let net_at = |price: Decimal| cents(decimal(quantity.unwrap()) * price / base);
        if net_at(self.value + step) != net_at(self.value) {
            Consequence::Noticed(R120)
        } else {
            Consequence::Nothing
        }
    }

    fn taxable_rule(&self) -> String {
        format!("BR-{}-08", self.category())
    }

    fn tax_rule(&self) -> String {
        format!("BR-{}-09", self.category())
    }

    /// The category as the names of rules have it.
    fn category(&self) -> &str {
        let tax_category = self
            .parent
            .split("TaxCategory")
            .nth(1)
            .expect("what is taxed has a category");
        match value_in(tax_category, "ID").unwrap() {
            "K" => "IC",
            code => code,
        }
    }
}

/// The value of the first element of this name.
fn value_in<'x>(text: &'x str, name: &str) -> Option<&'x str> {
    let (_, from_name) = text.split_once(&format!("<cbc:{name}"))?;
    let (_, from_value) = from_name.split_once('>')?;
    from_value.split('<').next().map(str::trim)
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn cents(value: Decimal) -> Decimal {
    value.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

/// Every element whose name ends in `Amount`, found without the reader that is being tested.
fn amounts_in(xml: &str) -> Vec<Amount<'_>> {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut open: Vec<(String, usize)> = Vec::new();
    let mut amounts = Vec::new();
    let mut currency = String::new();
    loop {
        let from = usize::try_from(reader.buffer_position()).unwrap();
        let event = reader.read_event().unwrap();
        let to = usize::try_from(reader.buffer_position()).unwrap();
        match event {
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_owned();
                if let Some(attribute) = start.try_get_attribute("currencyID").unwrap() {
                    currency = attribute.value.into_owned();
                }
                open.push((name, from));
            }
            Event::End(_) => {
                open.pop();
            }
            Event::Text(text)
                if open
                    .last()
                    .is_some_and(|(name, _)| name.ends_with("Amount")) =>
            {
                let value = decimal(&text.xml10_content());
                let path = open[1..]
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .collect::<Vec<_>>()
                    .join("/");
                let [.., (_, grandparent), (_, parent), _] = open.as_slice() else {
                    panic!("{path}")
                };
                let range = from..to;
                let [parent, grandparent] = [*parent, *grandparent].map(|at| element_at(xml, at));
                amounts.push(Amount {
                    path,
                    currency: currency.clone(),
                    value,
                    range,
                    parent,
                    grandparent,
                });
            }
            Event::Eof => return amounts,
            _ => {}
        }
    }
}

/// The text of the element that begins here. No element of UBL holds another of its own name.
fn element_at(xml: &str, at: usize) -> &str {
    let name = xml[at + 1..]
        .split([' ', '>', '\n', '\r', '\t'])
        .next()
        .unwrap();
    let end = xml[at..].find(&format!("</{name}>")).unwrap();
    &xml[at..at + end]
}
