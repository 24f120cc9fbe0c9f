//! Quick questions to programs of this machine before a run: what they have, and whether they are
//! there. Stages themselves run programs through the engine.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, SystemTime};

use flow_core::stage::{Missing, NodeView};

use super::ffmpeg;

/// How long espeak-ng may take to say whether it has a voice.
const VOICE_PATIENCE: Duration = Duration::from_secs(5);

/// What a program answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It ended well and wrote this to stdout.
    Said(String),
    /// It ended with a failure.
    Refused,
    /// It could not be started, or did not end in time.
    Nothing,
}

/// Runs a program with nothing on its stdin for as long as `patience`, then kills it.
pub(super) fn ask(program: &Path, args: &[&str], patience: Duration) -> Answer {
    let spawned = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    match spawned {
        Ok(child) => listen(child, patience),
        Err(error) => {
            tracing::debug!(program = %program.display(), %error, "it could not be asked");
            Answer::Nothing
        }
    }
}

fn listen(mut child: Child, patience: Duration) -> Answer {
    let (tell, told) = mpsc::channel();
    let Some(mut stdout) = child.stdout.take() else { return Answer::Nothing };
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.read_to_end(&mut bytes).map(|_| bytes);
        // Nobody listens any more if it took too long.
        tell.send(read).unwrap_or_default();
    });
    let said = told.recv_timeout(patience);
    if !matches!(said, Ok(Ok(_))) {
        end(&mut child);
        return Answer::Nothing;
    }
    match (said, child.wait()) {
        (Ok(Ok(bytes)), Ok(status)) if status.success() => {
            Answer::Said(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => Answer::Refused,
    }
}

fn end(child: &mut Child) {
    for result in [child.kill(), child.wait().map(drop)] {
        if let Err(error) = result {
            tracing::debug!(%error, "a program that did not answer could not be ended");
        }
    }
}

/// The voice of espeak-ng that a node's `voice` names, or the usual one, if it is not there.
pub(super) fn missing_voice(node: &NodeView<'_>, usual: &str) -> Option<Missing> {
    let named = node.config.get("voice").and_then(serde_json::Value::as_str);
    let voice = named.filter(|voice| !voice.is_empty()).unwrap_or(usual);
    // Without the program its voices are not asked for; one in a template is only known later.
    let program = ffmpeg::program(node, "espeak-ng").filter(|_| !voice.contains("{{"))?;
    let speaks = ask_once(&program, &["-q", "-v", voice, "a"], VOICE_PATIENCE);
    (speaks == Answer::Refused).then(|| Missing {
        what: format!("voice `{voice}` of espeak-ng"),
        fix: "choose one that `espeak-ng --voices` lists; all come with apt-get install \
              espeak-ng-data (Debian, Ubuntu) or brew install espeak-ng (macOS)"
            .to_owned(),
    })
}

/// A file as it was when it was asked: another build of the program is asked again.
type Asked = (PathBuf, Option<(SystemTime, u64)>, Vec<String>);

/// As [`ask`], but the same question to the same file is asked only once in this process, however
/// many threads ask it.
pub(super) fn ask_once(program: &Path, args: &[&str], patience: Duration) -> Answer {
    static ANSWERS: LazyLock<Mutex<HashMap<Asked, Arc<OnceLock<Answer>>>>> =
        LazyLock::new(Mutex::default);
    let state = std::fs::metadata(program).ok();
    let state = state.and_then(|meta| Some((meta.modified().ok()?, meta.len())));
    let key = (program.to_owned(), state, args.iter().map(|&a| a.to_owned()).collect());
    let answer = {
        let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(answers.entry(key).or_default())
    };
    answer.get_or_init(|| ask(program, args, patience)).clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::testing::script;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn the_same_question_is_asked_once_until_the_program_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let count = folder.path().join("count");
        let body = format!("echo x >> {}; echo yes", count.display());
        let program = script(folder.path(), "program", &body);
        for _ in 0..3 {
            assert_eq!(ask_once(&program, &["-v"], PATIENCE), Answer::Said("yes\n".into()));
        }
        let times = || std::fs::read_to_string(&count).expect("it was asked").lines().count();
        assert_eq!(times(), 1);
        script(folder.path(), "program", &format!("{body}; exit 3"));
        assert_eq!(ask_once(&program, &["-v"], PATIENCE), Answer::Refused);
        assert_eq!(times(), 2);
    }

    #[test]
    fn a_program_that_is_not_there_says_nothing() {
        assert_eq!(ask(Path::new("/no/such/program"), &[], PATIENCE), Answer::Nothing);
    }
}
