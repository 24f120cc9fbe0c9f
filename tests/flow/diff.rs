//! What `diff` tells of two runs: JSON by place, texts by line, pictures, sound and videos as they are
//! seen and heard.

use insta::assert_snapshot;
use serde_json::Value;

use super::harness::Place;
use super::why::{base, edit, run, run_with};

#[test]
fn runs_of_the_same_are_the_same() {
    let place = base();
    run(&place, "one");
    run(&place, "two");
    let done = place.flow(&["diff", "one", "two"]).exits(0);
    assert_snapshot!(done, @"
    exit: 0
    --- stdout
    run one (just now) → run two (just now)
      workflow  test

    all 7 tasks are the same
    ");
    assert_eq!(place.flow(&["diff", "one", "two", "--json"]).exits(0).json()["same"], true);
}

#[test]
fn a_difference_is_followed_from_where_it_began_to_where_it_healed() {
    let place = base();
    run(&place, "one");
    edit(&place, "19:00", "19:30");
    place.write("tool.sh", "echo tool\n# a comment\n");
    run_with(&place, "two", &["--param", "word=x"]);
    assert_snapshot!(place.flow(&["diff", "one", "two"]).exits(1), @r#"
    exit: 1
    --- stdout
    run one (just now) → run two (just now)
      workflow  test, and its file has changed
      param  /word: "w" → "x"

    ✱ slate began here
        with  /shell: …":\"b\",\"at\":\"19:00\"}]' " → …":\"b\",\"at\":\"19:30\"}]' "
        → games  /1/at: "19:00" → "19:30"
    ✔ pick healed here: its inputs differ, and the same came of them
    ✱ shout began here, and the same came of it
        uses tool.sh  e20c29c31dda → d641b8111027
    ✱ said began here
        with  /argv/1: "w" → "x"
        → text  the whole: "w" → "x"
    ↳ each[b] followed
        → at  the whole: "19:00" → "19:30"

    5 tasks differ: 3 began, 1 followed, 1 healed; 2 the same
    "#);
    let found = place.flow(&["diff", "one", "two", "--json"]).exits(1).json();
    let tasks: Vec<String> = found["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| {
            format!("{} {}", task["node"].as_str().unwrap(), task["divergence"].as_str().unwrap())
        })
        .collect();
    assert_eq!(tasks, ["slate began", "pick healed", "shout began", "said began", "each followed"]);
}

#[test]
fn texts_files_and_folders_are_compared_as_what_they_are() {
    let place = Place::with(
        r#"
[params]
word = { type = "string", default = "one" }
[nodes.files]
stage = "command"
with.shell = '''mkdir -p $FLOW_OUTPUTS/folder/in; echo {{ params.word }} > $FLOW_OUTPUTS/folder/in/a.txt
echo same > $FLOW_OUTPUTS/folder/b.txt; printf 'first\n%s\nlast\n' {{ params.word }} > $FLOW_OUTPUTS/text'''
outputs = { folder = "dir", text = "file<text/plain>" }
"#,
    );
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    place.flow(&["run", "flow.toml", "--run-id", "two", "--param", "word=three"]).exits(0);
    assert_snapshot!(place.flow(&["diff", "one", "two"]).exits(1), @r#"
    exit: 1
    --- stdout
    run one (just now) → run two (just now)
      workflow  test
      param  /word: "one" → "three"

    ✱ files began here
        with  /shell: …UTS/folder/in; echo one > $FLOW_OUTPUTS/folder/in/a.txt\nech… → …UTS/folder/in; echo three > $FLOW_OUTPUTS/folder/in/a.txt\ne…
        → folder  folder (9 B, ac26ea82d3cf) → folder (11 B, 471fa75fded5)
                         in/a.txt changed, 4 B → 6 B
        → text  text (15 B, 864e07f3e8b4) → text (17 B, eed63822f8c9)
                       1 line gone, 1 line new
                         - one
                         + three

    1 task differs: 1 began; 0 the same
    "#);
}

#[test]
fn other_workflows_and_nodes_of_one_run_alone_are_told() {
    let place = base();
    run(&place, "one");
    edit(&place, "name = \"test\"", "name = \"other\"");
    edit(&place, "[nodes.said]", "[nodes.told]");
    run(&place, "two");
    assert_snapshot!(place.flow(&["diff", "one", "two"]).exits(1), @"
    exit: 1
    --- stdout
    run one (just now) → run two (just now)
      workflow  test → other
      node  said is only in run one
      node  told is only in run two

    + told is new
    - said is gone

    2 tasks differ: 2 in one run alone; 6 the same
    ");
}

#[test]
fn pictures_sound_and_videos_are_compared_as_they_are_seen_and_heard() {
    let place = Place::with(
        r#"
[params]
seconds = { type = "integer", default = 1 }
color = { type = "string", default = "red" }
[nodes.media]
stage = "command"
with.env = { S = "{{ params.seconds }}", C = "{{ params.color }}" }
with.shell = '''
ffmpeg -v error -f lavfi -i "sine=d=$S" $FLOW_OUTPUTS/sound.wav
ffmpeg -v error -f lavfi -i "color=c=$C:s=64x48" -frames:v 1 $FLOW_OUTPUTS/picture.png
ffmpeg -v error -f lavfi -i "color=c=$C:s=64x48:d=$S:r=10" -c:v mpeg4 $FLOW_OUTPUTS/film.mp4'''
outputs.sound = { type = "file<audio/wav>", path = "sound.wav" }
outputs.picture = { type = "file<image/png>", path = "picture.png" }
outputs.film = { type = "file<video/mp4>", path = "film.mp4" }
"#,
    );
    edit(&place, "$FLOW_OUTPUTS/", "");
    place.flow(&["run", "flow.toml", "--run-id", "one"]).exits(0);
    let args = ["--param", "seconds=2", "--param", "color=blue"];
    place.flow(&[&["run", "flow.toml", "--run-id", "two"], &args[..]].concat()).exits(0);
    let found = place.flow(&["diff", "one", "two", "--json"]).exits(1).json();
    let ports = found["tasks"][0]["ports"].as_array().unwrap();
    let how = |port: &str| &ports.iter().find(|one| one["port"] == port).unwrap()["how"];
    let number = |value: &Value| value.as_f64().unwrap();
    assert_eq!(how("picture")["kind"], "image");
    assert!(number(&how("picture")["distance"]) > 0.2, "{found}");
    assert_eq!(how("sound")["kind"], "audio");
    assert!((number(&how("sound")["seconds"][1]) - 2.0).abs() < 0.1, "{found}");
    assert!(number(&how("sound")["loudness_lufs"][0]) < 0.0, "{found}");
    assert_eq!(how("film")["kind"], "video");
    assert_eq!(how("film")["frames"].as_array().unwrap().len(), 5);
    assert!(
        how("film")["frames"]
            .as_array()
            .unwrap()
            .iter()
            .all(|frame| number(&frame["distance"]) > 0.2)
    );
    assert!(how("film")["loudness_lufs"][0].is_null());
}
