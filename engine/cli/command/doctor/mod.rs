//! `flow doctor`: whether this machine has what `flow`, its store and a workflow need.

mod disk;
mod machine;
mod store;
mod workflow;

use serde_json::{Value, json};

use crate::args::DoctorArgs;
use crate::failure::{Exit, Failure};
use crate::report::style::Paint;
use crate::report::tell;
use crate::report::text::{clean, count};
use crate::session::{Session, Verbosity};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// As it should be.
    Ok,
    /// Something may not work.
    Warning,
    /// Something does not work.
    Fault,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    level: Level,
    /// What it is about, in a word or two.
    about: &'static str,
    message: String,
    /// The way out.
    fix: Option<String>,
}

impl Check {
    fn ok(about: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Ok, about, message: message.into(), fix: None }
    }

    fn warning(about: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        let (message, fix) = (message.into(), Some(fix.into()));
        Self { level: Level::Warning, about, message, fix }
    }

    fn fault(about: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fault, ..Self::warning(about, message, fix) }
    }

    fn line(&self, paint: Paint) -> String {
        let word = format!("{:<7}", self.level.name());
        let word = match self.level {
            Level::Ok => paint.good(&word),
            Level::Warning => paint.odd(&word),
            Level::Fault => paint.bad(&word),
        };
        let fix = self.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
        format!("{word}  {}: {}", self.about, clean(&format!("{}{fix}", self.message)))
    }

    fn object(&self) -> Value {
        json!({
            "level": self.level.name(),
            "about": self.about,
            "message": self.message,
            "fix": self.fix,
        })
    }
}

pub(crate) fn run(args: &DoctorArgs, env: &Session) -> Result<Exit, Failure> {
    let mut checks = match &args.file {
        Some(file) => workflow::checks(file, env)?,
        None => machine::media(env),
    };
    checks.extend(machine::checks());
    checks.extend(store::checks(env));
    let number = |level: Level| checks.iter().filter(|check| check.level == level).count();
    let (faults, warnings) = (number(Level::Fault), number(Level::Warning));
    let found = faults + warnings > 0;
    if env.json {
        let all: Vec<Value> = checks.iter().map(Check::object).collect();
        env.out.line(&json!({ "ok": !found, "checks": all }).to_string());
    } else {
        for check in &checks {
            env.out.line(&check.line(env.stdout));
        }
        if env.verbosity > Verbosity::Quiet {
            env.out.flush();
            tell(&closing(faults, warnings));
        }
    }
    Ok(if found { Exit::FAILED } else { Exit::SUCCEEDED })
}

fn closing(faults: usize, warnings: usize) -> String {
    match (faults, warnings) {
        (0, 0) => "nothing found\n".to_owned(),
        _ => format!("{}, {}\n", count(faults, "fault"), count(warnings, "warning")),
    }
}
