//! What the generator makes is what it says: valid, or wrong by just the rule it names.

use std::collections::BTreeSet;

use invoices::check::check;
use invoices::document::DocumentKind;
use invoices::generate::{
    Expected, Generated, Generator, LINES_MAX, MARKETS_MAX, Options, OptionsError,
};
use invoices::{rules, ubl};
use proptest::prelude::{ProptestConfig, any};
use proptest::{prop_assert_eq, proptest};

fn generator(wrong_percent: u64) -> Generator {
    let options = Options {
        seed: 42,
        markets: MARKETS_MAX,
        lines_max: LINES_MAX,
        wrong_percent,
    };
    Generator::new(options).expect("within bounds")
}

/// Checks the document and compares with what the generator says of it.
fn verify(generated: &Generated) {
    match (generated.expected, check(&generated.xml)) {
        (Expected::Payable(payable), Ok(verdict)) => {
            assert_eq!(verdict.document, generated.id);
            assert_eq!(verdict.market, generated.market, "{}", generated.id);
            assert_eq!(verdict.payable, payable, "{}", generated.id);
            assert_eq!(verdict.notices, [""; 0], "{}", generated.id);
        }
        (Expected::Broken(rule), Err(error)) => {
            assert_eq!(error.code(), rule, "{}: {error}", generated.id)
        }
        (expected, found) => panic!("{}: expected {expected:?}, found {found:?}", generated.id),
    }
}

#[test]
fn all_are_valid_where_none_is_to_be_wrong() {
    for number in 0..600 {
        let generated = generator(0).document(number);
        assert!(matches!(generated.expected, Expected::Payable(_)));
        verify(&generated);
    }
}

#[test]
fn each_wrong_one_breaks_the_rule_it_is_made_to_break() {
    let mut rules = BTreeSet::new();
    for number in 0..600 {
        let generated = generator(100).document(number);
        verify(&generated);
        let Expected::Broken(rule) = generated.expected else {
            panic!("{} is not wrong", generated.id)
        };
        rules.insert(rule);
    }
    for rule in [
        "BR-CO-10", "BR-CO-11", "BR-CO-12", "BR-CO-13", "BR-CO-14", "BR-CO-15", "BR-CO-16",
        "BR-S-08",
    ] {
        assert!(rules.contains(rule), "{rule} is never broken");
    }
}

#[test]
fn the_share_of_wrong_ones_is_as_asked_for() {
    let of_1000 = |percent| {
        let generator = generator(percent);
        (0..1_000)
            .filter(|number| matches!(generator.document(*number).expected, Expected::Broken(_)))
            .count()
    };
    assert_eq!((of_1000(0), of_1000(100)), (0, 1_000));
    assert!((60..140).contains(&of_1000(10)), "{}", of_1000(10));
}

#[test]
fn the_mix_is_wide() {
    let (mut markets, mut rules, mut ids) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut shortest, mut longest, mut credit_notes, mut accounted_elsewhere) =
        (usize::MAX, 0, 0, 0);
    for number in 0..600 {
        let generated = generator(0).document(number);
        let document = ubl::read(&generated.xml).expect("a valid document");
        markets.insert(generated.market);
        ids.insert(generated.id);
        rules.extend(rules::judge(&document).checked().iter().copied());
        (shortest, longest) = (
            shortest.min(document.lines.len()),
            longest.max(document.lines.len()),
        );
        credit_notes += usize::from(document.kind == DocumentKind::CreditNote);
        accounted_elsewhere += usize::from(document.accounting_currency.is_some());
    }
    assert_eq!((markets.len(), ids.len()), (MARKETS_MAX, 600));
    assert!(
        shortest == 1 && longest > 100,
        "{shortest} to {longest} lines"
    );
    assert!(
        credit_notes > 30 && accounted_elsewhere > 20,
        "{credit_notes}, {accounted_elsewhere}"
    );
    // Allowances, charges, prepayments, roundings, and every category of the EU's VAT.
    for rule in [
        "BR-DEC-01",
        "BR-DEC-05",
        "BR-DEC-16",
        "BR-DEC-17",
        "BR-DEC-24",
        "BR-DEC-27",
        "BR-53",
        "BR-S-08",
        "BR-Z-08",
        "BR-E-08",
        "BR-AE-08",
        "BR-IC-08",
        "BR-G-08",
        "BR-O-08",
    ] {
        assert!(rules.contains(rule), "{rule} never applies");
    }
}

#[test]
fn markets_and_lines_stay_within_what_is_asked_for() {
    let options = Options {
        markets: 3,
        lines_max: 4,
        ..Options::default()
    };
    let generator = Generator::new(options).expect("within bounds");
    let mut markets = BTreeSet::new();
    for number in 0..200 {
        let generated = generator.document(number);
        markets.insert(generated.market);
        let document = ubl::read(&generated.xml).expect("it can be read even if it is wrong");
        assert!(document.lines.len() <= 4);
    }
    assert_eq!(markets.len(), 3);
}

#[test]
fn options_out_of_bounds_are_refused() {
    let default = Options::default();
    for (options, error) in [
        (
            Options {
                markets: 0,
                ..default
            },
            OptionsError::Markets(0),
        ),
        (
            Options {
                markets: 17,
                ..default
            },
            OptionsError::Markets(17),
        ),
        (
            Options {
                lines_max: 0,
                ..default
            },
            OptionsError::Lines(0),
        ),
        (
            Options {
                lines_max: 201,
                ..default
            },
            OptionsError::Lines(201),
        ),
        (
            Options {
                wrong_percent: 101,
                ..default
            },
            OptionsError::WrongPercent(101),
        ),
    ] {
        assert_eq!(Generator::new(options).err(), Some(error));
    }
    let text = OptionsError::Markets(17).to_string();
    assert_eq!(text, "17 markets asked for, expected 1 to 16");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_number_always_gives_the_same_document(seed in any::<u64>(), number in any::<u64>()) {
        let generator = Generator::new(Options { seed, wrong_percent: 30, ..Options::default() }).expect("within bounds");
        let generated = generator.document(number);
        prop_assert_eq!(&generator.document(number), &generated);
        verify(&generated);
    }
}
