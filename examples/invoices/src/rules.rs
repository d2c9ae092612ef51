//! Recomputes the sums of a document: the calculation rules of EN 16931, by their names.
//!
//! The rules and their order:
//!
//! | rules | what they ask |
//! |---|---|
//! | PEPPOL-EN16931-R051 | all amounts are in the document's currency (BT-5 says the same in words) |
//! | BR-DEC-01 to -28 | an amount has at most two decimals: see `decimals.rs` |
//! | BR-CO-10 to -16 | the totals of the document, from line amounts to the amount due |
//! | BR-53 | a VAT total in the accounting currency, if there is one |
//! | BR-CO-18, BR-x-01, BR-x-08, BR-CO-17, BR-x-09 | the VAT breakdown: see `breakdown.rs` |
//!
//! All of them are checked; the first that is broken names the document's error, so the totals come
//! before the breakdown: an amount that belongs to both is named by the rule that has no tolerance.
//!
//! **Exact, where the validation artefacts are not.** The schematron that goes with the standard
//! compares BR-CO-10 to -16 and the zero rates exactly, and so does this. For taxable and tax amounts
//! at a rate (BR-S-08, BR-S-09, BR-CO-17 and their like) it accepts anything less than 1.00 away,
//! although the rules themselves say "equal" and "rounded to two decimals". Here the text of the rules
//! counts: a taxable amount equals its sum, and a tax amount equals taxable amount x rate rounded half
//! up to two decimals. So this accepts no document that the artefacts refuse for its sums, and refuses
//! some whose seller rounded VAT line by line, by the name of the rule and with both amounts.
//!
//! Two amounts of a document can be wrong by 0.01 without breaking a rule, as no rule speaks of them:
//! the VAT in the accounting currency (BT-111, no exchange rate is stated), and a discount on a price
//! whose gross price is not stated. Prices, and allowances and charges of a line, are covered by rules
//! of Peppol alone: see [`crate::notice`].

use rust_decimal::Decimal;

use crate::amount::rounded;
use crate::document::{Adjustment, Document, Sign};
use crate::finding::{Findings, Shown, Stated};
use crate::{breakdown, decimals};

/// Checks every rule that applies to the document.
pub fn judge(document: &Document) -> Findings {
    let mut findings = Findings::default();
    one_currency(document, &mut findings);
    decimals::judge(document, &mut findings);
    sums_of_parts(document, &mut findings);
    totals(document, &mut findings);
    accounting_currency(document, &mut findings);
    breakdown::judge(document, &mut findings);
    findings
}

/// Sums over two currencies would mean nothing.
fn one_currency(document: &Document, findings: &mut Findings) {
    let rule = "PEPPOL-EN16931-R051";
    findings.pass(rule);
    for (currency, line) in &document.amount_currencies {
        if *currency != document.currency {
            let document_currency = document.currency;
            findings.fail(
                rule,
                format!("the amount in line {line} is in {currency}, but the document's currency is {document_currency}"),
            );
        }
    }
}

/// BR-CO-10, -11 and -12: the sums of lines, allowances and charges.
fn sums_of_parts(document: &Document, findings: &mut Findings) {
    let totals = &document.totals;
    let lines: Decimal = document.lines.iter().map(|line| line.net).sum();
    let stated = Stated {
        what: "the sum of line net amounts (BT-106)",
        amount: totals.lines,
    };
    findings.compare("BR-CO-10", stated, rounded(lines), "the lines make");
    let stated = ("the sum of allowances (BT-107)", totals.allowances);
    sum_of_adjustments(
        findings,
        "BR-CO-11",
        stated,
        of_sign(document, Sign::Allowance),
    );
    let stated = ("the sum of charges (BT-108)", totals.charges);
    sum_of_adjustments(
        findings,
        "BR-CO-12",
        stated,
        of_sign(document, Sign::Charge),
    );
}

fn of_sign(document: &Document, sign: Sign) -> impl Iterator<Item = &Adjustment> {
    document
        .adjustments
        .iter()
        .filter(move |adjustment| adjustment.sign == sign)
}

/// A sum may be left out if there is nothing to add up.
fn sum_of_adjustments<'a>(
    findings: &mut Findings,
    rule: &'static str,
    (what, stated): (&str, Option<Decimal>),
    parts: impl Iterator<Item = &'a Adjustment>,
) {
    let amounts: Vec<Decimal> = parts.map(|part| part.amount).collect();
    let sum = rounded(amounts.iter().sum());
    match stated {
        Some(amount) => findings.compare(rule, Stated { what, amount }, sum, "they make"),
        None if amounts.is_empty() => findings.pass(rule),
        None => findings.fail(
            rule,
            format!("{what} is missing, but they make {}", Shown(sum)),
        ),
    }
}

/// BR-CO-13 to -16: from the sum of the lines to the amount due, each from the stated one before it.
fn totals(document: &Document, findings: &mut Findings) {
    let totals = &document.totals;
    let (allowances, charges) = (
        totals.allowances.unwrap_or_default(),
        totals.charges.unwrap_or_default(),
    );
    findings.compare(
        "BR-CO-13",
        Stated {
            what: "the total without VAT (BT-109)",
            amount: totals.without_vat,
        },
        rounded(totals.lines - allowances + charges),
        &format!(
            "lines {} - allowances {} + charges {} make",
            Shown(totals.lines),
            Shown(allowances),
            Shown(charges)
        ),
    );
    for total in document
        .tax_totals
        .iter()
        .filter(|total| !total.subtotals.is_empty())
    {
        let taxes: Decimal = total.subtotals.iter().map(|subtotal| subtotal.tax).sum();
        let stated = Stated {
            what: "the VAT total (BT-110)",
            amount: total.amount,
        };
        findings.compare(
            "BR-CO-14",
            stated,
            rounded(taxes),
            "the tax amounts of the breakdown make",
        );
    }
    total_with_vat(document, findings);
    let (prepaid, rounding) = (
        totals.prepaid.unwrap_or_default(),
        totals.rounding.unwrap_or_default(),
    );
    findings.compare(
        "BR-CO-16",
        Stated {
            what: "the amount due (BT-115)",
            amount: totals.payable,
        },
        rounded(totals.with_vat - prepaid + rounding),
        &format!(
            "with VAT {} - paid {} + rounding {} make",
            Shown(totals.with_vat),
            Shown(prepaid),
            Shown(rounding)
        ),
    );
}

fn total_with_vat(document: &Document, findings: &mut Findings) {
    let rule = "BR-CO-15";
    let totals = &document.totals;
    let mut in_currency = document.document_tax_totals();
    match (in_currency.next(), in_currency.next()) {
        (Some(vat), None) => findings.compare(
            rule,
            Stated {
                what: "the total with VAT (BT-112)",
                amount: totals.with_vat,
            },
            rounded(totals.without_vat + vat.amount),
            &format!(
                "without VAT {} + VAT {} make",
                Shown(totals.without_vat),
                Shown(vat.amount)
            ),
        ),
        (None, _) => {
            findings.fail(
                rule,
                format!(
                    "there is no VAT total (BT-110) in {}, but one is needed",
                    document.currency
                ),
            );
        }
        (Some(_), Some(_)) => {
            findings.fail(
                rule,
                format!(
                    "there are several VAT totals (BT-110) in {}, but one is right",
                    document.currency
                ),
            );
        }
    }
}

/// BR-53: who names an accounting currency states the VAT in it.
fn accounting_currency(document: &Document, findings: &mut Findings) {
    let Some(currency) = document.accounting_currency else {
        return;
    };
    if document
        .tax_totals
        .iter()
        .any(|total| total.currency == currency)
    {
        findings.pass("BR-53");
    } else {
        findings.fail(
            "BR-53",
            format!("the accounting currency is {currency}, but no VAT total (BT-111) is in it"),
        );
    }
}
