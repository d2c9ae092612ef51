//! Checks the arithmetic inside lines, prices, allowances and charges, which EN 16931 has no rule for.
//!
//! Peppol BIS Billing has: R040 and R046 (allowances, charges and discounts), R120 and R121 (lines).
//! Official examples of EN 16931 break them, so a broken one is a notice and never an error. Peppol
//! tolerates 0.02; here they are compared exactly, after rounding half up to two decimals.

use rust_decimal::Decimal;

use crate::amount::rounded;
use crate::document::{Adjustment, Document, Line};
use crate::finding::{Findings, Shown, Stated};

const PERCENTAGE: &str = "PEPPOL-EN16931-R040";
const DISCOUNT: &str = "PEPPOL-EN16931-R046";
const LINE_NET: &str = "PEPPOL-EN16931-R120";
const BASE_QUANTITY: &str = "PEPPOL-EN16931-R121";

/// Checks every such rule that applies to the document.
pub fn judge(document: &Document) -> Findings {
    let mut findings = Findings::default();
    for adjustment in &document.adjustments {
        percentage(adjustment, "the document", &mut findings);
    }
    for line in &document.lines {
        let name = format!("line {:.40}", line.id);
        for adjustment in &line.adjustments {
            percentage(adjustment, &name, &mut findings);
        }
        discount(line, &name, &mut findings);
        net_amount(line, &name, &mut findings);
    }
    findings
}

fn percentage(adjustment: &Adjustment, of: &str, findings: &mut Findings) {
    let (Some(base), Some(percent)) = (adjustment.base, adjustment.percent) else {
        return;
    };
    findings.compare(
        PERCENTAGE,
        Stated {
            what: &format!("an allowance or charge of {of}"),
            amount: adjustment.amount,
        },
        rounded(base * percent / Decimal::ONE_HUNDRED),
        &format!("{} % of {} are", percent.normalize(), Shown(base)),
    );
}

/// Prices have as many decimals as they like, and no rounding.
fn discount(line: &Line, of: &str, findings: &mut Findings) {
    let (Some(gross), Some(discount)) = (line.price.gross, line.price.discount) else {
        return;
    };
    findings.compare(
        DISCOUNT,
        Stated {
            what: &format!("the net price of {of}"),
            amount: line.price.net,
        },
        gross - discount,
        &format!("{} less {} are", Shown(gross), Shown(discount)),
    );
}

fn net_amount(line: &Line, of: &str, findings: &mut Findings) {
    let base_quantity = line.price.base_quantity.unwrap_or(Decimal::ONE);
    if base_quantity <= Decimal::ZERO {
        findings.fail(
            BASE_QUANTITY,
            format!("the price of {of} is for {base_quantity}, but must be for more than 0"),
        );
        return;
    }
    let adjustments: Decimal = line.adjustments.iter().map(Adjustment::signed).sum();
    let (quantity, price) = (line.quantity, line.price.net);
    let value = quantity
        .checked_mul(price)
        .and_then(|product| product.checked_div(base_quantity));
    let Some(net) = value.and_then(|value| value.checked_add(adjustments)) else {
        findings.fail(
            LINE_NET,
            format!("quantity {quantity} at price {price} of {of} is too large to compute"),
        );
        return;
    };
    findings.compare(
        LINE_NET,
        Stated {
            what: &format!("the net amount of {of}"),
            amount: line.net,
        },
        rounded(net),
        &format!(
            "{quantity} at {price} for {base_quantity}, with charges less allowances of {}, are",
            Shown(adjustments)
        ),
    );
}
