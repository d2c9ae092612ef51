//! Puts one amount of a document off, and says which rule that breaks first.

use rust_decimal::Decimal;

use super::random::Random;
use crate::document::{Category, Document, Sign};

/// Where the mistake is.
#[derive(Clone, Copy)]
enum Mistake {
    LineNet(usize),
    Adjustment(usize),
    LineSum,
    AllowanceSum,
    ChargeSum,
    WithoutVat,
    Taxable(usize),
    Tax(usize),
    VatTotal,
    WithVat,
    Prepaid,
    Rounding,
    Payable,
}

/// Changes one amount by between 0.01 and 10.00 and returns the rule that it breaks first.
pub(super) fn make(document: &mut Document, random: &mut Random) -> &'static str {
    let possible = possible(document, random);
    let mistake = *random.pick(&possible);
    let cents = if random.chance(50) {
        1
    } else {
        random.between(1, 1_000)
    };
    let step = Decimal::new(i64::from(cents), 2);
    let step = if random.chance(50) { step } else { -step };
    apply(mistake, document, step)
}

/// Each place once, and one each of lines, adjustments and groups, so that long documents are not
/// mostly wrong in their lines.
fn possible(document: &Document, random: &mut Random) -> Vec<Mistake> {
    let totals = &document.totals;
    let groups = document.tax_totals[0].subtotals.len();
    let mut possible = vec![
        Mistake::LineNet(random.index(document.lines.len())),
        Mistake::LineSum,
        Mistake::WithoutVat,
        Mistake::Taxable(random.index(groups)),
        Mistake::Tax(random.index(groups)),
        Mistake::VatTotal,
        Mistake::WithVat,
        Mistake::Payable,
    ];
    if !document.adjustments.is_empty() {
        possible.push(Mistake::Adjustment(
            random.index(document.adjustments.len()),
        ));
    }
    possible.extend(totals.allowances.map(|_| Mistake::AllowanceSum));
    possible.extend(totals.charges.map(|_| Mistake::ChargeSum));
    possible.extend(totals.prepaid.map(|_| Mistake::Prepaid));
    possible.extend(totals.rounding.map(|_| Mistake::Rounding));
    possible
}

fn apply(mistake: Mistake, document: &mut Document, step: Decimal) -> &'static str {
    let totals = &mut document.totals;
    let vat = &mut document.tax_totals[0];
    let (amount, rule) = match mistake {
        Mistake::LineNet(index) => (&mut document.lines[index].net, "BR-CO-10"),
        Mistake::Adjustment(index) => {
            let adjustment = &mut document.adjustments[index];
            let rule = match adjustment.sign {
                Sign::Allowance => "BR-CO-11",
                Sign::Charge => "BR-CO-12",
            };
            (&mut adjustment.amount, rule)
        }
        Mistake::LineSum => (&mut totals.lines, "BR-CO-10"),
        Mistake::AllowanceSum => (totals.allowances.get_or_insert_default(), "BR-CO-11"),
        Mistake::ChargeSum => (totals.charges.get_or_insert_default(), "BR-CO-12"),
        Mistake::WithoutVat => (&mut totals.without_vat, "BR-CO-13"),
        Mistake::Taxable(index) => {
            let subtotal = &mut vat.subtotals[index];
            (&mut subtotal.taxable, taxable_rule(subtotal.vat.category))
        }
        Mistake::Tax(index) => (&mut vat.subtotals[index].tax, "BR-CO-14"),
        Mistake::VatTotal => (&mut vat.amount, "BR-CO-14"),
        Mistake::WithVat => (&mut totals.with_vat, "BR-CO-15"),
        Mistake::Prepaid => (totals.prepaid.get_or_insert_default(), "BR-CO-16"),
        Mistake::Rounding => (totals.rounding.get_or_insert_default(), "BR-CO-16"),
        Mistake::Payable => (&mut totals.payable, "BR-CO-16"),
    };
    *amount += step;
    rule
}

/// Of the categories that are generated.
fn taxable_rule(category: Category) -> &'static str {
    match category {
        Category::Standard => "BR-S-08",
        Category::Zero => "BR-Z-08",
        Category::Exempt => "BR-E-08",
        Category::ReverseCharge => "BR-AE-08",
        Category::IntraCommunity => "BR-IC-08",
        Category::Export => "BR-G-08",
        Category::NotSubject => "BR-O-08",
        Category::CanaryIslands => "BR-AF-08",
        Category::CeutaMelilla => "BR-AG-08",
        Category::SplitPayment => "BR-CO-17",
    }
}
