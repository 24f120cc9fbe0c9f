//! Whether a program failed because the disk that it wrote to is full.

use std::io::Write;
use std::path::Path;

use flow_core::error::{ErrorClass, StageError};

/// What to do about a full disk.
pub(crate) const NO_SPACE: &str =
    "free some disk space, or put the store on another disk with `--store`";
/// More than programs usually write at once: where this does not fit, their output did not.
const PROBE_BYTES: usize = 1 << 20;

/// Gives the failure of a program the class `disk_full` where the folder that it wrote to takes no
/// more. The disk itself is asked, while the program's output is still there: what it said can be
/// in any language. A failure that is tried again anyway stays what it is.
pub(crate) fn with_room(error: StageError, folder: &Path) -> StageError {
    let may_be_it =
        matches!(error.class, ErrorClass::Process | ErrorClass::Malformed | ErrorClass::Io);
    if !may_be_it || error.exit_code == Some(EX_TEMPFAIL) || error.signal.is_some() {
        return error;
    }
    match try_writing(folder) {
        Err(e) if StageError::from_io("", &e).class == ErrorClass::DiskFull => full(error, &e),
        _ => error,
    }
}

/// The exit code by which a program asks to be tried again.
const EX_TEMPFAIL: i32 = 75;

fn full(mut error: StageError, cause: &std::io::Error) -> StageError {
    error.class = ErrorClass::DiskFull;
    ErrorClass::DiskFull.code().clone_into(&mut error.code);
    error.hint = Some(NO_SPACE.to_owned());
    error.cause(cause)
}

/// Writes to a file without a name.
fn try_writing(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(".room.part");
    let mut file = std::fs::File::create(&path)?;
    std::fs::remove_file(&path)?;
    // Zeros could be stored as a hole.
    file.write_all(&[0x5a; PROBE_BYTES])?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> StageError {
        let error = StageError::new(ErrorClass::Process, "run it", "it ended with exit code 1");
        StageError { exit_code: Some(1), ..error }
    }

    #[test]
    fn a_folder_with_room_leaves_the_class_and_no_trace() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = with_room(failed(), folder.path());
        assert_eq!(error.class, ErrorClass::Process);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }

    #[test]
    fn a_full_disk_is_terminal_and_says_what_to_do() {
        let cause = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = full(failed(), &cause);
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::DiskFull, "E0210"));
        assert!(!error.is_transient());
        assert!(error.hint.is_some_and(|hint| hint.contains("disk space")));
    }
}
