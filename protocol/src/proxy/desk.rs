//! The leader's side: which question begins something, which is a repeat, and what each is told.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::answer::{Fingerprint, REFUSAL_LEN_MAX, Said, Verdict};
use crate::id::CallId;
use crate::leadership::Moment;
use crate::number::Asker;

/// Most repeats of one call that wait for the same answer. Who asks beyond that asks again later.
const ASKERS_MAX: usize = 8;

/// The limits of one desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeskRules {
    /// Most calls that are carried out at a time.
    pub open_max: usize,
    /// Most bytes of one answer.
    pub answer_len_max: usize,
    /// Most answers that are remembered, those not yet given included.
    pub remembered_max: usize,
    /// Most bytes of answers and ids that are remembered, the longest ones of open calls included.
    pub remembered_len_max: usize,
    /// How long each answer is remembered. Nothing is forgotten earlier: a desk that has no room
    /// begins nothing.
    pub remember_for: Duration,
}

impl Default for DeskRules {
    /// 64 at a time; 100,000 answers and 64 MiB of them, each of up to 128 KiB, for two minutes.
    fn default() -> Self {
        Self {
            open_max: 64,
            answer_len_max: 128 << 10,
            remembered_max: 100_000,
            remembered_len_max: 64 << 20,
            remember_for: Duration::from_secs(120),
        }
    }
}

/// What the tenure may do at the moment of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Begin and answer.
    Holds,
    /// Answer what was begun: the work was told to end, and the permit still holds.
    WindsUp,
    /// Nothing.
    Ended,
}

/// What reaches a desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeskInput {
    /// A question came.
    Asked {
        /// Who asks: a new one for each question.
        asker: Asker,
        /// The call.
        id: CallId,
        /// Its content.
        content: Fingerprint,
    },
    /// The handler of a call has ended.
    Ended(CallId, Said),
}

/// What must be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeskEffect {
    /// Give the call that this one asks to the handler. Answered by [`DeskInput::Ended`].
    Begin(Asker, CallId),
    /// Answer this one.
    Answer(Asker, Verdict),
    /// This one gets no answer; it may ask again.
    Leave(Asker),
}

#[derive(Debug)]
struct Open {
    content: Fingerprint,
    askers: Vec<Asker>,
}

#[derive(Debug)]
struct Remembered {
    content: Fingerprint,
    said: Said,
}

/// The desk of one tenure: begins empty, and ends with it.
#[derive(Debug)]
pub struct Desk {
    rules: DeskRules,
    open: BTreeMap<CallId, Open>,
    remembered: BTreeMap<CallId, Remembered>,
    /// When each is forgotten, in the order of their answers.
    forget: VecDeque<(Moment, CallId)>,
    remembered_len: usize,
}

impl Desk {
    /// An empty one.
    #[must_use]
    pub const fn new(rules: DeskRules) -> Self {
        Self {
            rules,
            open: BTreeMap::new(),
            remembered: BTreeMap::new(),
            forget: VecDeque::new(),
            remembered_len: 0,
        }
    }

    /// How many calls are being carried out.
    #[must_use]
    pub fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Takes an input, under what the tenure may do right now, and says what must be done. A question
    /// for which nothing is said waits for the end of its call.
    #[must_use]
    pub fn handle(&mut self, now: Moment, right: Right, input: DeskInput) -> Vec<DeskEffect> {
        self.forget_until(now);
        match input {
            DeskInput::Asked { asker, id, content } => {
                let effect = match right {
                    Right::Holds | Right::WindsUp => self.asked(right, asker, id, content),
                    Right::Ended => Some(self.asked_late(asker, &id)),
                };
                effect.into_iter().collect()
            }
            DeskInput::Ended(id, said) => self.ended(now, right, id, said),
        }
    }

    fn asked(
        &mut self,
        right: Right,
        asker: Asker,
        id: CallId,
        content: Fingerprint,
    ) -> Option<DeskEffect> {
        let answer = |verdict| Some(DeskEffect::Answer(asker, verdict));
        if let Some(remembered) = self.remembered.get(&id) {
            return if remembered.content == content {
                answer(Verdict::Said(remembered.said.clone()))
            } else {
                answer(Verdict::Conflict)
            };
        }
        if let Some(open) = self.open.get_mut(&id) {
            if open.content != content {
                return answer(Verdict::Conflict);
            }
            if open.askers.len() >= ASKERS_MAX {
                return Some(DeskEffect::Leave(asker));
            }
            open.askers.push(asker);
            return None;
        }
        if right == Right::WindsUp {
            return answer(Verdict::NotLeading);
        }
        if !self.has_room(&id) {
            return answer(Verdict::Busy);
        }
        let askers = vec![asker];
        self.open.insert(id.clone(), Open { content, askers });
        Some(DeskEffect::Begin(asker, id))
    }

    /// The permit has ended. Of what was begun nothing is known to be true any more.
    fn asked_late(&self, asker: Asker, id: &CallId) -> DeskEffect {
        if self.remembered.contains_key(id) || self.open.contains_key(id) {
            DeskEffect::Leave(asker)
        } else {
            DeskEffect::Answer(asker, Verdict::NotLeading)
        }
    }

    fn ended(&mut self, now: Moment, right: Right, id: CallId, said: Said) -> Vec<DeskEffect> {
        let Some(open) = self.open.remove(&id) else {
            return Vec::new();
        };
        let said = self.bounded(said);
        let effect = |asker| match right {
            Right::Holds | Right::WindsUp => DeskEffect::Answer(asker, Verdict::Said(said.clone())),
            Right::Ended => DeskEffect::Leave(asker),
        };
        let effects = open.askers.into_iter().map(effect).collect();
        self.remembered_len += id.as_str().len() + said.len();
        let until = now.after(self.rules.remember_for);
        self.forget.push_back((until, id.clone()));
        let content = open.content;
        self.remembered.insert(id, Remembered { content, said });
        effects
    }

    fn bounded(&self, said: Said) -> Said {
        let (len, len_max) = (said.len(), self.rules.answer_len_max);
        match said {
            Said::Done(_) if len > len_max => Said::TooLong { len, len_max },
            Said::Done(_) | Said::Refused(_) | Said::TooLong { .. } => said,
        }
    }

    /// Whether one more can be carried out, and each open one's answer be remembered at its longest.
    fn has_room(&self, id: &CallId) -> bool {
        let open = self.open.len() + 1;
        let ids = self.open.keys().chain([id]).map(|id| id.as_str().len());
        let longest = self.rules.answer_len_max.max(REFUSAL_LEN_MAX) * open + ids.sum::<usize>();
        open <= self.rules.open_max
            && self.remembered.len() + open <= self.rules.remembered_max
            && self.remembered_len + longest <= self.rules.remembered_len_max
    }

    fn forget_until(&mut self, now: Moment) {
        while let Some((until, _)) = self.forget.front()
            && *until <= now
            && let Some((_, id)) = self.forget.pop_front()
        {
            if let Some(Remembered { said, .. }) = self.remembered.remove(&id) {
                self.remembered_len -= id.as_str().len() + said.len();
            }
        }
    }
}
