//! The process that runs one filter: a question on stdin, an answer on stdout.

use std::io::{self, Read, Write};

use jaq_core::{Ctx, Vars};
use jaq_json::{Val, read};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::filter::{STACK, compile};

/// The memory that a filter may use, in bytes.
const MEMORY: u64 = 2 << 30;

/// What the engine wants to know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    /// The filter.
    pub(super) filter: String,
    /// What `.` is.
    pub(super) input: Value,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Exactly one value, as the filter's own text: it may not be JSON.
    Value(String),
    /// No value.
    Nothing,
    /// More than one.
    Several,
    /// An error of the filter.
    Failed(String),
}

/// Answers the question on stdin. The answer is the last line of stdout.
pub(crate) fn serve() -> io::Result<()> {
    limit_memory();
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    let question: Question = serde_json::from_slice(&bytes)?;
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || answer(&question))?;
    let failed = || Answer::Failed("the filter cannot be run".to_owned());
    let answer = thread.join().unwrap_or_else(|_panic| failed());
    let mut line = vec![b'\n'];
    serde_json::to_writer(&mut line, &answer)?;
    io::stdout().write_all(&line)
}

/// A filter that wants more ends this process and not its neighbours.
fn limit_memory() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    // A system that has no such limit kills whom it likes.
    setrlimit(Resource::As, limit).ok();
}

/// Runs a filter.
pub(super) fn answer(question: &Question) -> Answer {
    let compiled = match compile(&question.filter) {
        Ok(compiled) => compiled,
        Err(faults) => {
            let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
            return Answer::Failed(texts.join("; "));
        }
    };
    // As text, because that keeps every digit of every number.
    let input = match read::parse_single(question.input.to_string().as_bytes()) {
        Ok(input) => input,
        Err(error) => return Answer::Failed(format!("the input cannot be read: {error}")),
    };
    let context = Ctx::<jaq_core::data::JustLut<Val>>::new(&compiled.lut, Vars::new([]));
    let mut values = compiled.id.run((context, input));
    let first = match values.next() {
        None => return Answer::Nothing,
        Some(Err(exception)) => {
            let message = exception.get_err().map_or_else(
                |_| "the filter ended itself".to_owned(),
                |error| format!("the filter failed: {error}"),
            );
            return Answer::Failed(message);
        }
        Some(Ok(value)) => value.to_string(),
    };
    match values.next() {
        None => Answer::Value(first),
        Some(_) => Answer::Several,
    }
}
