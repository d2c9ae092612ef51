//! An invoice or credit note as far as its sums go: what the reader makes and the rules judge.
//!
//! Plain data. It holds what the document states and never what it should have stated.

use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// One invoice or credit note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub kind: DocumentKind,
    /// The document's number (BT-1), unique for its seller only.
    pub id: String,
    /// The issue date (BT-2) as written, in the form of an `xs:date`.
    pub issued: String,
    /// The currency (BT-5) of every amount but the VAT in [`Self::accounting_currency`].
    pub currency: Currency,
    /// The currency (BT-6) in which the seller accounts for VAT, if it is stated.
    pub accounting_currency: Option<Currency>,
    /// The seller's country (BT-40): the market that the document belongs to.
    pub market: Country,
    pub lines: Vec<Line>,
    /// Allowances (BG-20) and charges (BG-21) on the whole document, in their order.
    pub adjustments: Vec<Adjustment>,
    pub tax_totals: Vec<TaxTotal>,
    pub totals: Totals,
    /// The currencies that amounts other than VAT totals are stated in, with the line of the first.
    pub amount_currencies: BTreeMap<Currency, u64>,
}

impl Document {
    /// The VAT totals in the currency of the document. Exactly one is right.
    pub fn document_tax_totals(&self) -> impl Iterator<Item = &TaxTotal> {
        self.tax_totals
            .iter()
            .filter(|total| total.currency == self.currency)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    Invoice,
    CreditNote,
}

/// A line (BG-25).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line's identifier (BT-126).
    pub id: String,
    pub quantity: Decimal,
    /// The net amount (BT-131), stated.
    pub net: Decimal,
    pub price: Price,
    pub vat: Vat,
    /// Allowances (BG-27) and charges (BG-28) on this line, already part of its net amount.
    pub adjustments: Vec<Adjustment>,
}

/// The price of one line's item (BG-29).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The net price (BT-146).
    pub net: Decimal,
    /// The quantity that the price is for (BT-149); one if it is not stated.
    pub base_quantity: Option<Decimal>,
    /// The discount on the gross price (BT-147).
    pub discount: Option<Decimal>,
    /// The gross price (BT-148).
    pub gross: Option<Decimal>,
}

/// An allowance or a charge, on a line or on the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    pub sign: Sign,
    pub amount: Decimal,
    pub base: Option<Decimal>,
    pub percent: Option<Decimal>,
    /// On the whole document always there, on a line never.
    pub vat: Option<Vat>,
}

impl Adjustment {
    /// What it adds to the sum it belongs to: an allowance takes away.
    pub fn signed(&self) -> Decimal {
        match self.sign {
            Sign::Allowance => -self.amount,
            Sign::Charge => self.amount,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Allowance,
    Charge,
}

/// A VAT category with its rate, on a line, an allowance, a charge or in the breakdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vat {
    pub category: Category,
    /// In percent; absent where VAT does not apply.
    pub rate: Option<Decimal>,
}

/// The VAT category codes that EN 16931 knows (a part of UNCL 5305).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// `S`: standard rated, which covers the reduced rates too.
    Standard,
    /// `Z`: zero rated.
    Zero,
    /// `E`: exempt.
    Exempt,
    /// `AE`: reverse charge.
    ReverseCharge,
    /// `K`: intra-community supply.
    IntraCommunity,
    /// `G`: export outside the EU.
    Export,
    /// `O`: not subject to VAT.
    NotSubject,
    /// `L`: Canary Islands (IGIC).
    CanaryIslands,
    /// `M`: Ceuta and Melilla (IPSI).
    CeutaMelilla,
    /// `B`: split payment, in Italy.
    SplitPayment,
}

impl Category {
    pub const ALL: [Self; 10] = [
        Self::Standard,
        Self::Zero,
        Self::Exempt,
        Self::ReverseCharge,
        Self::IntraCommunity,
        Self::Export,
        Self::NotSubject,
        Self::CanaryIslands,
        Self::CeutaMelilla,
        Self::SplitPayment,
    ];

    /// The code that stands for it in a document.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Standard => "S",
            Self::Zero => "Z",
            Self::Exempt => "E",
            Self::ReverseCharge => "AE",
            Self::IntraCommunity => "K",
            Self::Export => "G",
            Self::NotSubject => "O",
            Self::CanaryIslands => "L",
            Self::CeutaMelilla => "M",
            Self::SplitPayment => "B",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|category| category.code() == code)
    }
}

/// A VAT total (BT-110, or BT-111 in the accounting currency) with its breakdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxTotal {
    pub currency: Currency,
    pub amount: Decimal,
    pub subtotals: Vec<Subtotal>,
}

/// One VAT breakdown (BG-23).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtotal {
    /// The taxable amount (BT-116).
    pub taxable: Decimal,
    /// The tax amount (BT-117).
    pub tax: Decimal,
    pub vat: Vat,
}

/// The totals of the document (BG-22), stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Sum of line net amounts (BT-106).
    pub lines: Decimal,
    /// Sum of allowances on the document (BT-107).
    pub allowances: Option<Decimal>,
    /// Sum of charges on the document (BT-108).
    pub charges: Option<Decimal>,
    /// Total without VAT (BT-109).
    pub without_vat: Decimal,
    /// Total with VAT (BT-112).
    pub with_vat: Decimal,
    /// Amount already paid (BT-113).
    pub prepaid: Option<Decimal>,
    /// Rounding of the amount due (BT-114).
    pub rounding: Option<Decimal>,
    /// Amount due for payment (BT-115).
    pub payable: Decimal,
}

/// A country by its two letters (ISO 3166-1).
pub type Country = Code<2>;

/// A currency by its three letters (ISO 4217).
pub type Currency = Code<3>;

/// A code of `N` upper-case letters, checked for its form and not against a list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Code<const N: usize>([u8; N]);

impl<const N: usize> Code<N> {
    pub fn new(text: &str) -> Option<Self> {
        let bytes: [u8; N] = text.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_uppercase)
            .then_some(Self(bytes))
    }

    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("made of ASCII letters only")
    }
}

impl<const N: usize> fmt::Display for Code<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Code<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> TryFrom<String> for Code<N> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
            .ok_or_else(|| format!("expected a code of {N} upper-case letters, found {text:?}"))
    }
}

impl<const N: usize> From<Code<N>> for String {
    fn from(code: Code<N>) -> Self {
        code.as_str().to_owned()
    }
}
