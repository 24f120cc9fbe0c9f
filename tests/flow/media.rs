//! The shipped workflows, small and short, with the real programs and with an encoder that fails.

use std::path::PathBuf;

use serde_json::Value;

use super::harness::{Done, Place, wait_until};

/// A shipped workflow in `w/`, so that its outbox is in the place, with more lines at its end.
fn shipped(name: &str, more: &str) -> Place {
    let place = Place::new();
    let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("workflows");
    std::fs::create_dir_all(place.path("w/data")).unwrap();
    std::fs::copy(shipped.join("data/slate.json"), place.path("w/data/slate.json")).unwrap();
    let text = std::fs::read_to_string(shipped.join(name)).unwrap();
    place.write("w/flow.toml", &format!("{text}\n{more}"));
    place
}

/// An encoder in `[tools]` that does what a script says before an encode, and is the real one for
/// all else. In it `$first` tells inputs apart, and `$place` is the folder of the test.
fn with_encoder(name: &str, body: &str) -> Place {
    let place = shipped(name, "[tools]\nffmpeg = \"../encoder\"\n");
    let here = place.path("").display().to_string();
    let script = format!(
        "#!/bin/sh\nplace={here}\n\
         case \"$*\" in *'-f mp4'*) ;; *) exec ffmpeg \"$@\";; esac\n\
         prev=; files=\n\
         for arg; do [ \"$prev\" = -i ] && files=\"$files $arg\"; prev=$arg; done\n\
         first=$(cat $files | cksum)\n\
         for last; do :; done\n{body}\nexec ffmpeg \"$@\"\n"
    );
    place.write("encoder", &script);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.path("encoder"), mode).unwrap();
    place
}

/// Runs the workflow with parameters that make it quick.
fn run(place: &Place, params: &[&str]) -> Done {
    place.flow(&args(params))
}

fn args<'a>(params: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["run", "w/flow.toml"];
    params.iter().for_each(|param| args.extend(["--param", param]));
    args
}

const QUICK: [&str; 2] = ["size=90x160", "slide=300ms"];

/// A node of a run as `show` tells it.
fn node(place: &Place, name: &str) -> Value {
    let shown = place.show("latest");
    let nodes = shown["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["id"] == name).unwrap().clone()
}

fn items_with(node: &Value, status: &str) -> Vec<Value> {
    let items = node["items"].as_array().unwrap();
    items.iter().filter(|item| item["status"] == status).cloned().collect()
}

/// The pieces in the outbox; each is whole, and nothing else is there.
fn pieces(place: &Place) -> Vec<String> {
    let mut names = Vec::new();
    for day in std::fs::read_dir(place.path("outbox")).into_iter().flatten() {
        for piece in std::fs::read_dir(day.unwrap().path()).unwrap() {
            let piece = piece.unwrap().path();
            let name = piece.file_name().unwrap().to_str().unwrap().to_owned();
            if name.starts_with('.') {
                continue;
            }
            for file in ["reel.mp4", "caption.txt", "manifest.json"] {
                assert!(piece.join(file).is_file(), "{name} has no {file}");
            }
            let reel = piece.join("reel.mp4");
            let probe = std::process::Command::new("ffmpeg")
                .args(["-v", "error", "-xerror", "-i", reel.to_str().unwrap(), "-f", "null", "-"])
                .status();
            assert!(probe.unwrap().success(), "{name} does not play");
            names.push(name);
        }
    }
    names.sort();
    names
}

/// Paths below folders whose names end like an unfinished video. The store keeps what a killed
/// attempt was working in, where nobody looks for videos.
fn parts(place: &Place, below: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = below.iter().map(|folder| place.path(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "part") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn one_broken_reel_of_eleven_leaves_ten_published_and_is_named_and_made_again_alone() {
    let place = with_encoder(
        "carousel.toml",
        "if [ ! -e $place/mended ]; then\n\
           mkdir $place/lock 2>/dev/null && echo \"$first\" > $place/broken\n\
           while [ ! -s $place/broken ]; do sleep 0.01; done\n\
           if [ \"$first\" = \"$(cat $place/broken)\" ]; then printf part > \"$last\"; echo 'no luck' >&2; exit 1; fi\n\
         fi",
    );
    let done = run(&place, &QUICK).exits(0);
    let assemble = node(&place, "assemble");
    let failed = items_with(&assemble, "failed");
    assert_eq!((items_with(&assemble, "succeeded").len(), failed.len()), (10, 1));
    let (key, error) = (failed[0]["key"].as_str().unwrap(), &failed[0]["error"]);
    assert_eq!((&error["kind"], &error["class"]), (&"ffmpeg".into(), &"process".into()));
    assert_eq!(error["exit_code"], 1);
    assert!(error["stderr_tail"].as_str().unwrap().contains("no luck"));
    assert!(error["hint"].is_string() && failed[0]["attempts"] == 2);
    assert!(done.stderr.contains(&format!("assemble[{key}]")), "{done}");
    let posted = pieces(&place);
    assert_eq!(posted.len(), 10);
    assert!(!posted.iter().any(|name| name == key));
    assert_eq!(parts(&place, &["w", "outbox", ".flow"]), Vec::<PathBuf>::new());

    place.write("mended", "");
    let again = place.flow(&["rerun", "latest", &format!("assemble[{key}]"), "--json"]).exits(0);
    assert_eq!(again.json()["status"], "succeeded", "{again}");
    assert_eq!(again.json()["item"], key);
}

#[test]
fn a_kill_in_the_middle_of_encodes_leaves_nothing_half_done_and_a_resume_does_the_rest() {
    let place = with_encoder(
        "carousel.toml",
        "echo \"$first\" >> $place/ledger\n\
         if [ ! -e $place/go ] && [ $(wc -l < $place/ledger) -gt 3 ]; then\n\
           printf part > \"$last\"; echo x >> $place/stuck; exec sleep 600\n\
         fi",
    );
    let encodes = || place.read("ledger").lines().count();
    let mut params = args(&[QUICK[0], QUICK[1], "count=6"]);
    params.extend(["--max-parallel", "2"]);
    let mut flow = place.start(&params);
    place.wait_for("stuck");
    wait_until("both slots encode in vain", || place.read("stuck").lines().count() == 2);
    flow.kill().unwrap();
    flow.wait().unwrap();
    let done = items_with(&node(&place, "assemble"), "succeeded").len();
    let (before, published) = (encodes(), pieces(&place));
    assert!(done >= 1 && published.len() <= done, "{done} encoded, {published:?} published");
    place.write("go", "");
    place.flow(&["resume", "latest"]).exits(0);
    assert_eq!(encodes() - before, 6 - done, "only what was not done is encoded");
    assert_eq!(pieces(&place).len(), 6);
    assert_eq!(parts(&place, &["w", "outbox", ".flow/objects"]), Vec::<PathBuf>::new());
}

#[test]
fn the_daily_reels_are_spoken_captioned_and_as_loud_as_platforms_want() {
    let place = shipped("daily.toml", "");
    run(&place, &["size=270x480", "count=2"]).exits(0);
    assert_eq!(pieces(&place).len(), 2);
    for item in items_with(&node(&place, "assemble"), "succeeded") {
        let result = place.flow(&[
            "output",
            "latest",
            &format!("assemble[{}].result", item["key"].as_str().unwrap()),
        ]);
        let result = result.exits(0).json();
        let output = &result["outputs"][0];
        let lufs = output["loudness_lufs"].as_f64().unwrap();
        assert!((lufs + 14.0).abs() <= 1.0, "{lufs} LUFS");
        assert_eq!(result["warnings"], Value::Array(Vec::new()));
        assert!(result["argv"].to_string().contains("subtitles=filename=captions.ass"));
        let seconds = output["duration_ms"].as_u64().unwrap() / 1000;
        assert!((15..=25).contains(&seconds), "{seconds} s");
    }
}

#[test]
fn an_encoder_that_fails_once_is_tried_again_with_safe_settings() {
    let place = with_encoder(
        "carousel.toml",
        "mkdir $place/lock 2>/dev/null && { echo 'Error' >&2; exit 187; }",
    );
    run(&place, &[QUICK[0], QUICK[1], "count=1"]).exits(0);
    let assemble = node(&place, "assemble");
    assert_eq!(assemble["items"][0]["attempts"], 2);
    let result = place.flow(&["output", "latest", "assemble.result"]).exits(0).json();
    assert_eq!(result[0]["warnings"][0], "encoded with safe settings: no zoom");
    assert_eq!(pieces(&place).len(), 1);
}

#[test]
fn an_encoder_that_stands_still_is_ended_and_says_so() {
    let place = with_encoder("carousel.toml", "printf part > \"$last\"; exec sleep 600");
    let text = place.read("w/flow.toml");
    let impatient = text.replace(
        "with            = { slide",
        "with            = { stall_timeout = \"300ms\", slide",
    );
    assert_ne!(text, impatient);
    place.write("w/flow.toml", &impatient);
    let done = run(&place, &[QUICK[0], QUICK[1], "count=1"]).exits(1);
    assert!(done.stderr.contains("ffmpeg made no progress for 300ms"), "{done}");
    let error = &node(&place, "assemble")["items"][0]["error"];
    assert_eq!((&error["class"], &error["kind"]), (&"timeout".into(), &"ffmpeg".into()));
    assert_eq!(pieces(&place), Vec::<String>::new());
    assert_eq!(parts(&place, &["w", "outbox", ".flow"]), Vec::<PathBuf>::new());
}

/// Runs a shell script with a small disk mounted at `disk`, where this machine lets one mount.
fn on_a_small_disk(place: &Place, size: &str, script: &str) -> Option<Done> {
    std::fs::create_dir(place.path("disk")).unwrap();
    let mount = format!("mount -t tmpfs -o size={size} tmpfs disk");
    let unshared = |script: String| {
        let mut command = std::process::Command::new("unshare");
        command.args(["-Urm", "sh", "-c", &script]).current_dir(place.path(""));
        command.env("FLOW", env!("CARGO_BIN_EXE_flow"));
        command
    };
    let able = unshared(mount.clone()).output().is_ok_and(|output| output.status.success());
    able.then(|| place.finish(unshared(format!("{mount} && {script}"))))
}

#[test]
fn a_disk_that_fills_while_it_encodes_ends_the_item_at_once_and_leaves_the_space() {
    let place = with_encoder("carousel.toml", "yes | head -c 600000000 > \"$last\"; exit 1");
    let script = "$FLOW --store disk/s run w/flow.toml --param count=1 --param size=90x160 \
                  --param slide=300ms; $FLOW --store disk/s show latest --json";
    let Some(done) = on_a_small_disk(&place, "300m", script) else { return };
    let shown: Value = serde_json::from_str(done.stdout.trim()).unwrap();
    let nodes = shown["nodes"].as_array().unwrap();
    let assemble = nodes.iter().find(|node| node["id"] == "assemble").unwrap();
    let (item, error) = (&assemble["items"][0], &assemble["items"][0]["error"]);
    assert_eq!(
        (&error["class"], &error["kind"]),
        (&"disk_full".into(), &"ffmpeg".into()),
        "{done}"
    );
    assert_eq!(item["attempts"], 1, "no second attempt finds more room");
    assert!(error["hint"].as_str().unwrap().contains("free some disk space"), "{done}");
}

#[test]
fn a_disk_with_too_little_room_is_told_before_anything_runs() {
    let place = shipped("carousel.toml", "");
    let Some(done) = on_a_small_disk(&place, "9m", "$FLOW --store disk/s run w/flow.toml") else {
        return;
    };
    let done = done.exits(1);
    assert!(done.stderr.contains("disk space: 9 MB are free at"), "{done}");
    assert!(done.stderr.contains("--store DIR"), "{done}");
}

#[test]
fn the_mashup_makes_its_own_clips_and_posts_under_its_name() {
    let place = shipped("mashup.toml", "");
    run(&place, &["size=270x480", "max_clip=1s"]).exits(0);
    assert_eq!(pieces(&place), ["mashup"]);
    let result = place.flow(&["output", "latest", "mashup.result"]).exits(0).json();
    assert_eq!(result["outputs"][0]["duration_ms"], 3_000);
    run(&place, &["size=270x480", "max_clip=1s"]).exits(0);
    assert_eq!(node(&place, "publish")["outputs"]["receipt"]["value"]["status"], "unchanged");
}

#[test]
fn the_mashup_names_the_clip_that_is_cut_short_and_a_folder_without_clips() {
    let place = shipped("mashup.toml", "");
    std::fs::create_dir(place.path("w/mine")).unwrap();
    let done = run(&place, &["size=270x480", "folder=mine"]).exits(1);
    assert!(done.stderr.contains("there is no .mp4, .mov or .webm file in mine"), "{done}");
    for (name, keep) in [("a clip.mp4", 100), ("b.mp4", 60)] {
        let path = place.path("w/mine").join(name);
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x120:d=1"])
            .args(["-movflags", "+faststart", path.to_str().unwrap()])
            .status();
        assert!(made.unwrap().success());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() * keep / 100]).unwrap();
    }
    let done = run(&place, &["size=270x480", "folder=mine"]).exits(1);
    assert!(done.stderr.contains("clip 2 (b.mp4) is broken"), "{done}");
    let error = &node(&place, "mashup")["error"];
    assert_eq!((&error["class"], &error["kind"]), (&"validation".into(), &"ffmpeg".into()));
    assert_eq!((&error["port"], &error["pointer"]), (&"clips".into(), &"/1".into()));
}

#[test]
fn everything_that_the_machine_lacks_is_told_at_once_before_anything_runs() {
    let place =
        shipped("daily.toml", "[tools]\nffmpeg = \"../poor\"\nffprobe = \"/no/such/ffprobe\"\n");
    place.write("poor", "#!/bin/sh\n[ \"$2\" = -filters ] && echo ' ... scale V->V x'\nexit 0\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.path("poor"), mode).unwrap();
    let text = place.read("w/flow.toml");
    let strange = text
        .replace("captions = \"{{ params.captions }}\"", "captions = true, font = [\"Intre\"]")
        .replace("[nodes.narrate.with]\n", "[nodes.narrate.with]\nvoice = \"qqq\"\n");
    place.write("w/flow.toml", &strange);
    let done = run(&place, &[]).exits(1);
    for lacks in [
        "ffprobe (needed by assemble)",
        "encoder `libx264` of ffmpeg (needed by assemble)",
        "encoder `aac` of ffmpeg",
        "filter `loudnorm` of ffmpeg (needed by narrate)",
        "filter `subtitles` of ffmpeg",
        "filter `zoompan` of ffmpeg",
        "voice `qqq` of espeak-ng (needed by narrate)",
        "font of the family Intre (needed by assemble)",
        "apt-get install",
        "brew install",
    ] {
        assert!(done.stderr.contains(lacks), "{lacks} is not told:\n{done}");
    }
    assert!(!place.path(".flow").exists(), "something was begun");
}
