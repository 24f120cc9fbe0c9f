//! What an attempt runs and sees, as words: for the shell's greeting, for `--print`, and as a script
//! that runs the command again.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flow_core::run::event::TaskRef;
use flow_core::stage::Job;
use flow_stages::process::{self, Stdin};
use serde_json::{Value, json};

use crate::report::human::name;
use crate::report::style::Paint;
use crate::report::text::{clean, command_line};

/// An attempt that is laid out. What stands for secrets is in it, their values are not.
pub(super) struct Script {
    pub(super) run: String,
    pub(super) task: TaskRef,
    pub(super) attempt: u32,
    pub(super) stage: &'static str,
    pub(super) folder: PathBuf,
    /// What it runs, if it runs a program that the workflow names.
    pub(super) command: Option<Command>,
    /// The rendered `with` of a stage that does not.
    pub(super) settings: Option<Value>,
    /// Variables on top of the environment.
    pub(super) env: Vec<(OsString, OsString)>,
    /// Those of them with a secret in it.
    pub(super) secret: Vec<SecretVariable>,
    /// Variables of the environment that the attempt does not get.
    pub(super) withheld: Vec<String>,
}

/// A variable with a secret in it.
pub(super) struct SecretVariable {
    pub(super) name: OsString,
    /// The secrets that it may have.
    pub(super) secrets: Vec<String>,
    /// Whether all of them have a value here.
    pub(super) is_set: bool,
}

/// A program with its arguments and input.
pub(super) struct Command {
    pub(super) argv: Vec<String>,
    pub(super) stdin: Input,
}

/// What a program reads.
pub(super) enum Input {
    Nothing,
    Bytes(Vec<u8>),
    File(String),
}

impl Command {
    pub(super) fn of(command: &process::Command, job: &Job) -> Self {
        let program = command.program.to_string_lossy().into_owned();
        let args = command.args.iter().map(|arg| arg.to_string_lossy().into_owned());
        let path = || job.config.pointer("/stdin/path").and_then(Value::as_str).unwrap_or_default();
        let stdin = match &command.stdin {
            Stdin::Empty => Input::Nothing,
            Stdin::Bytes(bytes) => Input::Bytes(bytes.to_vec()),
            Stdin::File(_) => Input::File(path().to_owned()),
        };
        Self { argv: std::iter::once(program).chain(args).collect(), stdin }
    }

    /// The command line, with its input if that is a file.
    fn line(&self, input: Option<&Path>) -> String {
        let from = match (&self.stdin, input) {
            (Input::Nothing, _) => " < /dev/null".to_owned(),
            (Input::File(path), _) => format!(" < {}", command_line(&[path])),
            (Input::Bytes(_), Some(path)) => {
                format!(" < {}", command_line(&[path.to_string_lossy()]))
            }
            (Input::Bytes(bytes), None) => {
                format!(" # reads {} bytes from standard input", bytes.len())
            }
        };
        format!("{}{from}", command_line(&self.argv))
    }
}

/// The file with the rendered `with`, in the working folder.
const SETTINGS: &str = "with.json";

impl Script {
    fn title(&self) -> String {
        format!("{} of run {}, attempt {}", name(&self.task), self.run, self.attempt)
    }

    /// Writes what is to be had beside the inputs: the command as a script, or the settings. Gives
    /// the script.
    pub(super) fn write(&self, side: &Path) -> io::Result<Option<PathBuf>> {
        if let Some(settings) = &self.settings {
            std::fs::write(self.folder.join(SETTINGS), serde_json::to_vec_pretty(settings)?)?;
        }
        let Some(command) = &self.command else { return Ok(None) };
        let input = side.join("stdin");
        if let Input::Bytes(bytes) = &command.stdin {
            std::fs::write(&input, bytes)?;
        }
        let script = side.join("command");
        let (folder, line) =
            (command_line(&[self.folder.to_string_lossy()]), command.line(Some(&input)));
        std::fs::write(&script, format!("#!/bin/sh\ncd {folder} || exit\nexec {line}\n"))?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        Ok(Some(script))
    }

    /// What a person is told when the shell begins.
    pub(super) fn welcome(&self, script: Option<&Path>, keeps: bool, paint: Paint) -> String {
        let mut out = format!("{}\n", paint.strong(&format!("in the place of {}", self.title())));
        let mut row = |label: &str, text: &str| {
            out.push_str(&format!("  {} {text}\n", paint.dim(&format!("{label:<9}"))));
        };
        row("folder", &clean(&self.folder.to_string_lossy()));
        if let Some(command) = &self.command {
            row("command", &command.line(None));
        } else {
            row(
                "stage",
                &format!("{} is no program: its inputs are files in inputs/,", self.stage),
            );
            row("", &format!("its settings are in {SETTINGS}"));
        }
        if let Some(script) = script {
            row("run it", &clean(&command_line(&[script.to_string_lossy()])));
        }
        for variable in &self.secret {
            let (name, secrets) = (variable.name.to_string_lossy(), variable.secrets.join(", "));
            match variable.is_set {
                true => row("secret", &format!("{name} is set from {secrets}")),
                false => row("secret", &format!("{name} is not set: {secrets} has no value here")),
            }
        }
        let after = if keeps { "the folder is kept" } else { "the folder is removed then" };
        row("leave", &format!("exit; {after}"));
        out
    }

    /// All of it as a script, with secrets by name alone.
    pub(super) fn text(&self, keeps: bool) -> String {
        let mut out = format!("# {}, stage {}\n", self.title(), self.stage);
        if !keeps {
            out.push_str("# the folder is not kept: add --keep to look at it\n");
        }
        out.push_str(&format!("cd {}\n", command_line(&[self.folder.to_string_lossy()])));
        for name in &self.withheld {
            out.push_str(&format!("unset {name}\n"));
        }
        for (name, value) in &self.env {
            let line = match self.secret.iter().find(|secret| secret.name == *name) {
                Some(secret) => {
                    format!("# {} has {}: set it yourself", name.to_string_lossy(), told(secret))
                }
                None => format!(
                    "export {}={}",
                    name.to_string_lossy(),
                    command_line(&[value.to_string_lossy()])
                ),
            };
            out.push_str(&format!("{line}\n"));
        }
        match (&self.command, &self.settings) {
            (Some(command), _) => out.push_str(&format!("{}\n", command.line(None))),
            (None, settings) => {
                let settings = settings.as_ref().map(ToString::to_string).unwrap_or_default();
                out.push_str(&format!(
                    "# {} is no program; its settings:\n# {settings}\n",
                    self.stage
                ));
            }
        }
        out
    }

    /// All of it for programs.
    pub(super) fn json(&self) -> Value {
        let is_secret = |name: &OsString| self.secret.iter().any(|secret| secret.name == *name);
        let env = self.env.iter().filter(|(name, _)| !is_secret(name));
        let env = env.map(|(name, value)| (name.to_string_lossy(), value.to_string_lossy()));
        let secret = self.secret.iter().map(|s| (s.name.to_string_lossy(), &s.secrets));
        let input = self.command.as_ref().map(|command| match &command.stdin {
            Input::Nothing => Value::Null,
            Input::Bytes(bytes) => json!(String::from_utf8_lossy(bytes)),
            Input::File(path) => json!({ "path": path }),
        });
        json!({
            "run": self.run,
            "node": self.task.node,
            "item": self.task.item.as_ref().map(|item| &item.key),
            "attempt": self.attempt,
            "stage": self.stage,
            "folder": self.folder,
            "argv": self.command.as_ref().map(|command| &command.argv),
            "stdin": input,
            "env": env.collect::<std::collections::BTreeMap<_, _>>(),
            "secret_env": secret.collect::<std::collections::BTreeMap<_, _>>(),
            "unset": self.withheld,
            "with": self.settings,
        })
    }
}

/// The secrets of a variable in words.
fn told(variable: &SecretVariable) -> String {
    let secrets = variable.secrets.join(", ");
    if variable.secrets.len() == 1 {
        format!("the secret {secrets}")
    } else {
        format!("the secrets {secrets}")
    }
}
