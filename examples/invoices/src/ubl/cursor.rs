//! Walks an XML document element by element, with every limit that hostile input needs.
//!
//! No entity is ever expanded but the five of XML and character references, a document type is
//! refused, and what is kept of a document at any time is the names of the open elements. It knows
//! the namespaces of UBL and nothing of invoices.

use std::borrow::Cow;

use quick_xml::NsReader;
use quick_xml::errors::Error as XmlError;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, NamespaceError, ResolveResult};

use super::error::{Limit, Place, ReadError};

/// Elements inside each other, far above what UBL nests (ten) and what its signatures nest.
pub(super) const DEPTH_MAX: usize = 64;

/// Attributes of one element, namespace declarations included.
pub(super) const ATTRIBUTES_MAX: usize = 64;

/// Namespaces declared at any one place of the document.
pub(super) const NAMESPACES_MAX: usize = 128;

/// Bytes of one value that is read (not of text that is skipped, such as attachments).
pub(super) const VALUE_BYTES_MAX: usize = 256;

/// Characters of any one text of a document that a message repeats.
const SHOWN_CHARS_MAX: usize = 120;

const BYTE_ORDER_MARK: &str = "\u{feff}";
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

const INVOICE: &str = "urn:oasis:names:specification:ubl:schema:xsd:Invoice-2";
const CREDIT_NOTE: &str = "urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2";
const CAC: &str = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2";
const CBC: &str = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2";

/// The name of an element, by its namespace and not by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name<'x> {
    Invoice(&'x str),
    CreditNote(&'x str),
    /// Aggregates: elements that hold elements.
    Cac(&'x str),
    /// Basics: elements that hold a value.
    Cbc(&'x str),
    Foreign,
}

pub(super) struct Cursor<'x> {
    text: &'x str,
    reader: NsReader<&'x [u8]>,
    open: Vec<Open<'x>>,
    /// The innermost of `open` has ended; it stays in the path until the next event is read, so
    /// that what is said about its value names it.
    ended: bool,
    currency_id: Option<String>,
}

struct Open<'x> {
    name: &'x str,
    at: usize,
}

/// What an event means to the cursor. Comments and processing instructions mean nothing.
enum Step<'x> {
    Start(Name<'x>),
    End,
    Text(Cow<'x, str>),
    Document,
}

impl<'x> Cursor<'x> {
    pub(super) fn new(bytes: &'x [u8]) -> Result<Self, ReadError> {
        let text = str::from_utf8(bytes).map_err(|error| ReadError::NotUtf8 {
            byte: error.valid_up_to(),
        })?;
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        reader
            .resolver_mut()
            .set_max_namespace_bindings(NAMESPACES_MAX);
        Ok(Self {
            text,
            reader,
            open: Vec::with_capacity(16),
            ended: false,
            currency_id: None,
        })
    }

    /// Enters the root element.
    pub(super) fn root(&mut self) -> Result<Name<'x>, ReadError> {
        loop {
            match self.step()? {
                Step::Start(name) => return Ok(name),
                Step::Text(text) if text.trim_matches(SPACE).is_empty() => {}
                Step::Text(_) => return Err(self.refused("text before the root element")),
                Step::End | Step::Document => {
                    return Err(self.not_xml("there is no root element"));
                }
            }
        }
    }

    /// Enters the next child of the open element; `None` when that ends.
    pub(super) fn child(&mut self) -> Result<Option<Name<'x>>, ReadError> {
        loop {
            match self.step()? {
                Step::Start(name) => return Ok(Some(name)),
                Step::End => return Ok(None),
                Step::Text(text) if text.trim_matches(SPACE).is_empty() => {}
                Step::Text(_) => return Err(self.refused("text between elements")),
                Step::Document => return Err(self.cut_off()),
            }
        }
    }

    /// Reads the open element's text to its end, without the spaces around it.
    pub(super) fn value(&mut self) -> Result<String, ReadError> {
        let mut value = String::new();
        loop {
            match self.step()? {
                Step::Text(text) if value.len() + text.len() > VALUE_BYTES_MAX => {
                    return Err(self.over(Limit::Value));
                }
                Step::Text(text) => value.push_str(&text),
                Step::End => return Ok(value.trim_matches(SPACE).to_owned()),
                Step::Start(_) => return Err(self.refused("an element inside a value")),
                Step::Document => return Err(self.cut_off()),
            }
        }
    }

    /// Leaves the open element with all that is in it.
    pub(super) fn skip(&mut self) -> Result<(), ReadError> {
        let mut inside = 1_usize;
        while inside > 0 {
            match self.step()? {
                Step::Start(_) => inside += 1,
                Step::End => inside -= 1,
                Step::Text(_) => {}
                Step::Document => return Err(self.cut_off()),
            }
        }
        Ok(())
    }

    /// Makes sure that nothing follows the root element.
    pub(super) fn finish(&mut self) -> Result<(), ReadError> {
        loop {
            match self.step()? {
                Step::Document => return Ok(()),
                Step::Text(text) if text.trim_matches(SPACE).is_empty() => {}
                Step::Text(_) | Step::Start(_) | Step::End => {
                    return Err(self.refused("anything after the root element"));
                }
            }
        }
    }

    /// The `currencyID` of the element last entered.
    pub(super) fn currency_id(&self) -> Option<&str> {
        self.currency_id.as_deref()
    }

    /// The root element as it is written, for a message.
    pub(super) fn root_tag(&self) -> String {
        shown(self.open.first().map_or("nothing", |root| root.name))
    }

    /// Where the element last entered or ended begins.
    pub(super) fn place(&self) -> Place {
        let at = self
            .open
            .last()
            .map_or_else(|| self.position(), |open| open.at);
        let path = self
            .open
            .iter()
            .map(|open| format!("/{}", shown(open.name)))
            .collect();
        Place {
            line: self.line_at(at),
            path,
        }
    }

    /// The line of the element last entered or ended. Counts from the start: not for every element.
    pub(super) fn line(&self) -> u64 {
        self.line_at(self.open.last().map_or(0, |open| open.at))
    }

    fn step(&mut self) -> Result<Step<'x>, ReadError> {
        if self.ended {
            self.open.pop();
            self.ended = false;
        }
        loop {
            let at = self.position();
            let (resolved, event) = match self.reader.read_resolved_event() {
                Ok(read) => read,
                Err(XmlError::Namespace(NamespaceError::TooManyBindings(_))) => {
                    return Err(self.over(Limit::Namespaces));
                }
                Err(error) => return Err(self.not_xml(&error.to_string())),
            };
            match event {
                Event::Start(start) => {
                    let space = Space::of(&resolved);
                    return self.enter(&start, space, at);
                }
                Event::End(_) => {
                    self.ended = true;
                    return Ok(Step::End);
                }
                Event::Text(text) => return Ok(Step::Text(text.xml10_content())),
                Event::CData(text) => return Ok(Step::Text(text.xml10_content())),
                Event::GeneralRef(reference) => return self.resolve(&reference).map(Step::Text),
                Event::Decl(declaration) => {
                    if let Some(Ok(encoding)) = declaration.encoding()
                        && !["utf-8", "us-ascii"].contains(&encoding.to_ascii_lowercase().as_str())
                    {
                        return Err(self.refused("an encoding other than UTF-8"));
                    }
                }
                Event::DocType(_) => return Err(self.refused("a document type")),
                Event::Empty(_) => return Err(self.refused("an unexpanded empty element")),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => return Ok(Step::Document),
            }
        }
    }

    fn enter(
        &mut self,
        start: &BytesStart<'x>,
        space: Space,
        at: usize,
    ) -> Result<Step<'x>, ReadError> {
        let name_at = at + 1;
        let name = self
            .text
            .get(name_at..name_at + start.name().as_ref().len())
            .unwrap_or_default();
        self.open.push(Open { name, at });
        if self.open.len() > DEPTH_MAX {
            return Err(self.over(Limit::Depth));
        }
        self.currency_id = None;
        for (count, attribute) in start.attributes().enumerate() {
            if count == ATTRIBUTES_MAX {
                return Err(self.over(Limit::Attributes));
            }
            let attribute = match attribute {
                Ok(attribute) => attribute,
                Err(error) => return Err(self.not_xml(&error.to_string())),
            };
            if attribute.key.as_ref() == "currencyID" {
                self.currency_id = Some(attribute.value.trim_matches(SPACE).to_owned());
            }
        }
        let local = name.split_once(':').map_or(name, |(_, local)| local);
        Ok(Step::Start(space.name(local)))
    }

    fn resolve(&self, reference: &BytesRef<'_>) -> Result<Cow<'x, str>, ReadError> {
        if let Some(text) = resolve_xml_entity(reference) {
            return Ok(Cow::Borrowed(text));
        }
        match reference.resolve_char_ref() {
            Ok(Some(character)) => Ok(Cow::Owned(character.to_string())),
            Ok(None) => Err(self.refused("an entity")),
            Err(error) => Err(self.not_xml(&error.to_string())),
        }
    }

    fn refused(&self, what: &'static str) -> ReadError {
        ReadError::Refused {
            place: self.place(),
            what,
        }
    }

    pub(super) fn over(&self, what: Limit) -> ReadError {
        ReadError::OverLimit {
            place: self.place(),
            what,
        }
    }

    fn cut_off(&self) -> ReadError {
        self.not_xml("the document ends inside an element")
    }

    /// The place is where the reader stands, not where the open element began.
    fn not_xml(&self, reason: &str) -> ReadError {
        let place = Place {
            line: self.line_at(self.position()),
            ..self.place()
        };
        ReadError::NotXml {
            place,
            reason: shown(reason),
        }
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position())
            .map_or(self.text.len(), |at| at.min(self.text.len()))
    }

    fn line_at(&self, at: usize) -> u64 {
        let before = self.text.as_bytes().iter().take(at);
        before.fold(1, |line, byte| line + u64::from(*byte == b'\n'))
    }
}

/// A text out of a document, cut to what a message may hold of it.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[derive(Clone, Copy)]
enum Space {
    Invoice,
    CreditNote,
    Cac,
    Cbc,
    Foreign,
}

impl Space {
    fn of(resolved: &ResolveResult<'_>) -> Self {
        match resolved {
            ResolveResult::Bound(Namespace(CBC)) => Self::Cbc,
            ResolveResult::Bound(Namespace(CAC)) => Self::Cac,
            ResolveResult::Bound(Namespace(INVOICE)) => Self::Invoice,
            ResolveResult::Bound(Namespace(CREDIT_NOTE)) => Self::CreditNote,
            _ => Self::Foreign,
        }
    }

    fn name(self, local: &str) -> Name<'_> {
        match self {
            Self::Invoice => Name::Invoice(local),
            Self::CreditNote => Name::CreditNote(local),
            Self::Cac => Name::Cac(local),
            Self::Cbc => Name::Cbc(local),
            Self::Foreign => Name::Foreign,
        }
    }
}
