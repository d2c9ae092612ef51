//! Makes valid UBL invoices and credit notes out of a seed, some of them wrong on purpose.
//!
//! The same options and number give the same bytes, on any machine and in any order. The documents
//! follow the standard as a whole and not only in their sums; people and goods in them are invented.

mod draft;
mod market;
mod mistake;
mod parties;
mod random;
mod writer;

use rust_decimal::Decimal;
use thiserror::Error;

use crate::document::Country;
use draft::Draft;
use market::MARKETS;
use random::Random;

/// Markets that there are to choose from.
pub const MARKETS_MAX: usize = MARKETS.len();

/// Lines of the longest document that is made.
pub const LINES_MAX: usize = 200;

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Another seed, other documents.
    pub seed: u64,
    /// In how many markets the sellers are, 1 to [`MARKETS_MAX`].
    pub markets: usize,
    /// How many lines a document has at most, 1 to [`LINES_MAX`]. Most have few.
    pub lines_max: usize,
    /// How many of a hundred documents have one amount off, 0 to 100.
    pub wrong_percent: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            markets: 8,
            lines_max: LINES_MAX,
            wrong_percent: 2,
        }
    }
}

/// Options that cannot be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OptionsError {
    #[error("{0} markets asked for, expected 1 to {MARKETS_MAX}")]
    Markets(usize),
    #[error("{0} lines at most asked for, expected 1 to {LINES_MAX}")]
    Lines(usize),
    #[error("{0} % wrong documents asked for, expected 0 to 100")]
    WrongPercent(u64),
}

/// A document, and what must come of checking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The document's number, unique among all that these options make.
    pub id: String,
    /// The seller's country.
    pub market: Country,
    pub xml: Vec<u8>,
    pub expected: Expected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The document is valid, and this amount is due.
    Payable(Decimal),
    /// One amount is off, and this rule is the first that it breaks.
    Broken(&'static str),
}

/// Makes documents by their number.
#[derive(Debug, Clone, Copy)]
pub struct Generator {
    options: Options,
}

impl Generator {
    /// # Errors
    /// When an option is outside its bounds.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        let Options {
            seed: _,
            markets,
            lines_max,
            wrong_percent,
        } = options;
        match options {
            _ if !(1..=MARKETS_MAX).contains(&markets) => Err(OptionsError::Markets(markets)),
            _ if !(1..=LINES_MAX).contains(&lines_max) => Err(OptionsError::Lines(lines_max)),
            _ if wrong_percent > 100 => Err(OptionsError::WrongPercent(wrong_percent)),
            _ => Ok(Self { options }),
        }
    }

    /// Makes the document of this number.
    pub fn document(&self, number: u64) -> Generated {
        let mut random = Random::new(self.options.seed, number);
        let market = &MARKETS[random.index(self.options.markets)];
        let mut draft = Draft::new(&mut random, market, self.options.lines_max, number);
        let expected = if random.chance(self.options.wrong_percent) {
            Expected::Broken(mistake::make(&mut draft.document, &mut random))
        } else {
            Expected::Payable(draft.document.totals.payable)
        };
        let (id, market) = (draft.document.id.clone(), draft.document.market);
        Generated {
            id,
            market,
            xml: writer::write(&draft),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::draft::Draft;
    use super::market::MARKETS;
    use super::random::Random;
    use super::{LINES_MAX, writer};
    use crate::ubl;

    #[test]
    fn what_is_written_is_read_back() {
        for number in 0..200 {
            let mut random = Random::new(7, number);
            let market = random.pick(&MARKETS);
            let draft = Draft::new(&mut random, market, LINES_MAX, number);
            let mut read = ubl::read(&writer::write(&draft)).unwrap();
            // Which line of the text an amount stands in is the reader's to know.
            let currencies: Vec<_> = std::mem::take(&mut read.amount_currencies)
                .into_keys()
                .collect();
            assert_eq!(currencies, [read.currency]);
            assert_eq!(read, draft.document);
        }
    }
}
