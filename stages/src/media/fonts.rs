//! Fonts by family. An encoder that lacks a font takes another one in silence, so a family is looked
//! up first; one is part of this program.

use std::path::Path;
use std::time::Duration;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{Context, Missing, NodeView};

use super::ffmpeg::{self, CAPTIONS, FONTS, Frame, Line};
use super::machine::{Answer, ask};
use super::settings;

/// The family that is always there.
const BUNDLED: &str = "Barlow Condensed ExtraBold";
/// Other names that mean it.
const ALIASES: [&str; 2] = [BUNDLED, "Barlow Condensed"];
const BUNDLED_FILE: &str = "BarlowCondensed-ExtraBold.ttf";
const BUNDLED_BYTES: &[u8] = include_bytes!("../../fonts/BarlowCondensed-ExtraBold.ttf");
/// How long the look-up of one family may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first of these families that this machine has; none named means the bundled one.
///
/// # Errors
/// When the machine has none of them.
fn resolve(families: &[String], fc_match: &Path) -> Result<String, StageError> {
    if families.is_empty() {
        return Ok(BUNDLED.to_owned());
    }
    let found = families.iter().find_map(|family| installed(family, fc_match));
    found.ok_or_else(|| {
        let Missing { what, fix } = lacking(families);
        StageError::new(ErrorClass::MissingTool, "find a font", format!("there is no {what}"))
            .kind(ErrorKind::Ffmpeg)
            .hint(fix)
    })
}

/// What is missing where none of the families is there.
fn missing(families: &[String], fc_match: &Path) -> Option<Missing> {
    resolve(families, fc_match).is_err().then(|| lacking(families))
}

fn lacking(families: &[String]) -> Missing {
    Missing {
        what: format!("font of the family {}", families.join(", or ")),
        fix: format!(
            "install it: `apt-cache search fonts-` (Debian, Ubuntu; then `fc-cache`) or `brew search \
             --cask font-` (macOS) lists fonts, which need fontconfig to be found; or add {BUNDLED:?} \
             to `font`: it is part of flow"
        ),
    }
}

/// The family's own name, if it is there.
fn installed(family: &str, fc_match: &Path) -> Option<String> {
    let wanted = family.trim();
    if ALIASES.iter().any(|alias| alias.eq_ignore_ascii_case(wanted)) {
        return Some(BUNDLED.to_owned());
    }
    // In a pattern these have a meaning; no family has them in its name.
    if wanted.is_empty() || wanted.contains([':', ',', '-', '\\']) {
        return None;
    }
    let Answer::Said(said) = ask(fc_match, &["-f", "%{family}", wanted], PATIENCE) else {
        return None;
    };
    // The best match may be quite another family: the names are compared.
    said.split(',').find(|name| name.trim().eq_ignore_ascii_case(wanted)).map(str::to_owned)
}

/// What a node's `font` names that is not there.
pub(super) fn missing_for(node: &NodeView<'_>) -> Option<Missing> {
    let fc_match = ffmpeg::program(node, "fc-match").unwrap_or_default();
    missing(&settings::families(node), &fc_match)
}

/// Writes the words that ffmpeg burns into a video, and the bundled font, into the folder that it
/// works in.
///
/// # Errors
/// When no family is installed, or the disk takes no more.
pub(super) async fn write_words(
    context: &dyn Context,
    families: &[String],
    frame: Frame,
    lines: &[Line],
) -> Result<(), StageError> {
    let (families, fc_match) = (families.to_vec(), context.tool("fc-match"));
    // A look-up can take as long as a program likes.
    let family = tokio::task::spawn_blocking(move || resolve(&families, &fc_match)).await;
    let family = family.map_err(|e| {
        StageError::new(ErrorClass::Panic, "find a font", e.to_string()).kind(ErrorKind::Ffmpeg)
    })??;
    let folder = context.scratch();
    let document = ffmpeg::document(frame, &family, lines);
    let written =
        unpack(&folder.join(FONTS)).and_then(|()| std::fs::write(folder.join(CAPTIONS), document));
    written.map_err(|e| {
        StageError::from_io("write the words of the video", &e).kind(ErrorKind::Ffmpeg)
    })
}

/// Writes the bundled font to a folder, which is made.
fn unpack(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(BUNDLED_FILE), BUNDLED_BYTES)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn families(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// A `fc-match` that knows one family, and answers with it whatever it is asked.
    fn fc_match(folder: &Path) -> PathBuf {
        crate::process::testing::script(folder, "fc-match", "printf 'DejaVu Sans,DejaVu'")
    }

    #[test]
    fn the_first_family_that_is_there_is_taken_and_no_other_in_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let fc_match = fc_match(folder.path());
        let resolved = |names: &[&str]| resolve(&families(names), &fc_match).ok();
        assert_eq!(resolved(&[]).as_deref(), Some(BUNDLED));
        assert_eq!(resolved(&["No Such Font", "dejavu sans"]).as_deref(), Some("DejaVu Sans"));
        assert_eq!(resolved(&["No Such Font", "Barlow Condensed"]).as_deref(), Some(BUNDLED));
        assert_eq!(resolved(&["No Such Font"]), None);
        assert_eq!(resolved(&["DejaVu Sans:bold", ""]), None);
    }

    #[test]
    fn a_font_that_is_nowhere_is_told_with_the_way_to_one() {
        let error = resolve(&families(&["Intre"]), Path::new("/no/such/fc-match"))
            .expect_err("it is not there");
        assert_eq!((error.class, error.kind), (ErrorClass::MissingTool, ErrorKind::Ffmpeg));
        let hint = error.hint.expect("a hint");
        assert!(error.message.contains("Intre") && hint.contains("Barlow"), "{hint}");
    }

    #[test]
    fn a_look_up_that_hangs_is_given_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let hangs = crate::process::testing::script(folder.path(), "fc-match", "exec sleep 60");
        assert_eq!(ask(&hangs, &[], Duration::from_millis(50)), Answer::Nothing);
    }
}
