//! What stages need of this machine, found before a run: programs, and the encoder's parts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::stage::{Missing, NodeView};

use super::failure::FULL_FFMPEG;
use crate::media::machine::{Answer, ask_once};
use crate::process::{install_hint, is_executable, resolve};

/// How long a program may take to list its parts.
const PATIENCE: Duration = Duration::from_secs(5);
/// Encoders of every video.
pub(in crate::media) const ENCODERS: &[&str] = &["libx264", "aac"];

/// What a stage needs.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::media) struct Needs<'a> {
    /// Programs.
    pub(in crate::media) programs: &'a [&'a str],
    /// Encoders of ffmpeg.
    pub(in crate::media) encoders: &'a [&'a str],
    /// Filters of ffmpeg.
    pub(in crate::media) filters: &'a [&'a str],
}

/// What of it this machine lacks. Parts of a program that is not there are not told.
pub(in crate::media) fn missing(node: &NodeView<'_>, needs: Needs<'_>) -> Vec<Missing> {
    let mut found: Vec<Missing> = needs
        .programs
        .iter()
        .filter(|name| program(node, name).is_none())
        .map(|name| Missing { what: (*name).to_owned(), fix: program_hint(node, name) })
        .collect();
    if let Some(ffmpeg) = program(node, "ffmpeg") {
        found.extend(missing_parts(&ffmpeg, needs));
    }
    found
}

/// Where a program is: `[tools]` first, whose paths start at the workflow file, then PATH.
pub(in crate::media) fn program(node: &NodeView<'_>, name: &str) -> Option<PathBuf> {
    let named = Path::new(node.tools.get(name).map_or(name, String::as_str));
    let path =
        if named.components().count() > 1 { node.workflow_dir.join(named) } else { named.into() };
    resolve(&path, None).filter(|path| is_executable(path))
}

fn program_hint(node: &NodeView<'_>, name: &str) -> String {
    match node.tools.get(name) {
        None => install_hint(name),
        Some(path) => format!(
            "`[tools]` says it is `{path}`, where there is no program: mend that, or {}",
            install_hint(name)
        ),
    }
}

/// Both lists are asked for at once: each takes the time that ffmpeg needs to start.
fn missing_parts(ffmpeg: &Path, needs: Needs<'_>) -> Vec<Missing> {
    let list = |kind: &'static str| ask_once(ffmpeg, &["-hide_banner", kind], PATIENCE);
    let (filters, encoders) = std::thread::scope(|scope| {
        let filters = scope.spawn(|| list("-filters"));
        let encoders = list("-encoders");
        (filters.join().unwrap_or(Answer::Nothing), encoders)
    });
    if filters == Answer::Nothing || filters == Answer::Refused {
        return vec![Missing {
            what: format!("ffmpeg that runs (`{} -filters` fails)", ffmpeg.display()),
            fix: FULL_FFMPEG.to_owned(),
        }];
    }
    let lacks = |kind: &str, answer: &Answer, names: &[&str]| -> Vec<Missing> {
        let Answer::Said(text) = answer else { return Vec::new() };
        let has =
            |name: &str| text.lines().any(|line| line.split_whitespace().nth(1) == Some(name));
        let missing = |name: &&str| Missing {
            what: format!("{kind} `{name}` of ffmpeg"),
            fix: FULL_FFMPEG.to_owned(),
        };
        names.iter().filter(|name| !has(name)).map(missing).collect()
    };
    let mut found = lacks("encoder", &encoders, needs.encoders);
    found.extend(lacks("filter", &filters, needs.filters));
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::process::testing::script;

    fn found(tools: &BTreeMap<String, String>, needs: Needs<'_>) -> Vec<Missing> {
        let (config, inputs) = (json!({}), BTreeMap::new());
        let node = NodeView {
            config: &config,
            inputs: &inputs,
            outputs: &[],
            tools,
            workflow_dir: Path::new("/"),
            uses: &[],
            params: &[],
        };
        missing(&node, needs)
    }

    fn names(missing: &[Missing]) -> Vec<&str> {
        missing.iter().map(|missing| missing.what.as_str()).collect()
    }

    const NEEDS: Needs<'_> = Needs {
        programs: &["ffmpeg", "ffprobe"],
        encoders: ENCODERS,
        filters: &["scale", "subtitles"],
    };

    #[test]
    fn every_part_that_is_not_there_is_told_at_once_with_a_way_to_get_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let poor = script(
            folder.path(),
            "ffmpeg",
            "case $2 in -filters) echo ' ... scale V->V x';; *) echo ' A..... aac  AAC';; esac",
        );
        let tools = BTreeMap::from([
            ("ffmpeg".to_owned(), poor.display().to_string()),
            ("ffprobe".to_owned(), "/no/such/ffprobe".to_owned()),
        ]);
        let found = found(&tools, NEEDS);
        assert_eq!(
            names(&found),
            ["ffprobe", "encoder `libx264` of ffmpeg", "filter `subtitles` of ffmpeg"]
        );
        assert!(found[0].fix.contains("[tools]") && found[0].fix.contains("/no/such/ffprobe"));
        for missing in &found {
            assert!(missing.fix.contains("apt-get") && missing.fix.contains("brew"), "{missing:?}");
        }
    }

    #[test]
    fn an_encoder_that_cannot_start_is_told_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let broken =
            script(folder.path(), "ffmpeg", "echo 'libx264.so: cannot open' >&2; exit 127");
        let tools = BTreeMap::from([("ffmpeg".to_owned(), broken.display().to_string())]);
        let found = found(&tools, NEEDS);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.starts_with("ffmpeg that runs"), "{found:?}");
    }

    #[test]
    fn this_machine_has_all_that_the_filters_use() {
        assert_eq!(found(&BTreeMap::new(), NEEDS), []);
    }
}
