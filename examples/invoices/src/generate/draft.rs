//! Thinks up one document and works out its sums, line by line and total by total.
//!
//! It computes the sums in its own way and never asks the rules, so that each can find the other wrong.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, RoundingStrategy};

use super::market::{FOREIGN_CURRENCIES, Market};
use super::parties::{self, Party, Trade};
use super::random::Random;
use crate::amount::rounded;
use crate::document::{
    Adjustment, Category, Country, Currency, Document, DocumentKind, Line, Price, Sign, Subtotal,
    TaxTotal, Totals, Vat,
};

/// A document with the people and goods that its sums leave out.
pub(super) struct Draft {
    pub(super) document: Document,
    pub(super) trade: Trade,
    pub(super) seller: Party,
    pub(super) buyer: Party,
    /// The name and the unit of each line's item.
    pub(super) items: Vec<Item>,
}

pub(super) type Item = (&'static str, &'static str);

impl Draft {
    pub(super) fn new(random: &mut Random, market: &Market, lines_max: usize, number: u64) -> Self {
        let trade = Trade::choose(random);
        let kind = if random.chance(10) {
            DocumentKind::CreditNote
        } else {
            DocumentKind::Invoice
        };
        let (seller, buyer) = (
            parties::seller(random, market, trade),
            parties::buyer(random, market, trade),
        );
        let (currency, accounting_currency) = currencies(random, market);
        let (mut lines, mut items) = (Vec::new(), Vec::new());
        for index in 1..=line_count(random).min(lines_max) {
            let vat = vat(random, market, trade);
            let (line, item) = line(random, index, vat);
            lines.push(line);
            items.push(item);
        }
        let adjustments = adjustments(random, &lines);
        let subtotals = breakdown(&lines, &adjustments);
        let totals = totals(random, &lines, &adjustments, &subtotals);
        let tax_totals = tax_totals(random, (currency, accounting_currency), subtotals);
        let document = Document {
            kind,
            id: id(kind, market, number),
            issued: format!(
                "2026-{:02}-{:02}",
                random.between(1, 12),
                random.between(1, 28)
            ),
            currency,
            accounting_currency,
            market: Country::new(market.country).expect("the table holds country codes"),
            lines,
            adjustments,
            tax_totals,
            totals,
            amount_currencies: BTreeMap::new(),
        };
        Self {
            document,
            trade,
            seller,
            buyer,
            items,
        }
    }
}

fn id(kind: DocumentKind, market: &Market, number: u64) -> String {
    let prefix = match kind {
        DocumentKind::Invoice => "INV",
        DocumentKind::CreditNote => "CN",
    };
    format!("{prefix}-{}-{number:07}", market.country)
}

/// The document's currency and, where that is another, the one that the seller accounts in.
fn currencies(random: &mut Random, market: &Market) -> (Currency, Option<Currency>) {
    let own = Currency::new(market.currency).expect("the table holds currency codes");
    if !random.chance(8) {
        return (own, None);
    }
    let foreign = if market.currency == "EUR" {
        *random.pick(&FOREIGN_CURRENCIES)
    } else {
        "EUR"
    };
    (
        Currency::new(foreign).expect("the table holds currency codes"),
        Some(own),
    )
}

/// Most documents are short, some are long.
fn line_count(random: &mut Random) -> usize {
    let (low, high) = match random.between(1, 100) {
        1..=60 => (1, 5),
        61..=87 => (6, 20),
        88..=98 => (21, 60),
        _ => (61, 200),
    };
    usize::try_from(random.between(low, high)).expect("a few lines")
}

fn vat(random: &mut Random, market: &Market, trade: Trade) -> Vat {
    let zero_rated = |category| Vat {
        category,
        rate: Some(Decimal::ZERO),
    };
    match trade {
        Trade::ReverseCharge if random.chance(80) => zero_rated(Category::ReverseCharge),
        Trade::Domestic if random.chance(5) => zero_rated(Category::Exempt),
        Trade::Domestic if random.chance(3) => zero_rated(Category::Zero),
        Trade::Domestic | Trade::ReverseCharge => {
            let rate = if random.chance(70) {
                &market.rates[0]
            } else {
                random.pick(market.rates)
            };
            Vat {
                category: Category::Standard,
                rate: Some(Decimal::new(*rate, 1)),
            }
        }
        Trade::IntraCommunity => zero_rated(Category::IntraCommunity),
        Trade::Export => zero_rated(Category::Export),
        Trade::NotSubject => Vat {
            category: Category::NotSubject,
            rate: None,
        },
    }
}

const PIECES: [Item; 8] = [
    ("Desk lamp", "C62"),
    ("Office chair", "C62"),
    ("Paper, A4, 80 g", "XPX"),
    ("Torque wrench <12 Nm>", "C62"),
    ("Nuts & bolts", "XBX"),
    ("Bicycle tyre 28\"", "C62"),
    ("Coffee, 1 kg", "C62"),
    ("Field guide to birds", "C62"),
];
const HOURS: [Item; 3] = [
    ("Consulting", "HUR"),
    ("Assembly", "HUR"),
    ("Translation", "HUR"),
];
const BULK: [Item; 4] = [
    ("Electricity", "KWH"),
    ("Copper wire", "MTR"),
    ("Natural gas", "MTQ"),
    ("Screws 4x40", "C62"),
];

fn line(random: &mut Random, index: usize, vat: Vat) -> (Line, Item) {
    let (item, quantity, price) = match random.between(1, 100) {
        1..=65 => (
            *random.pick(&PIECES),
            decimal(random, (1, 24), 0),
            price(random, (49, 40_000), 2),
        ),
        66..=85 => (
            *random.pick(&HOURS),
            quarters(random),
            price(random, (3_800, 19_500), 2),
        ),
        _ => {
            let base = *random.pick(&[None, Some(10), Some(100), Some(1_000)]);
            let price = price(random, (500, 900_000), 4);
            let price = Price {
                base_quantity: base.map(Decimal::from),
                ..price
            };
            (
                *random.pick(&BULK),
                decimal(random, (50, 8_000_000), 3),
                price,
            )
        }
    };
    // What is taken back has a negative quantity, prices never are negative.
    let taken_back = index > 1 && random.chance(3);
    let quantity = if taken_back { -quantity } else { quantity };
    let gross = rounded(quantity * price.net / price.base_quantity.unwrap_or(Decimal::ONE));
    let adjustments = if gross > Decimal::ONE {
        line_adjustments(random, gross)
    } else {
        Vec::new()
    };
    let net = gross + adjustments.iter().map(Adjustment::signed).sum::<Decimal>();
    (
        Line {
            id: index.to_string(),
            quantity,
            net,
            price,
            vat,
            adjustments,
        },
        item,
    )
}

/// A number of so many decimals, within bounds counted in the last of them.
fn decimal(random: &mut Random, (low, high): (u32, u32), decimals: u32) -> Decimal {
    Decimal::new(random.between(low, high).into(), decimals)
}

fn quarters(random: &mut Random) -> Decimal {
    Decimal::new(i64::from(random.between(1, 320)) * 25, 2)
}

fn price(random: &mut Random, bounds: (u32, u32), decimals: u32) -> Price {
    let net = decimal(random, bounds, decimals);
    let discount = random
        .chance(8)
        .then(|| decimal(random, (1, bounds.0), decimals));
    Price {
        net,
        base_quantity: None,
        discount,
        gross: discount.map(|discount| net + discount),
    }
}

fn line_adjustments(random: &mut Random, gross: Decimal) -> Vec<Adjustment> {
    let mut adjustments = Vec::new();
    if random.chance(12) {
        adjustments.push(adjustment(random, Sign::Allowance, gross));
    }
    if random.chance(6) {
        adjustments.push(adjustment(random, Sign::Charge, gross));
    }
    adjustments
}

/// Some percent of the base, stated as such or as an amount alone.
fn adjustment(random: &mut Random, sign: Sign, base: Decimal) -> Adjustment {
    let percent = decimal(random, (10, 150), 1);
    let amount = rounded(base * percent / Decimal::ONE_HUNDRED);
    let told = random.chance(60);
    Adjustment {
        sign,
        amount,
        base: told.then_some(base),
        percent: told.then_some(percent),
        vat: None,
    }
}

/// Allowances and charges on the document, taxed like some of its lines.
fn adjustments(random: &mut Random, lines: &[Line]) -> Vec<Adjustment> {
    let mut adjustments = Vec::new();
    for (sign, percent) in [
        (Sign::Allowance, 15),
        (Sign::Allowance, 4),
        (Sign::Charge, 14),
        (Sign::Charge, 3),
    ] {
        let like = random.pick(lines);
        if random.chance(percent) && like.net > Decimal::ONE {
            let adjustment = adjustment(random, sign, like.net);
            adjustments.push(Adjustment {
                vat: Some(like.vat),
                ..adjustment
            });
        }
    }
    adjustments
}

fn breakdown(lines: &[Line], adjustments: &[Adjustment]) -> Vec<Subtotal> {
    let lines = lines.iter().map(|line| (line.vat, line.net));
    let adjustments = adjustments
        .iter()
        .filter_map(|adjustment| Some((adjustment.vat?, adjustment.signed())));
    let mut subtotals: Vec<Subtotal> = Vec::new();
    for (vat, amount) in lines.chain(adjustments) {
        match subtotals.iter_mut().find(|subtotal| subtotal.vat == vat) {
            Some(subtotal) => subtotal.taxable += amount,
            None => subtotals.push(Subtotal {
                taxable: amount,
                tax: Decimal::ZERO,
                vat,
            }),
        }
    }
    for subtotal in &mut subtotals {
        subtotal.tax = rounded(
            subtotal.taxable * subtotal.vat.rate.unwrap_or_default() / Decimal::ONE_HUNDRED,
        );
    }
    subtotals
}

fn totals(
    random: &mut Random,
    lines: &[Line],
    adjustments: &[Adjustment],
    subtotals: &[Subtotal],
) -> Totals {
    let sum_of = |sign| {
        let amounts = adjustments
            .iter()
            .filter(|adjustment| adjustment.sign == sign)
            .map(|adjustment| adjustment.amount);
        amounts.reduce(|sum, amount| sum + amount)
    };
    let lines: Decimal = lines.iter().map(|line| line.net).sum();
    let (allowances, charges) = (sum_of(Sign::Allowance), sum_of(Sign::Charge));
    let without_vat = lines - allowances.unwrap_or_default() + charges.unwrap_or_default();
    let with_vat = without_vat
        + subtotals
            .iter()
            .map(|subtotal| subtotal.tax)
            .sum::<Decimal>();
    let prepaid = (with_vat > Decimal::ONE && random.chance(12)).then(|| {
        if random.chance(20) {
            with_vat
        } else {
            rounded(with_vat * decimal(random, (10, 80), 2))
        }
    });
    let due = with_vat - prepaid.unwrap_or_default();
    let rounding = random
        .chance(10)
        .then(|| to_unit(due, *random.pick(&[5, 10, 100])) - due);
    let payable = due + rounding.unwrap_or_default();
    Totals {
        lines,
        allowances,
        charges,
        without_vat,
        with_vat,
        prepaid,
        rounding,
        payable,
    }
}

/// Rounds to a multiple of so many cents.
fn to_unit(amount: Decimal, cents: i64) -> Decimal {
    let unit = Decimal::new(cents, 2);
    (amount / unit).round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero) * unit
}

fn tax_totals(
    random: &mut Random,
    (currency, accounting_currency): (Currency, Option<Currency>),
    subtotals: Vec<Subtotal>,
) -> Vec<TaxTotal> {
    let amount: Decimal = subtotals.iter().map(|subtotal| subtotal.tax).sum();
    let mut totals = vec![TaxTotal {
        currency,
        amount,
        subtotals,
    }];
    if let Some(currency) = accounting_currency {
        let exchange_rate = decimal(random, (8_000, 115_000), 4);
        totals.push(TaxTotal {
            currency,
            amount: rounded(amount * exchange_rate),
            subtotals: Vec::new(),
        });
    }
    totals
}
