//! Speech: text as it is read aloud, sounds joined to one track, and when each word is heard.

mod aligned;
mod say;
mod track;

pub(super) use aligned::aligned;
pub(super) use say::spoken;
pub(super) use track::{Track, length_ms, timing};
