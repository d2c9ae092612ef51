//! Who sells and who buys, and how VAT treats the trade between them.

use super::market::{ABROAD, MARKETS, Market};
use super::random::Random;
use crate::document::Country;

/// How VAT treats what is sold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trade {
    /// At home, at the country's rates, some of it exempt or zero rated.
    Domestic,
    /// The buyer owes the VAT for some or all of it.
    ReverseCharge,
    /// To a business in another member of the EU.
    IntraCommunity,
    /// To a country outside the EU.
    Export,
    /// By a seller whom VAT does not concern.
    NotSubject,
}

pub(super) struct Party {
    pub(super) name: String,
    pub(super) city: &'static str,
    pub(super) country: Country,
    pub(super) registration: String,
    /// Absent where VAT does not concern the trade, as the standard wants it.
    pub(super) vat_id: Option<String>,
}

const NAMES: [&str; 16] = [
    "Alder", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Juniper", "Larch", "Linden", "Maple", "Oak",
    "Pine", "Rowan", "Spruce", "Willow", "Yew",
];

const TRADES: [&str; 12] = [
    "Bakery",
    "Bicycles",
    "Books & Maps",
    "Carpentry",
    "Cleaning",
    "Data Services",
    "Electrics",
    "Freight",
    "Laboratories",
    "Office Supplies",
    "Printing",
    "Tools",
];

impl Trade {
    pub(super) fn choose(random: &mut Random) -> Self {
        match random.between(1, 100) {
            1..=78 => Self::Domestic,
            79..=85 => Self::ReverseCharge,
            86..=92 => Self::IntraCommunity,
            93..=97 => Self::Export,
            _ => Self::NotSubject,
        }
    }
}

pub(super) fn seller(random: &mut Random, market: &Market, trade: Trade) -> Party {
    party(random, (market.country, market.city), trade)
}

pub(super) fn buyer(random: &mut Random, market: &Market, trade: Trade) -> Party {
    let place = match trade {
        Trade::Domestic | Trade::ReverseCharge | Trade::NotSubject => (market.country, market.city),
        Trade::IntraCommunity => {
            let others: Vec<&Market> = MARKETS
                .iter()
                .filter(|other| other.country != market.country)
                .collect();
            let other = random.pick(&others);
            (other.country, other.city)
        }
        Trade::Export => *random.pick(&ABROAD),
    };
    party(random, place, trade)
}

fn party(random: &mut Random, (country, city): (&str, &'static str), trade: Trade) -> Party {
    let (name, business) = (random.pick(&NAMES), random.pick(&TRADES));
    let registration = random.between(10_000_000, 99_999_999);
    // Greece is EL in VAT identifiers and GR everywhere else.
    let prefix = if country == "GR" { "EL" } else { country };
    Party {
        name: format!("{name} {business}"),
        city,
        country: Country::new(country).expect("the tables hold country codes"),
        registration: registration.to_string(),
        vat_id: (trade != Trade::NotSubject).then(|| format!("{prefix}{registration}")),
    }
}
