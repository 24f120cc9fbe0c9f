//! What the encoder's failures mean, and what to do about them.

use flow_core::error::{ErrorClass, ErrorKind, StageError};

use crate::process::NO_SPACE;

/// What a timed-out encode says.
pub(super) const TOO_LONG: &str = "raise `timeout`, or shorten the video";
/// Where to get an encoder with all parts.
pub(super) const FULL_FFMPEG: &str = "install a full ffmpeg: apt-get install ffmpeg (Debian, \
     Ubuntu) or brew install ffmpeg (macOS; ffmpeg-full where that lacks it), or name one in \
     `[tools]`";

/// Adds the next step. What the encoder wrote chooses the words alone: the class stands.
pub(super) fn with_hint(mut error: StageError) -> StageError {
    if error.hint.is_none() {
        error.hint = hint(&error).map(str::to_owned);
    }
    error
}

fn hint(error: &StageError) -> Option<&'static str> {
    let said = |text: &str| error.stderr_tail.contains(text);
    Some(match error.class {
        ErrorClass::Timeout => TOO_LONG,
        ErrorClass::Cancelled => return None,
        ErrorClass::DiskFull => NO_SPACE,
        // ffmpeg ends in order when somebody sends it SIGTERM or SIGINT, with this code.
        _ if error.exit_code == Some(255) && said("received signal") => {
            "somebody told ffmpeg to stop; what it had written was removed: run it again"
        }
        _ if said("No space left on device") => NO_SPACE,
        _ if said("Unknown encoder") || said("No such filter") => FULL_FFMPEG,
        _ if said("Invalid data found") || said("moov atom not found") => {
            "an input is broken or no media file: play the inputs that the command names"
        }
        _ if said("No such file or directory") => {
            "an input went away while it was read: resume the run, which checks it first"
        }
        _ if said("Cannot allocate memory") || said("Killed") => {
            "memory ran out: lower `max_parallel`, or make the frame smaller with `size`"
        }
        _ => "read the whole output with `flow logs`; a second attempt uses safe settings",
    })
}

/// A finding about a file that the encoder made.
pub(super) fn rejected(operation: &str, message: String) -> StageError {
    StageError::new(ErrorClass::Malformed, operation, message)
        .kind(ErrorKind::Ffmpeg)
        .hint("the file was removed; the next attempt makes it again with safe settings")
}

/// A program of the family that answered nothing that can be read.
pub(super) fn unreadable_answer(operation: &str, program: &str) -> StageError {
    StageError::new(ErrorClass::Malformed, operation, format!("{program} told nothing readable"))
        .kind(ErrorKind::Ffmpeg)
        .hint(format!("check that `{program}` in `[tools]` or on PATH is the real one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stderr: &str, code: i32) -> StageError {
        let mut error = StageError::new(ErrorClass::Process, "encode", "it ended");
        error.stderr_tail = stderr.into();
        error.exit_code = Some(code);
        with_hint(error)
    }

    #[test]
    fn every_observed_complaint_has_a_way_out_and_keeps_its_class() {
        for (stderr, code, hint) in [
            ("a.png: No such file or directory", 1, "went away"),
            ("[AVFilterGraph] No such filter: 'subtitles'", 1, "apt-get install ffmpeg"),
            ("Unknown encoder 'libx264'", 1, "brew install ffmpeg"),
            ("av_interleaved_write_frame(): No space left on device", 1, "--store"),
            ("Exiting normally, received signal 15.", 255, "told ffmpeg to stop"),
            ("[mov,mp4] moov atom not found", 1, "is broken"),
            ("something else", 234, "flow logs"),
        ] {
            let error = said(stderr, code);
            assert_eq!(error.class, ErrorClass::Process, "{stderr}");
            assert!(error.hint.as_deref().is_some_and(|h| h.contains(hint)), "{error:?}");
        }
    }
}
