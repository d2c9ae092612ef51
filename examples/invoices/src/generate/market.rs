//! The markets that sellers can be in: members of the EU, with their currency and VAT rates.
//!
//! The rates are real ones of 2026 or shortly before; nothing depends on their being up to date.

pub(super) struct Market {
    pub(super) country: &'static str,
    pub(super) currency: &'static str,
    pub(super) city: &'static str,
    /// In tenths of a percent. The first is the standard rate.
    pub(super) rates: &'static [i64],
}

/// The order matters: who asks for eight markets gets the first eight.
pub(super) const MARKETS: [Market; 16] = [
    market(["DE", "EUR", "Hamburg"], &[190, 70]),
    market(["FR", "EUR", "Lyon"], &[200, 100, 55, 21]),
    market(["NL", "EUR", "Utrecht"], &[210, 90]),
    market(["AT", "EUR", "Graz"], &[200, 130, 100]),
    market(["IT", "EUR", "Torino"], &[220, 100, 50, 40]),
    market(["ES", "EUR", "Sevilla"], &[210, 100, 40]),
    market(["BE", "EUR", "Gent"], &[210, 120, 60]),
    market(["PL", "PLN", "Łódź"], &[230, 80, 50]),
    market(["SE", "SEK", "Malmö"], &[250, 120, 60]),
    market(["DK", "DKK", "Århus"], &[250]),
    market(["CZ", "CZK", "Brno"], &[210, 120]),
    market(["PT", "EUR", "Porto"], &[230, 130, 60]),
    market(["FI", "EUR", "Tampere"], &[255, 140, 100]),
    market(["IE", "EUR", "Cork"], &[230, 135, 90]),
    market(["HU", "HUF", "Pécs"], &[270, 180, 50]),
    market(["GR", "EUR", "Πάτρα"], &[240, 130, 60]),
];

const fn market([country, currency, city]: [&'static str; 3], rates: &'static [i64]) -> Market {
    Market {
        country,
        currency,
        city,
        rates,
    }
}

/// Countries outside the EU that goods are exported to.
pub(super) const ABROAD: [(&str, &str); 4] = [
    ("CH", "Zürich"),
    ("GB", "Leeds"),
    ("US", "Portland"),
    ("JP", "Osaka"),
];

/// Currencies that some documents are in though their seller accounts for VAT in another.
pub(super) const FOREIGN_CURRENCIES: [&str; 3] = ["USD", "GBP", "CHF"];
