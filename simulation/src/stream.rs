//! A stream as a single server keeps it: sequences, what becomes of a second message on a subject,
//! room, expectations, and batches that are stored whole or not at all.
//!
//! It knows nothing of jobs. `tests/tests/conformance` asks it and a real nats-server the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::answer::Answer;
use protocol::number::Sequence;

/// What the server adds to the bytes of subject, headers and payload of each message that it stores.
const OVERHEAD: u64 = 30;

/// What becomes of a second message on a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// It is refused, as in ledger and work queue.
    Refused,
    /// It takes the place of the first, as in a bucket.
    Replaces,
}

/// How a stream is configured.
#[derive(Debug, Clone, Copy)]
pub struct StreamRules {
    /// What becomes of a second message on a subject.
    pub second: Second,
    /// Room in bytes, as the server counts them.
    pub bytes_max: Option<u64>,
}

/// A message on its way to a stream.
#[derive(Debug, Clone)]
pub struct Publish<T> {
    /// Where to.
    pub subject: String,
    /// The sequence that must be the stream's last.
    pub expected_last: Option<u64>,
    /// The sequence that must be the last on the subject; 0: there must be none.
    pub expected_on_subject: Option<u64>,
    /// The length of payload and headers.
    pub bytes: u64,
    /// What it is.
    pub content: T,
}

impl<T> Publish<T> {
    /// A message that expects nothing.
    pub const fn new(subject: String, content: T) -> Self {
        Self {
            subject,
            expected_last: None,
            expected_on_subject: None,
            bytes: 0,
            content,
        }
    }

    /// The same, which expects `last` to be the stream's last sequence.
    #[must_use]
    pub fn expecting(self, last: u64) -> Self {
        let expected_last = Some(last);
        Self {
            expected_last,
            ..self
        }
    }
}

/// Why nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A message stands on the subject.
    Occupied,
    /// There is no room.
    Full,
    /// Another sequence is the last.
    WrongLast,
    /// A message of the batch never came.
    Incomplete,
}

impl Refused {
    /// The server's number for it.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Occupied | Self::Full => 10_077,
            Self::WrongLast => 10_071,
            Self::Incomplete => 10_176,
        }
    }

    /// The server's words, as far as somebody reads them.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Occupied => "maximum messages per subject exceeded",
            Self::Full => "maximum bytes exceeded",
            Self::WrongLast => "wrong last sequence",
            Self::Incomplete => "batch publish is incomplete and was abandoned",
        }
    }
}

/// What the rules are told of a write.
pub(crate) fn answer(stored: Result<u64, Refused>) -> Answer {
    match stored {
        Ok(sequence) => Answer::Stored(Sequence::new(sequence)),
        Err(refused) => Answer::from_code(refused.code(), 400, refused.text()),
    }
}

#[derive(Debug, Clone)]
struct Kept<T> {
    subject: Arc<str>,
    bytes: u64,
    content: T,
}

/// A stream.
#[derive(Debug, Clone)]
pub struct Stream<T> {
    rules: StreamRules,
    last: u64,
    bytes: u64,
    messages: BTreeMap<u64, Kept<T>>,
    on_subject: BTreeMap<Arc<str>, u64>,
}

impl<T> Stream<T> {
    /// An empty one.
    #[must_use]
    pub const fn new(rules: StreamRules) -> Self {
        Self {
            rules,
            last: 0,
            bytes: 0,
            messages: BTreeMap::new(),
            on_subject: BTreeMap::new(),
        }
    }

    /// Stores one message.
    ///
    /// # Errors
    /// Why it is refused; it takes no sequence then.
    pub fn publish(&mut self, message: Publish<T>) -> Result<u64, Refused> {
        self.expects(&message)?;
        self.is_free(&message)?;
        self.has_room(size(&message))?;
        Ok(self.store(message))
    }

    /// Stores all messages, one after the other, or none. Returns the sequence of the last.
    ///
    /// # Errors
    /// Why the batch is refused. What the first message expects is looked at first.
    pub fn publish_batch(&mut self, messages: Vec<Publish<T>>) -> Result<u64, Refused> {
        let mut room = 0;
        let mut subjects = BTreeSet::new();
        for message in &messages {
            self.expects(message)?;
            // The other way round than for a message alone: room first.
            room += size(message);
            self.has_room(room)?;
            self.is_free(message)?;
            if !subjects.insert(message.subject.as_str()) {
                return Err(Refused::Occupied);
            }
        }
        for message in messages {
            self.store(message);
        }
        Ok(self.last)
    }

    fn expects(&self, message: &Publish<T>) -> Result<(), Refused> {
        let on_subject = self.newest(&message.subject).unwrap_or_default();
        let is_other = |expected: Option<u64>, found: u64| expected.is_some_and(|e| e != found);
        let is_wrong = is_other(message.expected_last, self.last)
            || is_other(message.expected_on_subject, on_subject);
        match is_wrong {
            true => Err(Refused::WrongLast),
            false => Ok(()),
        }
    }

    fn is_free(&self, message: &Publish<T>) -> Result<(), Refused> {
        let is_second = self.newest(&message.subject).is_some();
        match self.rules.second == Second::Refused && is_second {
            true => Err(Refused::Occupied),
            false => Ok(()),
        }
    }

    fn has_room(&self, bytes: u64) -> Result<(), Refused> {
        let is_full = |most| self.bytes + bytes > most;
        match self.rules.bytes_max.is_some_and(is_full) {
            true => Err(Refused::Full),
            false => Ok(()),
        }
    }

    fn store(&mut self, message: Publish<T>) -> u64 {
        let bytes = size(&message);
        let subject: Arc<str> = message.subject.into();
        self.last += 1;
        self.bytes += bytes;
        if let Some(before) = self.on_subject.insert(Arc::clone(&subject), self.last) {
            let before = self.messages.remove(&before);
            self.bytes -= before.map_or(0, |kept| kept.bytes);
        }
        let content = message.content;
        let kept = Kept {
            subject,
            bytes,
            content,
        };
        self.messages.insert(self.last, kept);
        self.last
    }

    /// The last sequence, of whatever there was.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// How many bytes it holds, as the server counts them.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is stored at a sequence.
    #[must_use]
    pub fn get(&self, sequence: u64) -> Option<&T> {
        self.messages.get(&sequence).map(|kept| &kept.content)
    }

    /// The same, to change what the model notes there.
    pub fn get_mut(&mut self, sequence: u64) -> Option<&mut T> {
        self.messages
            .get_mut(&sequence)
            .map(|kept| &mut kept.content)
    }

    /// The sequence that stands on a subject.
    #[must_use]
    pub fn newest(&self, subject: &str) -> Option<u64> {
        self.on_subject.get(subject).copied()
    }

    /// All subjects with what stands there, in their order.
    pub fn subjects(&self) -> impl Iterator<Item = (&str, u64)> {
        self.on_subject
            .iter()
            .map(|(subject, at)| (&**subject, *at))
    }

    /// All messages from a sequence on.
    pub fn from(&self, sequence: u64) -> impl Iterator<Item = (u64, &str, &T)> {
        let kept = self.messages.range(sequence..);
        kept.map(|(at, kept)| (*at, &*kept.subject, &kept.content))
    }

    /// All messages, to change what the model notes there.
    pub fn contents_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.messages.values_mut().map(|kept| &mut kept.content)
    }

    /// Takes a message out, by its sequence. Its subject is free again.
    pub fn delete(&mut self, sequence: u64) -> Option<T> {
        let kept = self.messages.remove(&sequence)?;
        self.bytes -= kept.bytes;
        if self.on_subject.get(&kept.subject) == Some(&sequence) {
            self.on_subject.remove(&kept.subject);
        }
        Some(kept.content)
    }

    /// Takes out what stands on a subject. Returns how many there were.
    pub fn purge(&mut self, subject: &str) -> u64 {
        let found = self.newest(subject).and_then(|at| self.delete(at));
        u64::from(found.is_some())
    }

    /// A server that was killed has a message again that it had taken out.
    pub fn bring_back(&mut self, sequence: u64, subject: &str, content: T) {
        let subject: Arc<str> = subject.into();
        if !self.on_subject.contains_key(&subject) {
            self.on_subject.insert(Arc::clone(&subject), sequence);
            let kept = Kept {
                subject,
                bytes: 0,
                content,
            };
            self.messages.insert(sequence, kept);
        }
    }

    /// The store goes back to when `last` was its last sequence, if nothing was taken out since.
    pub fn roll_back(&mut self, last: u64) {
        let lost: Vec<u64> = self.messages.range(last + 1..).map(|(at, _)| *at).collect();
        for at in lost {
            self.delete(at);
        }
        self.last = last;
    }
}

fn size<T>(message: &Publish<T>) -> u64 {
    let subject = u64::try_from(message.subject.len()).unwrap_or(u64::MAX);
    OVERHEAD + subject + message.bytes
}
