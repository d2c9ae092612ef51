//! Recomputes the VAT breakdown (BG-23): which groups there must be, and their amounts.
//!
//! For the categories with a rate (S, L, M, B) each rate is a group of its own; for all others the
//! category is. `x` in a rule's name is the category: BR-S-08, BR-IC-08 (for K), BR-AF-08 (for L).
//!
//! - BR-CO-18: there is a breakdown.
//! - BR-x-01: a category that is used has a group in the breakdown; one without rates just one.
//! - BR-x-08: a taxable amount is the sum of the group's lines - allowances + charges. A rate that is
//!   used and has no group in the breakdown, or two, breaks this one too: "for each different rate".
//! - BR-CO-17: a tax amount is taxable amount x rate, rounded half up to two decimals.
//! - BR-x-09: the same again for a category with a rate, and zero for one without.
//!
//! Split payment (B) has no rule of its own on amounts in the standard: BR-CO-17 covers it alone.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::amount::rounded;
use crate::document::{Category, Document, Subtotal, Vat};
use crate::finding::{Findings, Shown, Stated};

/// What is taxed alike: a category, and its rate where rates tell groups apart.
type Group = (Category, Option<Decimal>);

pub(crate) fn judge(document: &Document, findings: &mut Findings) {
    let subtotals: Vec<&Subtotal> = document
        .document_tax_totals()
        .flat_map(|total| &total.subtotals)
        .collect();
    if subtotals.is_empty() {
        findings.fail(
            "BR-CO-18",
            "the VAT breakdown (BG-23) has no group, but at least one is needed".to_owned(),
        );
    } else {
        findings.pass("BR-CO-18");
    }
    let used = used_groups(document);
    presence(&used, &subtotals, findings);
    taxable_amounts(&used, &subtotals, findings);
    tax_amounts(&subtotals, findings);
}

/// The taxable amount of each group that a line, allowance or charge belongs to.
fn used_groups(document: &Document) -> BTreeMap<Group, Decimal> {
    let mut groups = BTreeMap::new();
    for line in &document.lines {
        *groups.entry(group(line.vat)).or_default() += line.net;
    }
    for adjustment in &document.adjustments {
        if let Some(vat) = adjustment.vat {
            *groups.entry(group(vat)).or_default() += adjustment.signed();
        }
    }
    groups
}

fn group(vat: Vat) -> Group {
    (vat.category, vat.rate.filter(|_| has_rates(vat.category)))
}

fn has_rates(category: Category) -> bool {
    match category {
        Category::Standard
        | Category::CanaryIslands
        | Category::CeutaMelilla
        | Category::SplitPayment => true,
        Category::Zero
        | Category::Exempt
        | Category::ReverseCharge
        | Category::IntraCommunity
        | Category::Export
        | Category::NotSubject => false,
    }
}

/// BR-x-01.
fn presence(used: &BTreeMap<Group, Decimal>, subtotals: &[&Subtotal], findings: &mut Findings) {
    for category in Category::ALL {
        let Some(rules) = rules_of(category) else {
            continue;
        };
        let is_used = used.keys().any(|(used, _)| *used == category);
        let stated = subtotals
            .iter()
            .filter(|subtotal| subtotal.vat.category == category)
            .count();
        let code = category.code();
        match (is_used, stated) {
            (false, 0) => {}
            (true, 0) => findings.fail(
                rules.present,
                format!("category {code} is used, but the VAT breakdown has no group of it"),
            ),
            (false, _) if has_rates(category) => findings.fail(
                rules.present,
                format!(
                    "the VAT breakdown has a group of category {code}, but nothing is taxed so"
                ),
            ),
            (_, 2..) if !has_rates(category) => findings.fail(
                rules.present,
                format!(
                    "the VAT breakdown has {stated} groups of category {code}, but one is right"
                ),
            ),
            _ => findings.pass(rules.present),
        }
    }
}

/// BR-x-08.
fn taxable_amounts(
    used: &BTreeMap<Group, Decimal>,
    subtotals: &[&Subtotal],
    findings: &mut Findings,
) {
    let mut stated = BTreeMap::new();
    for subtotal in subtotals {
        let group = group(subtotal.vat);
        let Some(rules) = rules_of(group.0) else {
            continue;
        };
        let name = name(group);
        if stated.insert(group, ()).is_some() {
            findings.fail(
                rules.taxable,
                format!("{name} stands twice in the VAT breakdown, but once is right"),
            );
            continue;
        }
        match used.get(&group) {
            None if has_rates(group.0) => findings.fail(
                rules.taxable,
                format!(
                    "the taxable amount (BT-116) of {name} is {}, but nothing is taxed so",
                    Shown(subtotal.taxable)
                ),
            ),
            sum => findings.compare(
                rules.taxable,
                Stated {
                    what: &format!("the taxable amount (BT-116) of {name}"),
                    amount: subtotal.taxable,
                },
                rounded(sum.copied().unwrap_or_default()),
                "lines - allowances + charges make",
            ),
        }
    }
    for (group, sum) in used {
        let Some(rules) = rules_of(group.0) else {
            continue;
        };
        if !stated.contains_key(group) && !sum.is_zero() {
            let (name, sum) = (name(*group), Shown(*sum));
            findings.fail(
                rules.taxable,
                format!("{name} is missing in the VAT breakdown, but {sum} is taxed so"),
            );
        }
    }
}

/// BR-CO-17 for all, then BR-x-09 for all.
fn tax_amounts(subtotals: &[&Subtotal], findings: &mut Findings) {
    for subtotal in subtotals {
        compare_tax(subtotal, "BR-CO-17", product(subtotal), findings);
    }
    for subtotal in subtotals {
        let category = subtotal.vat.category;
        let Some(rules) = rules_of(category) else {
            continue;
        };
        let expected = if has_rates(category) {
            product(subtotal)
        } else {
            Decimal::ZERO
        };
        compare_tax(subtotal, rules.tax, expected, findings);
    }
}

fn compare_tax(
    subtotal: &Subtotal,
    rule: &'static str,
    expected: Decimal,
    findings: &mut Findings,
) {
    let name = name((subtotal.vat.category, subtotal.vat.rate));
    let stated = Stated {
        what: &format!("the tax amount (BT-117) of {name}"),
        amount: subtotal.tax,
    };
    let rate = subtotal.vat.rate.unwrap_or_default().normalize();
    findings.compare(
        rule,
        stated,
        expected,
        &format!("{} at {rate} % make", Shown(subtotal.taxable)),
    );
}

fn product(subtotal: &Subtotal) -> Decimal {
    rounded(subtotal.taxable * subtotal.vat.rate.unwrap_or_default() / Decimal::ONE_HUNDRED)
}

fn name((category, rate): Group) -> String {
    let code = category.code();
    rate.map_or_else(
        || format!("category {code}"),
        |rate| format!("category {code} at {} %", rate.normalize()),
    )
}

struct Rules {
    present: &'static str,
    taxable: &'static str,
    tax: &'static str,
}

fn rules_of(category: Category) -> Option<Rules> {
    let [present, taxable, tax] = match category {
        Category::Standard => ["BR-S-01", "BR-S-08", "BR-S-09"],
        Category::Zero => ["BR-Z-01", "BR-Z-08", "BR-Z-09"],
        Category::Exempt => ["BR-E-01", "BR-E-08", "BR-E-09"],
        Category::ReverseCharge => ["BR-AE-01", "BR-AE-08", "BR-AE-09"],
        Category::IntraCommunity => ["BR-IC-01", "BR-IC-08", "BR-IC-09"],
        Category::Export => ["BR-G-01", "BR-G-08", "BR-G-09"],
        Category::NotSubject => ["BR-O-01", "BR-O-08", "BR-O-09"],
        Category::CanaryIslands => ["BR-AF-01", "BR-AF-08", "BR-AF-09"],
        Category::CeutaMelilla => ["BR-AG-01", "BR-AG-08", "BR-AG-09"],
        Category::SplitPayment => return None,
    };
    Some(Rules {
        present,
        taxable,
        tax,
    })
}
