//! Checks that no amount has more than two decimals: BR-DEC-01 to BR-DEC-28.
//!
//! Prices are exempt, and amounts are counted as written: 1.000 has three decimals.

use rust_decimal::Decimal;

use crate::amount::AMOUNT_DECIMALS;
use crate::document::{Adjustment, Document, Sign, Totals};
use crate::finding::Findings;

pub(crate) fn judge(document: &Document, findings: &mut Findings) {
    for adjustment in &document.adjustments {
        let rules = match adjustment.sign {
            Sign::Allowance => ["BR-DEC-01", "BR-DEC-02"],
            Sign::Charge => ["BR-DEC-05", "BR-DEC-06"],
        };
        adjustment_decimals(adjustment, rules, "the document", findings);
    }
    totals(&document.totals, findings);
    vat(document, findings);
    for line in &document.lines {
        check(
            "BR-DEC-23",
            "a line's net amount (BT-131)",
            line.net,
            findings,
        );
        for adjustment in &line.adjustments {
            let rules = match adjustment.sign {
                Sign::Allowance => ["BR-DEC-24", "BR-DEC-25"],
                Sign::Charge => ["BR-DEC-27", "BR-DEC-28"],
            };
            adjustment_decimals(adjustment, rules, "a line", findings);
        }
    }
}

fn adjustment_decimals(
    adjustment: &Adjustment,
    [amount_rule, base_rule]: [&'static str; 2],
    of: &str,
    findings: &mut Findings,
) {
    let what = match adjustment.sign {
        Sign::Allowance => "allowance",
        Sign::Charge => "charge",
    };
    check(
        amount_rule,
        &format!("the {what} on {of}"),
        adjustment.amount,
        findings,
    );
    if let Some(base) = adjustment.base {
        check(
            base_rule,
            &format!("the base of the {what} on {of}"),
            base,
            findings,
        );
    }
}

fn totals(totals: &Totals, findings: &mut Findings) {
    for (rule, what, amount) in [
        (
            "BR-DEC-09",
            "the sum of line net amounts (BT-106)",
            Some(totals.lines),
        ),
        (
            "BR-DEC-10",
            "the sum of allowances (BT-107)",
            totals.allowances,
        ),
        ("BR-DEC-11", "the sum of charges (BT-108)", totals.charges),
        (
            "BR-DEC-12",
            "the total without VAT (BT-109)",
            Some(totals.without_vat),
        ),
        (
            "BR-DEC-14",
            "the total with VAT (BT-112)",
            Some(totals.with_vat),
        ),
        ("BR-DEC-16", "the amount paid (BT-113)", totals.prepaid),
        ("BR-DEC-17", "the rounding amount (BT-114)", totals.rounding),
        ("BR-DEC-18", "the amount due (BT-115)", Some(totals.payable)),
    ] {
        if let Some(amount) = amount {
            check(rule, what, amount, findings);
        }
    }
}

fn vat(document: &Document, findings: &mut Findings) {
    for total in &document.tax_totals {
        if total.currency == document.currency {
            check(
                "BR-DEC-13",
                "the VAT total (BT-110)",
                total.amount,
                findings,
            );
        } else {
            check(
                "BR-DEC-15",
                "the VAT total in the accounting currency (BT-111)",
                total.amount,
                findings,
            );
        }
        for subtotal in &total.subtotals {
            check(
                "BR-DEC-19",
                "a taxable amount (BT-116)",
                subtotal.taxable,
                findings,
            );
            check("BR-DEC-20", "a tax amount (BT-117)", subtotal.tax, findings);
        }
    }
}

fn check(rule: &'static str, what: &str, amount: Decimal, findings: &mut Findings) {
    if amount.scale() <= AMOUNT_DECIMALS {
        findings.pass(rule);
    } else {
        findings.fail(
            rule,
            format!("{what} is {amount}, but at most two decimals are allowed"),
        );
    }
}
