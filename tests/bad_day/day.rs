//! One run of the daily pipeline, from its start until nothing is left to do.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flow_core::id::RunId;
use flow_core::run::event::{Event, Recorded};
use flow_core::store::Store as _;
use flow_store::DiskStore;
use serde_json::Value;
use tempfile::TempDir;

use super::count::Cured;
use super::purchase::{Again, Kill};
use super::town::Town;

/// How often a run is taken up again at most.
const RESUMES: usize = 8;

/// What a day is to be like.
pub(crate) struct Wishes {
    pub(crate) seed: u64,
    /// Of 100 requests and encodes, so many fail.
    pub(crate) percent: u64,
    /// How many reels are made.
    pub(crate) reels: u32,
    /// Whether the engine is killed in the middle.
    pub(crate) is_killed: bool,
    /// Where the folders of days that end badly are kept.
    pub(crate) keep: Option<PathBuf>,
}

/// What became of it.
#[derive(Default)]
pub(crate) struct Day {
    pub(crate) took: Duration,
    pub(crate) is_killed: bool,
    pub(crate) invocations: usize,
    /// `succeeded`, `failed`, …
    pub(crate) status: String,
    pub(crate) items: usize,
    /// Items of which every part was made by a service.
    pub(crate) online: usize,
    pub(crate) published: usize,
    pub(crate) cured: Cured,
    /// What was paid for again after its answer had come whole.
    pub(crate) again: Again,
    pub(crate) posted_twice: usize,
    /// Failures that nothing tells of: a run that ends otherwise than it says.
    pub(crate) silent: usize,
    pub(crate) requests: usize,
    pub(crate) troubles: usize,
    /// Why it did not succeed.
    pub(crate) reason: String,
}

impl Day {
    /// Lives the day.
    pub(crate) fn live(wishes: &Wishes) -> Self {
        let folder = TempDir::new().unwrap();
        let day = Self::live_in(folder.path(), wishes);
        if let Some(keep) = wishes.keep.as_ref().filter(|_| !day.succeeded() || day.has_repeated())
        {
            fs::create_dir_all(keep).unwrap();
            let name = format!("seed-{}", wishes.seed);
            Command::new("cp").arg("-r").arg(folder.path()).arg(keep.join(name)).status().unwrap();
        }
        day
    }

    fn live_in(folder: &Path, wishes: &Wishes) -> Self {
        let town = Town::start(wishes.seed, wishes.percent);
        prepare(folder, wishes);
        let begin = Instant::now();
        let Lived { events, shown, invocations, kill } = until_the_end(folder, &town, wishes);
        let took = begin.elapsed();
        let items = items(&shown, "narrate");
        let online = items.iter().filter(|item| is_online(folder, item)).count();
        let empty = Self {
            took,
            is_killed: wishes.is_killed && invocations > 1,
            invocations,
            items: items.len(),
            online,
            cured: Cured::of(&events),
            again: Again::among(town.bought(), kill.as_ref()),
            posted_twice: town.posted_twice(),
            requests: town.requests(),
            troubles: town.troubles(),
            ..Self::default()
        };
        empty.judged(&shown)
    }

    fn judged(self, shown: &Value) -> Self {
        let (items, posts) = (items(shown, "publish"), items(shown, "post"));
        let is_posted = |item: &&Value| {
            let key = format!("webhook/{}", item["key"].as_str().unwrap_or_default());
            posts.iter().any(|post| post["key"] == *key && is_published(post))
        };
        let published = items.iter().filter(|item| is_published(item)).filter(is_posted).count();
        let status = shown["status"].as_str().unwrap_or("none").to_owned();
        // An item that is not published, and of which no node tells why, was lost in silence.
        let told = |item: &&Value| is_published(item) || tells_of(shown, &item["key"]);
        let silent = items.iter().filter(|item| !told(item)).count()
            + usize::from(status != "succeeded" && !tells_why(shown));
        Self { reason: reason(shown), published, silent, status, ..self }
    }

    /// Whether something was done twice.
    fn has_repeated(&self) -> bool {
        !self.again.needlessly.is_empty() || self.posted_twice + self.silent > 0
    }

    /// Whether it ended well: nine of ten items made online, and all of them published.
    pub(crate) fn succeeded(&self) -> bool {
        self.status == "succeeded"
            && self.items > 0
            && self.online * 10 >= self.items * 9
            && self.published == self.items
    }

    /// One line for people.
    pub(crate) fn told(&self) -> String {
        let killed = match self.is_killed {
            true => format!(", killed, {} invocations", self.invocations),
            false => String::new(),
        };
        let verdict = if self.succeeded() { "good" } else { "BAD" };
        let mut line = format!(
            "{verdict:<4}  {}{killed}, {}/{} online, {}/{} published, {} of {} requests in trouble, {:.1} s",
            self.status,
            self.online,
            self.items,
            self.published,
            self.items,
            self.troubles,
            self.requests,
            self.took.as_secs_f64(),
        );
        let again =
            [("paid twice", &self.again.needlessly), ("lost by the kill", &self.again.lost)];
        for (what, services) in again.iter().filter(|(_, services)| !services.is_empty()) {
            line.push_str(&format!(", {what} at {}", services.join(", ")));
        }
        if !self.succeeded() {
            line.push_str(&format!("\n      {}", self.reason));
        }
        line
    }
}

/// The shipped workflow and its data, with attempts for a bad day and an encoder that fails.
fn prepare(folder: &Path, wishes: &Wishes) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows");
    let text = fs::read_to_string(shipped.join("daily.toml")).unwrap();
    let patched = text
        .replace(
            "retry           = { attempts = 2, on",
            "retry           = { attempts = 6, base = \"10ms\", on",
        )
        .replace(
            "captions = \"{{ params.captions }}\", fit",
            "stall_timeout = \"6s\", captions = \"{{ params.captions }}\", fit",
        );
    for changed in ["attempts = 6", "stall_timeout"] {
        assert!(patched.contains(changed), "the shipped workflow has other words: no {changed}");
    }
    fs::create_dir_all(folder.join("work/data")).unwrap();
    fs::write(folder.join("work/daily.toml"), patched).unwrap();
    for entry in fs::read_dir(shipped.join("data")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join("work/data").join(entry.file_name())).unwrap();
    }
    encoder(&folder.join("bin"), wishes);
}

/// An `ffmpeg` that crashes or hangs now and then, and else is the real one.
fn encoder(bin: &Path, wishes: &Wishes) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(bin).unwrap();
    let real = which("ffmpeg");
    let script = format!(
        "#!/bin/sh\n\
         # The number of this call, taken under a lock of the folder.\n\
         n=$(cat {bin}/count 2>/dev/null || echo 0); echo $((n + 1)) > {bin}/count\n\
         draw=$(( 0x$(printf '%s %s' {seed} $n | md5sum | cut -c1-7) % 100 ))\n\
         case \"$*\" in *libx264*)\n\
         if [ $draw -lt {crash} ]; then kill -SEGV $$; fi\n\
         if [ $draw -lt {hang} ]; then exec sleep 600; fi;;\n\
         esac\n\
         exec {real} \"$@\"\n",
        bin = bin.display(),
        seed = wishes.seed % 100_000,
        crash = wishes.percent * 2 / 3,
        hang = wishes.percent,
        real = real.display(),
    );
    let path = bin.join("ffmpeg");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program));
    found.into_iter().find(|path| path.is_file()).unwrap_or_else(|| panic!("{program} is missing"))
}

/// A run until its end.
#[derive(Default)]
struct Lived {
    /// All events.
    events: Vec<Value>,
    /// The run as it is shown in the end.
    shown: Value,
    invocations: usize,
    /// How things stood when it was killed, if it was.
    kill: Option<Kill>,
}

/// Runs and resumes until the run has ended.
fn until_the_end(folder: &Path, town: &Town, wishes: &Wishes) -> Lived {
    let mut lived = Lived::default();
    while lived.invocations < RESUMES {
        lived.invocations += 1;
        let is_first = lived.invocations == 1;
        lived.events.extend(invoke(folder, town, wishes, is_first));
        lived.shown = show(folder);
        let status = lived.shown["status"].as_str();
        if !matches!(status, Some("interrupted" | "running") | None) {
            break;
        }
        if is_first {
            lived.kill = Some(Kill { asked: town.asked(), recorded: recorded(folder) });
        }
    }
    lived
}

/// The names of what the run has recorded of its purchases.
fn recorded(folder: &Path) -> HashSet<String> {
    let Ok(store) = DiskStore::open(&folder.join("store")) else { return HashSet::new() };
    let records = store.read_run(&RunId::new("day").unwrap()).unwrap_or_default();
    let name = |record: Recorded| match record.event {
        Event::Remembered { name, .. } => Some(name),
        _ => None,
    };
    records.into_iter().filter_map(name).collect()
}

/// The engine is killed so many milliseconds after so many events.
fn kill_after(seed: u64) -> (usize, Duration) {
    (3 + (seed * 7919 % 45) as usize, Duration::from_millis(seed * 104_729 % 400))
}

fn flow(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
    let path = std::env::var("PATH").unwrap();
    command
        .current_dir(folder.join("work"))
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .env("FLOW_STORE", folder.join("store"))
        .stdin(Stdio::null());
    command
}

/// Gives the events of one invocation.
fn invoke(folder: &Path, town: &Town, wishes: &Wishes, is_first: bool) -> Vec<Value> {
    let mut command = flow(folder);
    if is_first {
        command.args(["run", "daily.toml", "--run-id", "day", "--json"]);
        command.args(["--param", "size=270x480", "--param", "captions=false"]);
        command.arg("--param").arg(format!("count={}", wishes.reels));
        command.args(["--param", "outbox=outbox"]);
        command.arg("--param").arg(format!("services={}", town.services()));
        for (name, value) in town.params() {
            command.arg("--param").arg(format!("{name}={value}"));
        }
    } else {
        command.args(["resume", "day", "--json"]);
    }
    command.envs(town.keys());
    let stderr = fs::File::create(folder.join("stderr")).unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
    let kill = (is_first && wishes.is_killed).then(|| kill_after(wishes.seed));
    let mut events = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // A kill may cut the last line.
        let Ok(event) = serde_json::from_str::<Value>(&line.unwrap()) else { continue };
        if event.get("event").is_some() {
            events.push(event);
        }
        if let Some((_, delay)) = kill.filter(|(count, _)| *count == events.len()) {
            std::thread::sleep(delay);
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    events
}

fn show(folder: &Path) -> Value {
    let output = flow(folder).args(["show", "day", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn output(folder: &Path, target: &str) -> Value {
    let output = flow(folder).args(["output", "day", target]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn node<'a>(shown: &'a Value, name: &str) -> Option<&'a Value> {
    shown["nodes"].as_array()?.iter().find(|node| node["id"] == name)
}

fn items(shown: &Value, name: &str) -> Vec<Value> {
    node(shown, name).and_then(|node| node["items"].as_array()).cloned().unwrap_or_default()
}

/// Whether every part of an item was made by a service: its game, its words, its voice, its pictures.
fn is_online(folder: &Path, item: &Value) -> bool {
    let key = item["key"].as_str().unwrap_or_default();
    let idea = output(folder, "ideas.ideas");
    let idea = idea.as_array().into_iter().flatten().find(|idea| idea["idea_id"] == *key);
    let idea = idea.cloned().unwrap_or_default();
    let slate = output(folder, "slate.slate");
    let games = slate["matchups"].as_array().into_iter().flatten();
    let mut sources = games.filter(|game| game["matchup_id"] == idea["matchup_id"]);
    let source = sources.next().map_or(Value::Null, |game| game["source"].clone());
    let voice = output(folder, &format!("narrate[{key}].audio"))["provider"].clone();
    let package = output(folder, &format!("slides[{key}].package"));
    let assets = package["assets"].as_array().cloned().unwrap_or_default();
    let mut makers: Vec<Value> = assets.iter().map(|asset| asset["provider"].clone()).collect();
    makers.extend([source, idea["provider"].clone(), voice]);
    !assets.is_empty() && makers.iter().all(is_service)
}

/// Whether a provider is not one of those that work on this machine.
fn is_service(name: &Value) -> bool {
    name.as_str()
        .is_some_and(|name| !matches!(name, "recorded" | "templates" | "espeak-ng" | "local"))
}

fn is_published(item: &Value) -> bool {
    item["status"] == "succeeded"
}

fn tells_why(shown: &Value) -> bool {
    let nodes = shown["nodes"].as_array().into_iter().flatten();
    !shown["error"].is_null() || nodes.into_iter().any(|node| !node["error"].is_null())
}

/// Whether some node has an error for an item.
fn tells_of(shown: &Value, key: &Value) -> bool {
    let nodes = shown["nodes"].as_array().into_iter().flatten();
    let mut items = nodes.filter_map(|node| node["items"].as_array()).flatten();
    items.any(|item| item["key"] == *key && !item["error"].is_null())
}

/// The first errors of a run.
fn reason(shown: &Value) -> String {
    let nodes = shown["nodes"].as_array().into_iter().flatten();
    let error = |value: &Value| {
        let error = &value["error"];
        (!error.is_null())
            .then(|| format!("{}: {} {}", error["class"], error["message"], error["causes"]))
    };
    let of = |node: &Value| -> Vec<String> {
        let items = node["items"].as_array().cloned().unwrap_or_default();
        let all = std::iter::once(node).chain(&items).filter_map(error);
        all.map(|text| format!("{}: {text}", node["id"])).collect()
    };
    nodes.flat_map(of).take(4).collect::<Vec<_>>().join("\n      ")
}
