//! The records that cross the boundaries of the media pipeline, from a game to a finished reel.
//!
//! Each record is one struct: serde reads it, `validator` holds its fields to their rules, and
//! [`Contract::across`] holds rules between fields. The engine calls [`rule`] at both ends of every
//! edge through the record's [`Type`], so no stage checks its input again.
//!
//! Rules come in two weights. What a record cannot do without (its required fields, a positive
//! line, at least one prop, a known sport) refuses it; every other rule is advice: a warning in the
//! events of the run.

mod assembly;
mod audio;
#[cfg(test)]
mod bad_records;
mod calendar;
mod checks;
mod file;
mod idea;
mod matchup;
mod package;
mod receipt;
#[cfg(test)]
mod samples;
mod slate;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use flow_core::catalog::Catalog;
use flow_core::schema::{Fault, Record, Severity, Type, describe};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};
use validator::{Validate, ValidationError};

pub use assembly::{AssemblyResult, OutputFile};
pub use audio::{AudioMetadata, SegmentTiming, TimingData, WordTiming};
pub use calendar::{CalendarConfig, SegmentData};
pub use checks::SPORTS;
pub use file::FileRef;
pub use idea::{IdeaPackage, Pick, ScriptSection, ScriptStructure, SlideText};
pub use matchup::{NormalizedMatchup, PropData, TeamData};
pub use package::{AssetCheck, AssetMetadata, MediaPackage};
pub use receipt::{PublishRequest, Receipt};
pub use slate::{Skipped, Slate};

/// A record of the pipeline.
pub trait Contract: Serialize + DeserializeOwned + Validate + JsonSchema {
    /// Its name in workflow files and messages.
    const NAME: &'static str;

    /// Its fields and their types, in the order in which they are shown.
    fn fields() -> Vec<(&'static str, Type)>;

    /// Faults that no single field shows; pointers are relative to the record.
    fn across(&self) -> Vec<Fault> {
        Vec::new()
    }

    /// Brings what was read into the one spelling that stages work with. Rules see the value as it
    /// was written.
    fn normalize(&mut self) {}
}

/// The type of a record, with its rule.
#[must_use]
pub fn ty<T: Contract>() -> Type {
    let fields = T::fields().into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect();
    Type::Record(Arc::new(Record { name: T::NAME.to_owned(), fields, rule: Some(rule::<T>) }))
}

/// Reads a record whose fields have their types, in the spelling that stages work with.
///
/// # Errors
/// serde's error where the value is not of this shape.
pub fn read<T: Contract>(value: &Value) -> Result<T, serde_json::Error> {
    let mut record: T = as_written(value)?;
    record.normalize();
    Ok(record)
}

fn as_written<T: Contract>(value: &Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(with_exact_integers(value))
}

/// All faults of a value whose fields have their types: the fields' own rules, then those across
/// fields. Nested records are not entered: the engine calls their own rules.
pub fn rule<T: Contract>(value: &Value) -> Vec<Fault> {
    let record: T = match as_written(value) {
        Ok(record) => record,
        Err(error) => return vec![Fault::error("", format!("a {}", T::NAME), shape(&error))],
    };
    let mut faults = field_faults(&record, value);
    faults.extend(record.across());
    faults
}

/// Adds every record to the types that workflows may name.
#[must_use]
pub fn register(catalog: Catalog) -> Catalog {
    struct Adding(Catalog);
    impl Visit for Adding {
        fn record<T: Contract>(&mut self) {
            self.0 = std::mem::take(&mut self.0).with_type(T::NAME, ty::<T>());
        }
    }
    let mut adding = Adding(catalog);
    each(&mut adding);
    adding.0
}

/// The JSON Schema (2020-12) of the record with this name. It states the rules of both weights:
/// what an engine only advises against is in it too.
#[must_use]
pub fn schema(name: &str) -> Option<Value> {
    struct Looking<'a>(&'a str, Option<Value>);
    impl Visit for Looking<'_> {
        fn record<T: Contract>(&mut self) {
            if T::NAME == self.0 {
                self.1 = Some(schemars::schema_for!(T).to_value());
            }
        }
    }
    let mut looking = Looking(name, None);
    each(&mut looking);
    looking.1
}

/// Something that is done with every record that workflows may name.
trait Visit {
    fn record<T: Contract>(&mut self);
}

/// All records, in the order of the pipeline.
fn each(visit: &mut impl Visit) {
    visit.record::<PropData>();
    visit.record::<TeamData>();
    visit.record::<NormalizedMatchup>();
    visit.record::<Slate>();
    visit.record::<CalendarConfig>();
    visit.record::<SegmentData>();
    visit.record::<ScriptStructure>();
    visit.record::<IdeaPackage>();
    visit.record::<AudioMetadata>();
    visit.record::<TimingData>();
    visit.record::<AssetMetadata>();
    visit.record::<MediaPackage>();
    visit.record::<OutputFile>();
    visit.record::<AssemblyResult>();
    visit.record::<PublishRequest>();
    visit.record::<Receipt>();
}

/// serde's complaint without the values it may quote.
fn shape(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => "a field of another shape".into(),
        _ => "something else".into(),
    }
}

/// The faults of single fields, in the order of their names, so that messages are stable.
fn field_faults<T: Contract>(record: &T, value: &Value) -> Vec<Fault> {
    let Err(errors) = record.validate() else { return Vec::new() };
    let mut faults: Vec<Fault> = errors
        .field_errors()
        .iter()
        .flat_map(|(field, errors)| errors.iter().map(|e| field_fault(field, e, value)))
        .collect();
    faults.sort_by(|a, b| a.pointer.cmp(&b.pointer).then_with(|| a.expected.cmp(&b.expected)));
    faults
}

fn field_fault(field: &str, error: &ValidationError, value: &Value) -> Fault {
    let pointer = format!("/{field}");
    let expected = match &error.message {
        Some(message) => message.clone().into_owned(),
        None => format!("a value that passes the rule {}", error.code),
    };
    let found = value.pointer(&pointer).map_or_else(|| "nothing".to_owned(), describe);
    let severity = if error.code == checks::ADVICE { Severity::Warning } else { Severity::Error };
    Fault { pointer, expected, found, severity }
}

/// The engine takes `1.0` for the integer 1; serde does not.
fn with_exact_integers(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(exact(number)),
        Value::Array(list) => list.iter().map(with_exact_integers).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), with_exact_integers(value))).collect()
        }
        other => other.clone(),
    }
}

fn exact(number: &Number) -> Number {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(f) if number.is_f64() && f.fract() == 0.0 && f.abs() <= EXACT =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
            Number::from(f as i64)
        }
        _ => number.clone(),
    }
}
