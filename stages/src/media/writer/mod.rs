//! Ideas by language models. A model gets the facts of one game and answers with one idea, which is
//! held to the contract and to the facts; it is told once what is wrong with it.

mod answer;
mod prompt;
#[cfg(test)]
mod tests;

use flow_core::error::{ErrorClass, StageError};
use flow_core::schema::Fault;
use flow_core::stage::{CallRetry, Context};

use crate::client::Service;
use crate::client::anthropic::{self, ANTHROPIC};
use crate::client::chain::Known;
use crate::client::gemini::{self, GEMINI};
use crate::client::language::{Question, Turn, Written};
use crate::contract::{CalendarConfig, IdeaPackage, NormalizedMatchup, SegmentData};

/// Who can write ideas.
pub(super) const PROVIDERS: Known = Known { apis: &[&ANTHROPIC, &GEMINI], locals: &["templates"] };

/// The most tokens of an answer, what a model thinks before it writes included.
const MOST_TOKENS: u64 = 8192;

/// What an idea is to be about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brief<'a> {
    pub(super) game: &'a NormalizedMatchup,
    pub(super) segment: &'a SegmentData,
    pub(super) calendar: &'a CalendarConfig,
    /// Another text asks for another idea.
    pub(super) seed: &'a str,
}

/// What a model wrote, and what is wrong with it.
struct Checked {
    /// The idea, if it can be read at all.
    idea: Option<IdeaPackage>,
    /// What makes it useless.
    faults: Vec<Fault>,
    /// What could be better.
    doubts: Vec<Fault>,
}

impl Checked {
    fn is_usable(&self) -> bool {
        self.idea.is_some() && self.faults.is_empty()
    }
}

/// Has an idea written. Each answer is remembered, so that no idea is paid for twice; one that cannot
/// be used is sent back once, with its faults.
///
/// # Errors
/// Those of the service, and `validation` when the second answer cannot be used either.
pub(super) async fn write(
    context: &dyn Context,
    service: &Service,
    brief: Brief<'_>,
) -> Result<IdeaPackage, StageError> {
    let operation = format!("write the idea of {}", brief.segment.segment_id);
    let mut question = prompt::question(brief, most_tokens(service));
    let written = generate(context, service, &operation, &question).await?;
    let first = answer::check(brief, service.api.name, &written);
    if first.is_usable() && first.doubts.is_empty() {
        return taken(context, service, &operation, first, &written);
    }
    context.call_retried(CallRetry {
        provider: service.api.name.to_owned(),
        operation: operation.clone(),
        call: 2,
        delay_ms: 0,
        error: unusable(service, &operation, &first, &written),
    });
    question.turns.push(Turn::Model(written.value.to_string()));
    question.turns.push(Turn::User(prompt::repair(&first.faults, &first.doubts), Vec::new()));
    match generate(context, service, &operation, &question).await {
        Ok(again) => {
            let second = answer::check(brief, service.api.name, &again);
            if first.is_usable() && !second.is_usable() {
                return taken(context, service, &operation, first, &written);
            }
            taken(context, service, &operation, second, &again)
        }
        // What is only in doubt was paid for, and is better than nothing.
        Err(error) if first.is_usable() && error.class != ErrorClass::Cancelled => {
            taken(context, service, &operation, first, &written)
        }
        Err(error) => Err(error),
    }
}

async fn generate(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    question: &Question,
) -> Result<Written, StageError> {
    if service.api.name == ANTHROPIC.name {
        anthropic::generate(context, service, operation, question).await
    } else {
        gemini::generate(context, service, operation, question).await
    }
}

fn most_tokens(service: &Service) -> u64 {
    let set = service.options.get("max_tokens").and_then(serde_json::Value::as_u64);
    set.filter(|tokens| *tokens > 0).unwrap_or(MOST_TOKENS)
}

/// The idea, if it can be used; doubts about it are told.
fn taken(
    context: &dyn Context,
    service: &Service,
    operation: &str,
    checked: Checked,
    written: &Written,
) -> Result<IdeaPackage, StageError> {
    match checked {
        Checked { idea: Some(idea), faults, doubts } if faults.is_empty() => {
            for doubt in doubts {
                context.warn(format!("{operation}: {}", sentence(&doubt)));
            }
            Ok(idea)
        }
        unusable_one => Err(unusable(service, operation, &unusable_one, written)),
    }
}

/// The failure of an idea with faults, or with nothing but doubts.
fn unusable(
    service: &Service,
    operation: &str,
    checked: &Checked,
    written: &Written,
) -> StageError {
    let name = service.api.name;
    let all = || checked.faults.iter().chain(&checked.doubts);
    let first = all().next();
    let what = first.map(sentence).unwrap_or_default();
    let message = format!("the idea that {name} wrote cannot be used: {what}");
    let mut error = service.failure(ErrorClass::Validation, operation, message);
    error.request_id.clone_from(&written.request_id);
    if let Some(fault) = first {
        error.pointer = Some(fault.pointer.clone());
        error.expected = Some(fault.expected.clone());
        error.found = Some(fault.found.clone());
    }
    error.causes = all().skip(1).map(sentence).collect();
    error.hint(format!(
        "another model may do better: services = {{ {name} = {{ model = \"…\" }} }}; or put another \
         provider behind it in `providers`"
    ))
}

fn sentence(fault: &Fault) -> String {
    format!("{}: expected {}, found {}", fault.pointer, fault.expected, fault.found)
}
