//! What runs after an edit: exactly what changed, and what depends on changed content.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::harness::{Done, Place, kill_9};

/// A node that notes in the ledger that it ran.
fn node(name: &str, rest: &str, shell: &str) -> String {
    format!(
        "[nodes.{name}]\nstage = \"command\"\n{rest}\n[nodes.{name}.with]\n\
         shell = '''echo {name}$FLOW_ITEM >> $DIR/ledger; {shell}'''\n\
         [nodes.{name}.with.env]\nDIR = \"{{{{ workflow.dir }}}}\"\n"
    )
}

/// `parity` makes the same of 12 and 14; `used`, `said` and `read` each depend on something else.
fn base() -> String {
    [
        "[params]\nword = { type = \"string\", default = \"w\" }\ntext = { type = \"file\", default = \"text.txt\" }\n".to_owned(),
        node("first", "outputs.n = \"integer\"", "echo 12"),
        node("parity", "inputs = { n = \"first.n\" }\noutputs.even = \"integer\"", "n=$(cat inputs/n.json); echo $((n % 2))"),
        node("last", "inputs = { even = \"parity.even\" }\noutputs.out = \"string\"", "echo last"),
        node("used", "uses = [\"tool.sh\"]\noutputs.text = \"string\"", "sh tool.sh"),
        node("said", "outputs.text = \"string\"", "echo {{ params.word }}"),
        node("read", "inputs = { text = \"params.text\" }\noutputs.text = \"string\"", "cat {{ inputs.text }}"),
        "[outputs]\nout = \"last.out\"\n".to_owned(),
    ]
    .concat()
}

/// A place with the base workflow, run to its end as `one`.
fn done() -> Place {
    let place = Place::with(&base());
    place.write("tool.sh", "echo tool\n");
    place.write("text.txt", "text\n");
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    assert_eq!(ran(&place), ["first", "last", "parity", "read", "said", "used"]);
    place
}

/// What ran since the last question, sorted.
fn ran(place: &Place) -> Vec<String> {
    let mut all: Vec<String> = place.read("ledger").lines().map(str::to_owned).collect();
    all.sort();
    place.write("ledger", "");
    all
}

fn edit(place: &Place, from: &str, to: &str) {
    let text = place.read("flow.toml");
    assert!(text.contains(from), "{from} is not in the file");
    place.write("flow.toml", &text.replace(from, to));
}

fn update(place: &Place) -> Done {
    place.flow(&["resume", "one", "--update"]).exits(0)
}

/// The notes of the latest resumption.
fn notes(place: &Place) -> String {
    let done = place.flow(&["logs", "one", "--json"]);
    let mut notes = done.stdout.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["event"] == "run_resumed").then(|| line["notes"].clone())
    });
    let notes = notes.next_back().unwrap_or_default();
    let lines: Vec<&str> = notes.as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    super::harness::steady(&lines.join("\n"), &place.path("").canonicalize().unwrap())
}

#[test]
fn comments_formatting_order_and_policies_run_nothing() {
    let place = done();
    update(&place);
    assert_eq!(ran(&place), [""; 0]);
    let text = place.read("flow.toml");
    let (head, nodes) = text.split_once("[nodes.first]").unwrap();
    let (first, rest) = nodes.split_once("[nodes.parity]").unwrap();
    let first = first.replace(
        "outputs.n = \"integer\"",
        "retry = { attempts = 7 }\ntimeout = \"9m\"\n\n  outputs = { n=\"integer\" } # a comment",
    );
    place.write(
        "flow.toml",
        &format!("# moved\n{head}\n[nodes.parity]{rest}\n[nodes.first]{first}"),
    );
    edit(&place, "name = \"test\"", "name = \"test\"\nmax_parallel = 3\nfail_fast = true");
    assert_snapshot!(update(&place), @r"
    exit: 0
    --- stdout
    out: last
    --- stderr
    [time] ▶ run  one resumed
               the workflow file [dir]/flow.toml has changed, and is adopted
    [time] ✔ used  reused from this run
    [time] ✔ said  reused from this run
    [time] ✔ read  reused from this run
    [time] ✔ first  reused from this run
    [time] ✔ parity  reused from this run
    [time] ✔ last  reused from this run
    [time] ✔ run  succeeded

       NODE  STATUS  ATTEMPTS  TIME
    ✔  parity  succeeded  1  [took]  reused
    ✔  last  succeeded  1  [took]  reused
    ✔  used  succeeded  1  [took]  reused
    ✔  said  succeeded  1  [took]  reused
    ✔  read  succeeded  1  [took]  reused
    ✔  first  succeeded  1  [took]  reused
    run one succeeded: 6 succeeded (6 reused) in [took]
    ");
    assert_eq!(ran(&place), [""; 0]);
    let shown = place.show("one");
    let all = shown["nodes"].as_array().unwrap();
    assert!(all.iter().all(|node| node["reused"] == true && node["attempts"] == 1), "{shown}");
}

#[test]
fn an_edited_stage_runs_with_whatever_its_output_changes_and_no_further() {
    let place = done();
    edit(&place, "echo 12", "echo 14");
    update(&place);
    assert_eq!(ran(&place), ["first", "parity"]);
    edit(&place, "echo 14", "echo 13");
    update(&place);
    assert_eq!(ran(&place), ["first", "last", "parity"]);
    // What was made before is known by its key.
    edit(&place, "echo 13", "echo 12");
    update(&place);
    assert_eq!(ran(&place), [""; 0]);
    assert_eq!(place.flow(&["output", "one", "first"]).stdout, "12\n");
}

#[test]
fn a_failed_run_goes_on_with_the_mended_file() {
    let place = Place::with(
        &[
            node("good", "outputs.n = \"integer\"", "echo 1"),
            node("bad", "inputs = { n = \"good.n\" }\noutputs.n = \"integer\"", "exit 3"),
            node("next", "inputs = { n = \"bad.n\" }", "true"),
        ]
        .concat(),
    );
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(1);
    edit(&place, "exit 3", "echo 2");
    let plain = place.flow(&["resume", "one"]).exits(1);
    assert!(plain.stderr.contains("adopt what changed with: flow resume one --update"), "{plain}");
    ran(&place);
    update(&place);
    assert_eq!(ran(&place), ["bad", "next"]);
    assert_eq!(place.show("one")["status"], "succeeded");
    assert_snapshot!(notes(&place), @"the workflow file [dir]/flow.toml has changed, and is adopted");
    // From here on the new file is the one on record.
    let again = place.flow(&["resume", "one"]).exits(0);
    assert!(!again.stderr.contains("changed"), "{again}");
}

#[test]
fn nodes_come_go_get_new_names_and_new_edges() {
    let place = done();
    let more = node("more", "inputs = { n = \"first.n\" }\noutputs.n = \"integer\"", "echo 5");
    place.write("flow.toml", &format!("{}{more}", place.read("flow.toml")));
    update(&place);
    assert_eq!(ran(&place), ["more"]);
    let text = place.read("flow.toml");
    let used = text.find("[nodes.used]").unwrap()..text.find("[nodes.said]").unwrap();
    place.write("flow.toml", &text.replace(&text[used], ""));
    edit(&place, "[nodes.said", "[nodes.spoken");
    update(&place);
    assert_eq!(ran(&place), [""; 0]);
    assert_snapshot!(notes(&place), @"
    the workflow file [dir]/flow.toml has changed, and is adopted
    node `used` is gone from the file; its results stay in the store
    node `said` is gone from the file, and `spoken` does the same: it takes the results of the same key
    ");
    edit(
        &place,
        "inputs = { n = \"first.n\" }\noutputs.even",
        "inputs = { n = \"more.n\" }\noutputs.even",
    );
    update(&place);
    assert_eq!(ran(&place), ["last", "parity"]);
}

#[test]
fn changed_files_parameters_and_types_run_what_reads_them() {
    let place = done();
    place.write("tool.sh", "echo new tool\n");
    update(&place);
    assert_eq!(ran(&place), ["used"]);
    assert_snapshot!(notes(&place), @"the used path tool.sh has changed, and is adopted");
    place.write("text.txt", "new text\n");
    update(&place);
    assert_eq!(ran(&place), ["read"]);
    assert_snapshot!(notes(&place), @"the file of parameter `text` has changed, and is adopted");
    place.flow(&["resume", "one", "--param", "word=new"]).exits(0);
    assert_eq!(ran(&place), ["said"]);
    assert_snapshot!(notes(&place), @r#"parameter `word` was "w" and is "new" now"#);
    // A value that was given stays, a default that was taken follows the file.
    edit(&place, "default = \"w\"", "default = \"other\"");
    update(&place);
    assert_eq!(ran(&place), [""; 0]);
    assert_eq!(place.show("one")["params"]["word"], "new");
    edit(&place, "outputs.out = \"string\"", "outputs.out = \"json\"");
    let failed = place.flow(&["resume", "one", "--update"]).exits(1);
    assert!(failed.stderr.contains("last"), "{failed}");
    assert_eq!(ran(&place), ["last"]);
}

#[test]
fn a_default_that_was_taken_follows_the_file() {
    let place = done();
    edit(&place, "default = \"w\"", "default = \"other\"");
    update(&place);
    assert_eq!(ran(&place), ["said"]);
    let done = place.flow(&["resume", "one", "--param", "wrod=x"]).exits(3);
    assert!(done.stderr.contains("did you mean `word`"), "{done}");
    edit(&place, "echo 12", "echo {{ inputs.none }}");
    place.flow(&["resume", "one", "--update"]).exits(3);
    assert_eq!(place.show("one")["status"], "succeeded");
}

#[test]
fn another_file_takes_the_place_of_the_first() {
    let place = done();
    place.write("other.toml", &place.read("flow.toml").replace("echo 12", "echo 13"));
    place.flow(&["resume", "one", "--file", "other.toml"]).exits(0);
    assert_eq!(ran(&place), ["first", "last", "parity"]);
    assert_snapshot!(notes(&place), @"the workflow file is [dir]/other.toml from here on");
    edit(&place, "echo 12", "echo 99");
    update(&place);
    assert_eq!(ran(&place), [""; 0]);
}

fn items(list: &str, key: &str) -> String {
    [
        node("list", "outputs.l = \"list<string>\"", &format!("echo '{list}'")),
        node(
            "each",
            &format!("for_each = \"list.l\"\n{key}\nmax_parallel = 1\noutputs.s = \"string\""),
            "echo {{ item }}",
        ),
        node("next", "for_each = \"each.s\"\noutputs.s = \"string\"", "echo {{ item }}!"),
        node("all", "inputs = { s = \"next.s\" }\noutputs.n = \"integer\"", "echo 1"),
    ]
    .concat()
}

#[test]
fn an_inserted_item_runs_alone_whether_items_have_keys_or_not() {
    for key in ["key = \"{{ item }}\"", ""] {
        let place = Place::with(&items(r#"["a","b"]"#, key));
        place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
        ran(&place);
        let count = |place: &Place| {
            let ran = ran(place);
            let of = |name: &str| ran.iter().filter(|r| r.starts_with(name)).count();
            (of("each"), of("next"), of("all"))
        };
        edit(&place, r#"["a","b"]"#, r#"["x","a","b"]"#);
        update(&place);
        assert_eq!(count(&place), (1, 1, 1), "inserted, {key}");
        edit(&place, r#"["x","a","b"]"#, r#"["b","x","a"]"#);
        update(&place);
        assert_eq!(count(&place), (0, 0, 1), "in another order, {key}");
        edit(&place, r#"["b","x","a"]"#, r#"["b","a"]"#);
        update(&place);
        assert_eq!(count(&place), (0, 0, 1), "removed, {key}");
        let all: Value =
            serde_json::from_str(&place.flow(&["output", "one", "next"]).stdout).unwrap();
        assert_eq!(all, json!(["b!", "a!"]));
    }
}

#[test]
fn after_kill_9_in_the_middle_a_plain_resume_goes_on_with_the_new_file() {
    let place = done();
    edit(&place, "echo 12", "echo 13");
    edit(
        &place,
        "n=$(cat inputs/n.json);",
        "n=$(cat inputs/n.json); echo $$ > $DIR/pid; test -e $DIR/open || sleep 1000;",
    );
    let mut child = place.start(&["resume", "one", "--update"]);
    place.wait_for("pid");
    kill_9(&mut child);
    assert_eq!(place.show("one")["status"], "interrupted");
    place.write("open", "");
    // What is on the disk by now is not adopted by itself.
    edit(&place, "echo 13", "echo 15");
    place.flow(&["resume", "one"]).exits(0);
    assert_eq!(ran(&place), ["first", "last", "parity", "parity"]);
    assert_eq!(place.flow(&["output", "one", "first"]).stdout, "13\n");
    assert_eq!(place.flow(&["output", "one", "parity"]).stdout, "1\n");
}

#[test]
fn failures_that_were_accepted_and_fallbacks_that_were_taken_stay() {
    let place = Place::with(&[
        node("list", "outputs.l = \"list<integer>\"", "echo '[1,2]'"),
        node("drops", "for_each = \"list.l\"\non_item_failure = \"drop\"\nretry = { attempts = 1 }\noutputs.s = \"string\"", "test {{ item }} = 1 && echo x"),
        node("maybe", "optional = true\nretry = { attempts = 1 }\noutputs.n = \"integer\"", "exit 1"),
        format!("{}[[nodes.falls.fallback]]\nstage = \"command\"\nwith = {{ shell = \"echo 7\" }}\n",
            node("falls", "retry = { attempts = 1 }\noutputs.n = \"integer\"", "exit 1")),
        node("other", "outputs.n = \"integer\"", "echo 1"),
    ].concat());
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    ran(&place);
    edit(&place, "echo 1'", "echo 2'");
    update(&place);
    assert_eq!(ran(&place), ["other"]);
    assert_eq!(place.flow(&["output", "one", "falls"]).stdout, "7\n");
    // What failed before runs once its work is another one.
    edit(&place, "exit 1'", "echo 3'");
    update(&place);
    assert_eq!(ran(&place), ["falls", "maybe"]);
    edit(&place, "= 1 && echo x", "-ge 1 && echo x");
    update(&place);
    assert_eq!(ran(&place), ["drops0", "drops1"]);
}

#[test]
fn a_question_stays_asked_through_an_edit_elsewhere() {
    let place = Place::with(
        &[
            "[nodes.ask]\nstage = \"approve\"\nwith = { message = \"go on?\" }\n".to_owned(),
            node("other", "outputs.n = \"integer\"", "echo 1"),
            node("next", "inputs = { d = \"ask.decision\" }", "true"),
        ]
        .concat(),
    );
    place.flow(&["run", "flow.toml", "--run-id", "one", "--no-wait"]).exits(7);
    edit(&place, "echo 1'", "echo 2'");
    place.flow(&["resume", "one", "--update", "--no-wait"]).exits(7);
    let answered = place.flow(&["approve", "one", "ask", "--json"]).exits(0).json();
    assert_eq!(answered, place.show("one"), "the run as it is then");
    place.flow(&["resume", "one"]).exits(0);
    assert_eq!(ran(&place), ["next", "other", "other"]);
    // The answer is a result like any other.
    edit(&place, "echo 2'", "echo 3'");
    update(&place);
    assert_eq!(ran(&place), ["other"]);
}

/// `send` acts on the world and dies in it; `make` comes before it.
fn effect() -> Place {
    let place = Place::with(
        &[
            node("make", "outputs.n = \"integer\"", "echo 1"),
            node(
                "send",
                "effect = true\ninputs = { n = \"make.n\" }\noutputs.r = \"string\"",
                "echo $$ > $DIR/pid; test -e $DIR/open || sleep 1000; echo sent",
            ),
        ]
        .concat(),
    );
    let mut child = place.start(&["run", "flow.toml", "--run-id", "one"]);
    place.wait_for("pid");
    kill_9(&mut child);
    place.write("open", "");
    ran(&place);
    place
}

#[test]
fn an_effect_that_may_have_happened_stays_unknown_through_an_edit_and_cannot_be_dropped() {
    let place = effect();
    edit(&place, "echo sent", "echo sent it");
    edit(&place, "echo 1'", "echo 2'");
    place.flow(&["resume", "one", "--update"]).exits(1);
    assert_eq!(ran(&place), ["make"]);
    assert_eq!(place.show("one")["nodes"][1]["status"], "unknown");
    edit(&place, "[nodes.send", "[nodes.post");
    assert_snapshot!(place.flow(&["resume", "one", "--update"]), @"
    exit: 6
    --- stderr
    error: the effect of `send` may have happened, and the new file does not have it
    help: find out whether it happened, and say so first: flow resolve one send --done or --not-done
    ");
    edit(&place, "[nodes.post", "[nodes.send");
    place.flow(&["resolve", "one", "send", "--not-done"]).exits(0);
    place.flow(&["resume", "one", "--update"]).exits(0);
    assert_eq!(ran(&place), ["send"]);
    update(&place);
    assert_eq!(ran(&place), [""; 0]);
}

#[test]
fn an_effect_is_run_again_only_where_that_was_said() {
    let place = effect();
    place.flow(&["resolve", "one", "send", "--not-done"]).exits(0);
    place.flow(&["resume", "one"]).exits(0);
    ran(&place);
    assert_snapshot!(place.flow(&["rerun", "one", "send"]), @"
    exit: 6
    --- stderr
    error: `send` acts on the outside world, and would do so again
    help: if that is what you want: flow rerun one send --allow-effect
    ");
    place.flow(&["rerun", "one", "send", "--allow-effect"]).exits(0);
    assert_eq!(ran(&place), ["send"]);
}

#[test]
fn a_cancelled_run_is_not_updated() {
    let place = Place::with("[nodes.ask]\nstage = \"approve\"\nwith = { message = \"go on?\" }\n");
    place.flow(&["run", "flow.toml", "--run-id", "one", "--no-wait"]).exits(7);
    place.flow(&["cancel", "one"]).exits(0);
    place.flow(&["resume", "one", "--update"]).exits(6);
    place.flow(&["rerun", "one", "ask", "--adopt"]).exits(6);
}

#[test]
fn one_node_alone_runs_with_what_it_needs_and_what_always_runs() {
    let place = Place::with(&format!(
        "{}{}{}",
        items(r#"["a","b"]"#, ""),
        node("aside", "", "true"),
        node("clean", "always = true", "true")
    ));
    place.flow(&["run", "flow.toml", "--run-id", "one", "--only", "next"]).exits(0);
    assert_eq!(ran(&place), ["each0", "each1", "list", "next0", "next1"]);
    edit(&place, r#"["a","b"]"#, r#"["a","c"]"#);
    update(&place);
    assert_eq!(ran(&place), ["each1", "list", "next1"]);
    edit(&place, "[nodes.next", "[nodes.later");
    edit(&place, "next.s", "later.s");
    let done = place.flow(&["resume", "one", "--update"]).exits(6);
    assert!(done.stderr.contains("the run is for `next` alone"), "{done}");
}

#[test]
fn what_always_runs_does_so_at_the_end_of_each_invocation() {
    let place = Place::with(&format!(
        "{}{}",
        node("clean", "always = true", "true"),
        node("work", "outputs.n = \"integer\"", "sleep 0.1; echo 1")
    ));
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    assert_eq!(place.read("ledger"), "work\nclean\n");
    ran(&place);
    edit(&place, "echo 1'", "echo 2'");
    update(&place);
    assert_eq!(place.read("ledger"), "work\nclean\n");
}

#[test]
fn a_fresh_run_takes_nothing_of_other_runs() {
    let place = Place::with(&node("a", "cache = \"forever\"\noutputs.n = \"integer\"", "echo 1"));
    place.flow(&["run", "flow.toml"]).exits(0);
    place.flow(&["run", "flow.toml"]).exits(0);
    assert_eq!(ran(&place), ["a"]);
    place.flow(&["run", "flow.toml", "--fresh"]).exits(0);
    assert_eq!(ran(&place), ["a"]);
}
