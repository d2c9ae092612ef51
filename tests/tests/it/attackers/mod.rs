//! Who has a permission and means harm: what they can reach, what the coordinators see and say, and
//! how an operator gets out of it.

mod poison;
mod submitter;
mod worker;
