//! `flow shell`: a shell in the place of an attempt, with its folder, inputs, environment and
//! command.

mod script;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command as Process};
use std::sync::Arc;

use flow_core::error::StageError;
use flow_core::stage::Job;
use flow_core::store::Store;
use flow_runtime::LaidOut;
use flow_stages::builtin::command::{command_of, environment_of};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::drive::runtime;
use super::rerun::{Subject, check_inputs, refuse_lost};
use super::signals::Signals;
use crate::args::ShellArgs;
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::prepare::{self, StandIns};
use crate::report::human::name;
use crate::report::tell;
use crate::report::text::clean;
use crate::session::{Session, find_run};
use crate::target;
use script::Script;

pub(crate) fn run(args: &ShellArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let history = History::read(store.as_ref(), &run, &env.catalog())?;
    let task = target::task(&history.state, target::node(&history.state, &args.node)?)?;
    let mut subject = Subject::recorded(&history, task);
    check_inputs(&subject, env, run.as_str())?;
    refuse_lost(&subject, store.as_ref())?;
    let secrets = prepare::stand_ins(subject.state.graph())?;
    subject.plan.secrets = Arc::clone(&secrets.shown);
    let shared: Arc<dyn Store> = store.clone();
    let laid = flow_runtime::lay_out(subject.case(&shared), &secrets.real)
        .map_err(|error| unfit(&secrets, &subject, error))?;
    let place = Place { args, env, subject: &subject, secrets: &secrets, laid: &laid };
    let exit = place.enter();
    if args.keep {
        tell(&format!("kept: {}\n", laid.work().display()));
    } else {
        laid.remove();
    }
    exit
}

/// The failure to lay an attempt out.
fn unfit(secrets: &StandIns, subject: &Subject, error: Box<StageError>) -> Failure {
    let name = name(&subject.state.task_ref(subject.task));
    let error = secrets.real.mask_error(error);
    Failure::state(
        format!(
            "`{name}` cannot be laid out: {}: {}",
            clean(&error.operation),
            clean(&error.message)
        ),
        error
            .hint
            .map_or_else(|| "look at its inputs: flow show RUN".to_owned(), |hint| clean(&hint)),
    )
}

/// An attempt that is laid out.
struct Place<'a> {
    args: &'a ShellArgs,
    env: &'a Session,
    subject: &'a Subject,
    secrets: &'a StandIns,
    laid: &'a LaidOut,
}

impl Place<'_> {
    fn enter(&self) -> Result<Exit, Failure> {
        let failed = |error: StageError| unfit(self.secrets, self.subject, Box::new(error));
        let script = self.script(&self.laid.shown).map_err(failed)?;
        if self.env.json {
            self.env.out.line(&script.json().to_string());
            return Ok(Exit::SUCCEEDED);
        }
        if self.args.print {
            self.env.out.write(script.text(self.args.keep).as_bytes());
            return Ok(Exit::SUCCEEDED);
        }
        let real = environment_of(self.laid.context(), &self.laid.real).map_err(failed)?;
        let write = |error: std::io::Error| {
            failed(StageError::from_io("write the command into the folder", &error))
        };
        let command = script.write(&self.laid.side()).map_err(write)?;
        tell(&script.welcome(command.as_deref(), self.args.keep, self.env.stderr));
        self.start(&script, &real)
    }

    /// What there is to run and to look at. Nothing in it is a secret.
    fn script(&self, job: &Job) -> Result<Script, StageError> {
        let node = self.subject.state.graph().node(self.subject.task.node);
        let variant = self.subject.state.task(self.subject.task).map_or(0, |task| task.variant);
        let stage = node.variant(variant).stage.spec().name;
        let context = self.laid.context();
        let mut script = Script {
            run: self.subject.run.to_string(),
            task: self.subject.state.task_ref(self.subject.task),
            attempt: context.attempt(),
            stage,
            folder: self.laid.work(),
            command: None,
            settings: None,
            env: Vec::new(),
            secret: Vec::new(),
            withheld: context.withheld_env().to_vec(),
        };
        if stage == "command" {
            let command = command_of(context, job)?;
            script.env.clone_from(&command.env);
            script.command = Some(script::Command::of(&command, job));
        } else {
            script.env = environment_of(context, job)?;
            script.settings = Some(job.config.clone());
        }
        script.secret = self.secret_variables(&script.env);
        Ok(script)
    }

    /// The variables with a secret in them, each with the secrets it may have.
    fn secret_variables(&self, env: &[(OsString, OsString)]) -> Vec<script::SecretVariable> {
        let node = self.subject.state.graph().node(self.subject.task.node);
        let variable = |(name, value): &(OsString, OsString)| {
            let value = value.to_string_lossy();
            let hidden = self.secrets.shown.mask(&value) != value;
            let all = || node.secrets.iter();
            let plain: Vec<String> =
                all().filter(|s| value.contains(&prepare::stand_in(s))).cloned().collect();
            let secrets = if plain.is_empty() { all().cloned().collect() } else { plain };
            let is_set = !secrets.iter().any(|secret| self.secrets.absent.contains(secret));
            hidden.then(|| script::SecretVariable { name: name.clone(), secrets, is_set })
        };
        env.iter().filter_map(variable).collect()
    }

    /// Starts the shell and waits for it. What the terminal sends is for the shell.
    fn start(&self, script: &Script, env: &[(OsString, OsString)]) -> Result<Exit, Failure> {
        let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        let shell = shell.unwrap_or_else(|| "/bin/sh".into());
        let absent = |name: &OsString| script.secret.iter().any(|v| v.name == *name && !v.is_set);
        let mut process = Process::new(&shell);
        process.current_dir(&script.folder);
        for name in &script.withheld {
            process.env_remove(name);
        }
        process
            .envs(env.iter().filter(|(name, _)| !absent(name)).map(|(name, value)| (name, value)));
        let runtime = runtime()?;
        let status = runtime.block_on(async {
            let mut signals = Signals::listen()?;
            let operation = "start a shell";
            let failed = |source| Failure::System { operation, source };
            let child = process.spawn().map_err(failed)?;
            let id = child.id();
            let mut ended = tokio::task::spawn_blocking(move || wait(child));
            loop {
                tokio::select! {
                    status = &mut ended => {
                        return status.map_err(std::io::Error::other).flatten().map_err(failed);
                    }
                    signal = signals.next() => end(id, signal),
                }
            }
        })?;
        let failed = !status.success() || status.signal().is_some();
        Ok(if failed { Exit::FAILED } else { Exit::SUCCEEDED })
    }
}

fn wait(mut child: Child) -> std::io::Result<std::process::ExitStatus> {
    child.wait()
}

/// Hands a signal that asks `flow` to end on to the shell. Ctrl-C reached the shell already, which
/// decides what it means.
fn end(shell: u32, signal: &str) {
    if signal == "SIGINT" {
        return;
    }
    if let Ok(id) = i32::try_from(shell) {
        // It may have ended just now.
        kill(Pid::from_raw(id), Signal::SIGHUP).ok();
    }
}
