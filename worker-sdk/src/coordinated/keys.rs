//! Where the records of one crew stand: made and parsed here only.

use protocol::crew::Key;

/// The names of one crew's records.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    bucket: String,
    crew: String,
}

impl Keys {
    /// Of the crew of this key in this bucket.
    pub(super) fn new(bucket: &str, crew: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            crew: crew.to_owned(),
        }
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The stream below the bucket.
    pub(super) fn stream(&self) -> String {
        format!("KV_{}", self.bucket)
    }

    /// The key of the election of the planner.
    pub(super) fn planner(&self) -> String {
        format!("{}.planner", self.crew)
    }

    pub(super) fn subject(&self, key: &Key) -> String {
        match key {
            Key::Plan => format!("{}plan", self.prefix()),
            Key::Member(member) => format!("{}member.{member}", self.prefix()),
        }
    }

    /// The subjects of all members' records.
    pub(super) fn members(&self) -> String {
        format!("{}member.*", self.prefix())
    }

    /// Which record stands on a subject, if it is one of this crew.
    pub(super) fn parse(&self, subject: &str) -> Option<Key> {
        match subject.strip_prefix(&self.prefix())?.split_once('.') {
            None => subject.ends_with(".plan").then_some(Key::Plan),
            Some(("member", member)) => member.parse().ok().map(Key::Member),
            Some(_) => None,
        }
    }

    fn prefix(&self) -> String {
        format!("$KV.{}.{}.", self.bucket, self.crew)
    }
}

#[cfg(test)]
mod tests {
    use protocol::crew::Key;

    use super::Keys;

    #[test]
    fn a_record_is_found_where_it_was_put_and_others_are_left_alone() {
        let keys = Keys::new("jobs_crews", "group.eu.shop");
        let member = Key::Member("Kq3".parse().expect("an incarnation"));
        let subject = keys.subject(&member);
        assert_eq!(subject, "$KV.jobs_crews.group.eu.shop.member.Kq3");
        for key in [Key::Plan, member] {
            assert_eq!(keys.parse(&keys.subject(&key)), Some(key));
        }
        for other in [
            "$KV.jobs_crews.group.eu.shop.planner",
            "$KV.jobs_crews.group.eu.shop.member.a.b",
            "$KV.jobs_crews.group.eu.shop.x.plan",
            "$KV.jobs_crews.group.eu.shops.plan",
            "$KV.jobs_crews.global.shop.plan",
            "$KV.other.group.eu.shop.plan",
        ] {
            assert_eq!(keys.parse(other), None, "{other}");
        }
    }
}
