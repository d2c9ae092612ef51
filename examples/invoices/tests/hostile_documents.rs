//! Whatever the bytes, checking them ends in an answer: it never panics, hangs or overflows.

use invoices::check::check;
use invoices::generate::{Generator, Options};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::sample::{Index, select};
use proptest::{prop_assert, proptest};

fn valid(number: u64) -> Vec<u8> {
    let options = Options {
        wrong_percent: 0,
        lines_max: 6,
        ..Options::default()
    };
    Generator::new(options)
        .expect("within bounds")
        .document(number)
        .xml
}

/// Pieces that mean something to the reader, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "<",
        ">",
        "/>",
        "</",
        "<a>",
        "</a>",
        "<!--",
        "-->",
        "<?",
        "?>",
        "<![CDATA[",
        "]]>",
        "<!DOCTYPE a [",
        "]>",
        "&",
        "&amp;",
        "&#x0;",
        "&#xD800;",
        "&a;",
        ";",
        "\"",
        "'",
        "=",
        " xmlns=\"a\"",
        " xmlns:a=\"\"",
        "a:",
        ":",
        "\0",
        "é",
        "<Invoice xmlns=\"urn:oasis:names:specification:ubl:schema:xsd:Invoice-2\">",
        "</Invoice>",
        "1.5",
        "\n",
    ]);
    vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
}

/// Numbers at the edge of what is read, and beyond it.
fn numbers() -> impl Strategy<Value = &'static str> {
    select(vec![
        "999999999999.9999999999",
        "-999999999999.9999999999",
        "0.0000000001",
        "-0.0000000001",
        "0",
        "-0",
        "00.00",
        "999999999999.99",
        "1000000000000",
        "79228162514264337593543950335",
        "1e400",
        "",
        " 1 ",
        "+.5",
        "-",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(check(&bytes).is_err());
    }

    #[test]
    fn scraps_of_xml_are_refused(text in pieces()) {
        prop_assert!(check(text.as_bytes()).is_err());
    }

    #[test]
    fn a_document_cut_short_is_refused_with_a_place(number in 0_u64..200, cut in any::<Index>()) {
        let whole = valid(number);
        // What is cut off at the very end is the line feed after the root element.
        let cut = cut.index(whole.len() - 1);
        let refused = check(&whole[..cut]);
        prop_assert!(refused.is_err(), "cut at {cut} of {}", whole.len());
    }

    #[test]
    fn altered_bytes_end_in_an_answer(number in 0_u64..200, changes in vec((any::<Index>(), any::<u8>()), 1..20)) {
        let mut bytes = valid(number);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(error) = check(&bytes) {
            prop_assert!(!error.code().is_empty() && error.to_string().len() < 10_000);
        }
    }

    #[test]
    fn parts_moved_about_end_in_an_answer(number in 0_u64..200, from in any::<Index>(), len in 0_usize..2_000, to in any::<Index>()) {
        let mut bytes = valid(number);
        let from = from.index(bytes.len());
        let part: Vec<u8> = bytes.drain(from..bytes.len().min(from + len)).collect();
        let to = to.index(bytes.len() + 1);
        bytes.splice(to..to, part);
        if let Err(error) = check(&bytes) {
            prop_assert!(!error.code().is_empty());
        }
    }

    #[test]
    fn extreme_numbers_end_in_an_answer(number in 0_u64..200, changes in vec((any::<Index>(), numbers()), 1..12)) {
        let text = String::from_utf8(valid(number)).expect("the generator writes UTF-8");
        let mut parts: Vec<String> = text.split_inclusive('>').map(str::to_owned).collect();
        let is_number = |part: &String| part.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        let numbers: Vec<usize> = (0..parts.len()).filter(|at| is_number(&parts[*at])).collect();
        for (index, number) in changes {
            let part = &mut parts[numbers[index.index(numbers.len())]];
            let tag_at = part.find('<').expect("a number is followed by the end of its element");
            part.replace_range(..tag_at, number);
        }
        if let Err(error) = check(parts.concat().as_bytes()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
