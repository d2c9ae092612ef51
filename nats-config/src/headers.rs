//! Looking at the headers of a message without making anything. It never judges a value.

use async_nats::HeaderMap;

/// The first value of the header `name`, spelled exactly so.
///
/// The map's own look-up builds a name on the heap for each question; a message has few headers and
/// is asked for many.
#[must_use]
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(known, _)| <_ as AsRef<str>>::as_ref(*known) == name)
        .and_then(|(_, values)| values.first())
        .map(|value| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::header;
    use async_nats::HeaderMap;

    #[test]
    fn the_first_value_of_exactly_that_name_is_found() {
        let mut headers = HeaderMap::new();
        headers.append("Jobs-Key", "DE");
        headers.append("Jobs-Key", "FR");
        headers.append("Nats-Msg-Id", "7");
        assert_eq!(header(&headers, "Jobs-Key"), Some("DE"));
        assert_eq!(header(&headers, "Nats-Msg-Id"), Some("7"));
        assert_eq!(header(&headers, "jobs-key"), None);
        assert_eq!(header(&headers, "Jobs-Kind"), None);
    }
}
