//! `flow init`: a starter project that runs.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::args::InitArgs;
use crate::failure::{Exit, Failure};
use crate::report::text::command_line;
use crate::session::{STORE_NAME, Session};

/// The starter workflow.
const WORKFLOW: &str = include_str!("init/workflow.toml");
const WORKFLOW_NAME: &str = "workflow.toml";
const IGNORE_NAME: &str = ".gitignore";

pub(crate) fn run(args: &InitArgs, env: &Session) -> Result<Exit, Failure> {
    let dir = args.dir.as_deref().unwrap_or(Path::new(""));
    let workflow = dir.join(WORKFLOW_NAME);
    if workflow.symlink_metadata().is_ok() {
        return Err(Failure::state(
            format!("{} is there already, and nothing was changed", workflow.display()),
            "name another folder: flow init DIR",
        ));
    }
    if dir != Path::new("") {
        std::fs::create_dir_all(dir).map_err(failed(dir))?;
    }
    let written = create(&workflow, WORKFLOW.as_bytes());
    written.map_err(failed(&workflow))?;
    let ignore = dir.join(IGNORE_NAME);
    let entry = format!("{STORE_NAME}/");
    let is_new = add_line(&ignore, &entry).map_err(failed(&ignore))?;
    let store = env.create_store_in(dir)?;
    let mut made = vec![workflow];
    made.extend(is_new.then_some(ignore));
    made.push(store);
    tell(env, dir, &made);
    Ok(Exit::SUCCEEDED)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::Write { path, source }
}

/// Writes a file that must not be there.
fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content)
}

/// Makes sure that a file has a line; whether it had to be added. What else is in it stays.
fn add_line(path: &Path, line: &str) -> io::Result<bool> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let is_there = |known: &str| matches!(known.trim(), known if known.trim_matches('/') == line.trim_matches('/'));
    if text.lines().any(is_there) {
        return Ok(false);
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let start = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{start}{line}\n").as_bytes())?;
    Ok(true)
}

/// Tells what was made, and what to type next.
fn tell(env: &Session, dir: &Path, made: &[PathBuf]) {
    let is_here = dir == Path::new("") || dir == Path::new(".");
    let enter = (!is_here).then(|| command_line(&["cd", &dir.display().to_string()]));
    let next: Vec<String> = enter
        .into_iter()
        .chain([
            env.command(&["validate", WORKFLOW_NAME]),
            env.command(&["run", WORKFLOW_NAME]),
            env.command(&["show", "latest"]),
        ])
        .collect();
    let made: Vec<String> = made.iter().map(|path| path.display().to_string()).collect();
    if env.json {
        env.out.line(&json!({ "made": made, "next": next }).to_string());
        return;
    }
    env.out.line(&format!("made {}", made.join(", ")));
    env.out.line("next:");
    for command in next {
        env.out.line(&format!("  {command}"));
    }
}
