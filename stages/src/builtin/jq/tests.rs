//! Filters, good and bad, in their own process.

use std::collections::BTreeMap;

use flow_core::error::{ErrorClass, StageError};
use flow_core::schema::Type;
use flow_core::stage::{
    CancelReason, ConfigFault, Draft, Job, NodeView, OutputFrom, OutputSlot, Stage,
};
use serde_json::{Value, json};

use super::JqStage;
use crate::process::testing::{TestContext, spawner};

fn job(filter: &str, inputs: &[(&str, Value)]) -> Job {
    Job {
        config: json!({ "filter": filter }),
        inputs: inputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        outputs: vec![OutputSlot {
            name: "out".into(),
            ty: Type::Json,
            from: OutputFrom::Default,
            json_lines: false,
            path: None,
        }],
        timeout: None,
        reserved: Vec::new(),
    }
}

async fn run(filter: &str, inputs: &[(&str, Value)]) -> Result<Value, StageError> {
    let stage = JqStage::new(spawner());
    let mut drafts = stage.run(&TestContext::new(), job(filter, inputs)).await?;
    match drafts.remove("out") {
        Some(Draft::Value(value)) => Ok(value),
        other => panic!("a value was to come, not {other:?}"),
    }
}

#[tokio::test]
async fn filters_see_one_input_or_all_by_port() {
    let games = json!({ "games": [{ "home": "A" }, { "home": "B" }] });
    for (filter, inputs, expected) in [
        ("[.games[].home]", vec![("slate", games.clone())], json!(["A", "B"])),
        (".a + .b", vec![("a", json!(1)), ("b", json!(2))], json!(3)),
        (".", vec![], json!(null)),
        ("map(select(. > 1)) | length", vec![("x", json!([1, 2, 3]))], json!(2)),
        ("\"\\(.)!\" | ascii_downcase", vec![("x", json!("HI"))], json!("hi!")),
    ] {
        assert_eq!(run(filter, &inputs).await.expect(filter), expected);
    }
}

#[tokio::test]
async fn numbers_survive() {
    let numbers = json!([u64::MAX, i64::MIN, 0.1, 1e300, 9_007_199_254_740_993_u64]);
    assert_eq!(run(".", &[("x", numbers.clone())]).await.expect("a value"), numbers);
    for filter in ["nan", "infinite", "18446744073709551615 + 1"] {
        let error = run(filter, &[]).await.expect_err(filter);
        assert_eq!(error.class, ErrorClass::Validation, "{error}");
    }
}

#[tokio::test]
async fn exactly_one_value_must_come() {
    for (filter, words) in [
        ("empty", "no value"),
        ("1, 2", "several values"),
        ("range(infinite)", "several values"),
        ("error(\"no luck\")", "no luck"),
        (".a", "cannot index"),
    ] {
        let error = run(filter, &[("x", json!(1))]).await.expect_err(filter);
        assert_eq!(error.class, ErrorClass::Validation, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_filter_without_end_ends_with_its_attempt() {
    let (stage, context) = (JqStage::new(spawner()), TestContext::new());
    for filter in ["def f: f; f", "[repeat(1)] | length", "last(range(infinite))"] {
        context.cancel(CancelReason::Timeout);
        let error = stage.run(&context, job(filter, &[])).await.expect_err(filter);
        assert_eq!(error.class, ErrorClass::Timeout, "{filter}: {error}");
    }
}

#[tokio::test]
async fn a_filter_without_bounds_ends_its_own_process_alone() {
    for filter in ["def f: 1 + f; f", "\"x\" * 10000000000 | length"] {
        let error = run(filter, &[]).await.expect_err(filter);
        assert_eq!(error.class, ErrorClass::Config, "{filter}: {error}");
        assert!(error.hint.is_some());
    }
}

fn check(filter: &str) -> Vec<ConfigFault> {
    let (config, none, tools) = (json!({ "filter": filter }), BTreeMap::new(), BTreeMap::new());
    let node = NodeView {
        config: &config,
        inputs: &none,
        outputs: &[],
        tools: &tools,
        workflow_dir: std::path::Path::new("/"),
        uses: &[],
        params: &[],
    };
    JqStage::new(spawner()).check(&node)
}

#[test]
fn faults_of_filters_have_their_place() {
    for (filter, words, help) in [
        (".a | nope", "no filter `nope` (line 1, column 6", false),
        (".a |\n  $x", "no variable `$x` (line 2, column 3", false),
        ("[.a", "`[` is not closed (line 1, column 1", false),
        (".a |", "was expected here", false),
        ("1 2", "`2` was not expected here (line 1, column 3", false),
        ("import \"x\" as x; .", "cannot import", false),
        ("env.HOME", "no filter `env`", true),
        ("now", "no filter `now`", true),
        ("halt", "no filter `halt`", true),
        ("$ENV", "no variable `$ENV`", false),
    ] {
        let faults = check(filter);
        let texts: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
        assert!(texts.iter().any(|text| text.contains(words)), "{filter}: {texts:?}");
        assert_eq!(faults[0].help.is_some(), help, "{filter}");
    }
    assert_eq!(check("[.games[] | {home, away: .guest}] | sort_by(.home)"), []);
    assert_eq!(check(&"[".repeat(100_000)).len(), 1);
    assert!(!check(&"-".repeat(60_000)).is_empty());
    assert_eq!(check(&vec!["."; 20_000].join("|")), []);
}
