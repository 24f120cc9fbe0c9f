//! Types as the graph and the gates use them: what fits what, and that what fits is accepted.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    Constrained, Constraint as C, Format, JsonSchema, MediaPattern, Record, Severity, Type,
    assignable, validate,
};
use crate::digest::Digest;
use crate::payload::{Artifact, DIR_MEDIA_TYPE};

fn record(name: &str, fields: &[(&str, Type)]) -> Type {
    let fields = fields.iter().map(|(name, ty)| ((*name).to_owned(), ty.clone())).collect();
    Type::Record(Arc::new(Record { name: name.into(), fields, rule: None }))
}

fn with(name: &str, base: Type, constraints: &[C]) -> Type {
    let (name, constraints) = (name.to_owned(), constraints.to_vec());
    Type::Constrained(Arc::new(Constrained { name, base, constraints }))
}

fn file(media: &str) -> Type {
    Type::File(MediaPattern::parse(media))
}

fn schema(text: &str) -> Type {
    Type::Schema(Arc::new(JsonSchema::compile("Slate", text).expect("a schema")))
}

fn artifact(media_type: &str) -> Value {
    let digest = Digest::of(media_type.as_bytes());
    Artifact { digest, name: "a".into(), size: 1, media_type: media_type.into() }.to_json()
}

#[test]
fn a_type_that_does_not_fit_says_where_inside_and_why() {
    let line = |ty| record("Prop", &[("player", Type::String), ("line", ty)]);
    let positive = with("Line", Type::Number, &[C::GreaterThan(0.0)]);
    let ruled = Type::Record(Arc::new(Record {
        name: "Slate".into(),
        fields: [("games".to_owned(), Type::Json)].into_iter().collect(),
        rule: Some(|_| Vec::new()),
    }));
    let pairs = [
        (line(Type::Integer.optional()), line(Type::Integer)),
        (line(Type::Integer), line(Type::Number)),
        (line(Type::Number).list(), line(positive.clone()).list()),
        (line(positive.clone()), record("Named", &[("name", Type::String)])),
        (Type::Map(Box::new(Type::Json)), Type::Map(Box::new(Type::String))),
        (Type::Json, Type::Integer),
        (Type::Number, Type::Integer),
        (Type::String, Type::Datetime),
        (Type::String.list(), Type::String),
        (Type::File(None), file("audio/wav")),
        (file("audio/x-wav"), file("audio/*")),
        (file("image/png"), file("audio/*")),
        (Type::Dir, Type::File(None)),
        (schema("{}"), schema("{}")),
        (schema("{}"), Type::Json),
        (schema("{}"), schema("true")),
        (schema("{}"), record("R", &[])),
        (record("R", &[]), schema("{}")),
        (Type::Json, schema("{}")),
        (record("Mine", &[("games", Type::Json)]), ruled.clone()),
        (ruled.clone(), ruled),
        (
            with("", Type::Integer, &[C::Enum(vec![json!(1), json!(2)])]),
            with("", Type::Number, &[C::Min(1.0), C::LessThan(3.0)]),
        ),
        (
            with("Outer", with("Inner", Type::Integer, &[C::Min(5.0)]), &[C::Max(9.0)]),
            with("", Type::Integer, &[C::Min(0.0), C::Max(10.0)]),
        ),
        (
            with("", Type::String, &[C::Enum(vec![json!("abc")])]),
            with("", Type::String, &[C::MinLength(3), C::Format(Format::Date)]),
        ),
    ];
    let mut text = String::new();
    for (from, to) in pairs {
        let told = match assignable(&from, &to) {
            Ok(()) => "fits".to_owned(),
            Err(mismatch) => mismatch.to_string(),
        };
        writeln!(text, "{from} -> {to}: {told}").expect("text");
    }
    insta::assert_snapshot!(text);
}

/// Numbers for values and for variations of types: proptest gives the seed, so that a failure can
/// be played again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.roll(all.len() as u64)).expect("a small number")]
    }
}

const WORDS: [&str; 7] = ["", "a", "abc", "xyz9", "2025-01-05", "2025-01-05T13:00:00Z", "90s"];
const MEDIA: [&str; 4] = ["audio/wav", "audio/mpeg", "image/png", "text/csv"];

/// A value of the type; `None` if none was hit upon.
fn value_of(ty: &Type, dice: &mut Dice) -> Option<Value> {
    Some(match ty {
        Type::String => json!(*dice.pick(&WORDS)),
        Type::Datetime => json!("2025-01-05T13:00:00Z"),
        Type::Duration => json!("90s"),
        Type::Boolean => json!(dice.roll(2) == 0),
        Type::Integer => json!(i64::try_from(dice.roll(9)).ok()? - 4),
        Type::Number if dice.roll(2) == 0 => value_of(&Type::Integer, dice)?,
        Type::Number => json!(*dice.pick(&[-1.5, -0.5, 0.25, 1.0, 2.5])),
        Type::Json => {
            dice.pick(&[json!(null), json!([1, "a"]), json!({ "a": 1 }), json!("x")]).clone()
        }
        Type::File(None) => artifact(dice.pick::<&str>(&MEDIA)),
        Type::File(Some(pattern)) => {
            artifact(MEDIA.iter().find(|media| pattern.matches(media)).copied()?)
        }
        Type::Dir => artifact(DIR_MEDIA_TYPE),
        Type::Optional(inner) if dice.roll(3) > 0 => value_of(inner, dice)?,
        Type::Optional(_) => Value::Null,
        Type::List(element) => {
            (0..dice.roll(4)).map(|_| value_of(element, dice)).collect::<Option<Vec<_>>>()?.into()
        }
        Type::Map(element) => {
            let entry = |dice: &mut Dice, i| Some((format!("k{i}"), value_of(element, dice)?));
            Value::Object((0..dice.roll(3)).map(|i| entry(dice, i)).collect::<Option<_>>()?)
        }
        Type::Record(record) => {
            let mut map = Map::new();
            for (name, ty) in &record.fields {
                if !ty.is_optional() || dice.roll(3) > 0 {
                    map.insert(name.clone(), value_of(ty, dice)?);
                }
            }
            map.insert("undeclared".into(), json!(true));
            Value::Object(map)
        }
        Type::Constrained(c) => (0..40).find_map(|_| {
            let from_enum = c.constraints.iter().find_map(|c| match c {
                C::Enum(values) => Some(values),
                _ => None,
            });
            let value = match from_enum {
                Some(values) => dice.pick(values).clone(),
                None => value_of(&c.base, dice)?,
            };
            accepted(ty, &value).then_some(value)
        })?,
        Type::Schema(_) => json!({ "a": "b" }),
    })
}

fn accepted(ty: &Type, value: &Value) -> bool {
    validate(ty, value).iter().all(|fault| fault.severity != Severity::Error)
}

fn condition(ty: &Type, dice: &mut Dice) -> Option<C> {
    let bound = *dice.pick(&[-2.0, -0.5, 0.0, 1.0, 3.0]);
    let kind = dice.roll(5);
    Some(match ty.inner() {
        Type::Integer | Type::Number => match kind {
            0 => C::Min(bound),
            1 => C::Max(bound),
            2 => C::GreaterThan(bound),
            3 => C::LessThan(bound),
            _ => C::Enum(vec![json!(1), json!(2.0), json!(-2)]),
        },
        Type::String => match kind {
            0 => C::MinLength(dice.roll(4)),
            1 => C::MaxLength(dice.roll(6)),
            2 => C::Pattern(regex::Regex::new("^[a-z]").ok()?),
            3 => C::Format(Format::Date),
            _ => C::Enum(vec![json!("a"), json!("abc")]),
        },
        Type::List(_) => match kind {
            0 | 1 => C::MinLength(dice.roll(2)),
            2 | 3 => C::MaxLength(dice.roll(4)),
            _ => C::Unique,
        },
        _ => return None,
    })
}

/// Another type that is near to this one, wider or narrower, so that many pairs fit and many do
/// not.
fn varied(ty: &Type, dice: &mut Dice) -> Type {
    match (dice.roll(8), ty) {
        (0, _) => ty.clone().optional(),
        (1, Type::Optional(inner)) => varied(inner, dice),
        (2, _) => condition(ty, dice).map_or_else(|| ty.clone(), |c| with("", ty.clone(), &[c])),
        (3, Type::Constrained(c)) => c.base.clone(),
        (4, _) => Type::Json,
        (_, Type::Integer) => Type::Number,
        (_, Type::Datetime | Type::Duration) => Type::String,
        (_, Type::File(Some(_))) => dice.pick(&[Type::File(None), file("audio/*")]).clone(),
        (_, Type::List(element)) => varied(element, dice).list(),
        (_, Type::Map(element)) => Type::Map(Box::new(varied(element, dice))),
        (_, Type::Optional(inner)) => varied(inner, dice).optional(),
        (_, Type::Constrained(c)) => {
            let constraints: Vec<C> =
                c.constraints.iter().filter_map(|_| condition(&c.base, dice)).collect();
            with("", varied_base(&c.base, dice), &constraints)
        }
        (_, Type::Record(record)) => {
            let mut fields: Vec<(&str, Type)> = record
                .fields
                .iter()
                .map(|(name, ty)| {
                    let ty = if dice.roll(3) == 0 { varied(ty, dice) } else { ty.clone() };
                    (name.as_str(), ty)
                })
                .collect();
            if dice.roll(2) == 0 {
                fields.pop();
            }
            super::tests::record("Varied", &fields)
        }
        (_, other) => other.clone(),
    }
}

fn varied_base(base: &Type, dice: &mut Dice) -> Type {
    match base {
        Type::Integer if dice.roll(2) == 0 => Type::Number,
        other => other.clone(),
    }
}

/// Types as `[types]` can declare them: no `?` under a condition.
fn types() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        Just(Type::String),
        Just(Type::Integer),
        Just(Type::Number),
        Just(Type::Boolean),
        Just(Type::Datetime),
        Just(Type::Duration),
        Just(Type::Json),
        Just(Type::Dir),
        Just(Type::File(None)),
        prop::sample::select(&["audio/wav", "audio/*", "image/png"][..]).prop_map(file),
        Just(schema(r#"{ "type": "object" }"#)),
    ];
    let ty = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(|t| Type::Map(Box::new(t))),
            inner.clone().prop_map(Type::optional),
            prop::collection::vec(inner, 0..4).prop_map(|fields| {
                let names = ["a", "b", "c", "d"];
                let fields: Vec<_> = names.into_iter().zip(fields).collect();
                record("R", &fields)
            }),
        ]
    });
    (ty, any::<u64>()).prop_map(|(ty, seed)| {
        let mut dice = Dice(seed);
        let conditions: Vec<C> =
            (0..dice.roll(3)).filter_map(|_| condition(&ty, &mut dice)).collect();
        match (conditions.is_empty(), &ty) {
            (true, _) | (_, Type::Optional(_)) => ty,
            (false, _) => with("", ty, &conditions),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn every_value_of_a_type_that_fits_another_is_accepted_there(
        from in types(),
        seed in any::<u64>(),
    ) {
        let mut dice = Dice(seed);
        let mut to = from.clone();
        for _ in 0..dice.roll(4) {
            to = varied(&to, &mut dice);
        }
        prop_assert!(assignable(&from, &from).is_ok(), "{from} does not fit itself");
        for _ in 0..4 {
            let Some(value) = value_of(&from, &mut dice) else { continue };
            prop_assert!(accepted(&from, &value), "{value} is no {from}");
            if assignable(&from, &to).is_ok() {
                let faults = validate(&to, &value);
                prop_assert!(accepted(&to, &value), "{from} fits {to}, and {value} does not: {faults:?}");
            }
        }
    }

    #[test]
    fn what_fits_a_type_fits_what_that_type_fits(
        from in types(),
        seed in any::<u64>(),
    ) {
        let mut dice = Dice(seed);
        let middle = varied(&from, &mut dice);
        let to = varied(&middle, &mut dice);
        if assignable(&from, &middle).is_ok() && assignable(&middle, &to).is_ok() {
            prop_assert!(assignable(&from, &to).is_ok(), "{from} fits {middle} fits {to}");
        }
    }
}

#[test]
fn the_written_form_has_paths_where_artifacts_will_be() {
    let clip = record("Clip", &[("path", file("video/*")), ("title", Type::String)]);
    let ty = with("", clip.list(), &[C::MinLength(1)]).as_written();
    assert!(accepted(&ty, &json!([{ "path": "a.mp4", "title": "A" }])));
    assert!(!accepted(&ty, &json!([{ "path": { "$file": "x" }, "title": "A" }])));
    assert!(!accepted(&ty, &json!([])));
}
