//! Finding programs on PATH, and saying how to get those that are not there.

use std::collections::HashMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Access, access};

/// Where the system looks for programs when PATH is not set.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Look-ups that have been made, by name and PATH.
#[derive(Default)]
pub(super) struct PathCache(Mutex<HashMap<(OsString, OsString), PathBuf>>);

impl PathCache {
    /// As [`resolve`], looking on the disk only once for each name and PATH.
    pub(super) fn resolve(&self, program: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
        if is_path(program) {
            return Some(program.to_owned());
        }
        let path = effective(path);
        let key = (program.as_os_str().to_owned(), path);
        if let Some(found) = self.lock().get(&key) {
            return Some(found.clone());
        }
        let found = search(program, &key.1)?;
        self.lock().insert(key, found.clone());
        Some(found)
    }

    /// Forgets everything: a program was not where it had been found.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(OsString, OsString), PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The executable file of a program: a name without `/` is searched in `path`, or in this
/// process's PATH if that is `None`; anything else is a path and is returned as it is.
#[must_use]
pub fn resolve(program: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    if is_path(program) {
        return Some(program.to_owned());
    }
    search(program, &effective(path))
}

fn is_path(program: &Path) -> bool {
    program.as_os_str().as_encoded_bytes().contains(&b'/')
}

fn effective(path: Option<&OsStr>) -> OsString {
    path.map(OsStr::to_owned).or_else(|| env::var_os("PATH")).unwrap_or_else(|| DEFAULT_PATH.into())
}

fn search(program: &Path, path: &OsStr) -> Option<PathBuf> {
    if program.as_os_str().is_empty() {
        return None;
    }
    let here = env::current_dir().unwrap_or_default();
    env::split_paths(path)
        // An empty or relative entry means the engine's own folder, not the program's.
        .map(|folder| here.join(folder).join(program))
        .find(|candidate| is_executable(candidate))
}

/// Whether this is a file that this process may execute.
#[must_use]
pub(crate) fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// How to get a program that is missing.
#[must_use]
pub fn install_hint(program: &str) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    let (debian, brew) = match name {
        "ffmpeg" | "ffprobe" => ("ffmpeg", "ffmpeg"),
        "espeak-ng" | "espeak" => ("espeak-ng", "espeak-ng"),
        "python3" => ("python3", "python"),
        "node" | "npm" | "npx" => ("nodejs", "node"),
        "jq" => ("jq", "jq"),
        "magick" | "convert" | "identify" | "montage" => ("imagemagick", "imagemagick"),
        "sox" | "soxi" => ("sox", "sox"),
        "curl" => ("curl", "curl"),
        "git" => ("git", "git"),
        "make" => ("make", "make"),
        "Rscript" | "R" => ("r-base-core", "r"),
        "ruby" => ("ruby", "ruby"),
        "perl" => ("perl", "perl"),
        "sqlite3" => ("sqlite3", "sqlite"),
        "rsvg-convert" => ("librsvg2-bin", "librsvg"),
        "yt-dlp" => ("yt-dlp", "yt-dlp"),
        _ => {
            return format!(
                "install `{name}`, add its folder to PATH, or say where it is: `[tools]` {name} = \"/path/to/{name}\""
            );
        }
    };
    format!("apt-get install {debian} (Debian, Ubuntu) or brew install {brew} (macOS)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_searched_and_paths_are_not() {
        let found = resolve(Path::new("sh"), None).expect("a shell");
        assert!(found.is_absolute() && is_executable(&found));
        assert_eq!(resolve(Path::new("sh"), Some(OsStr::new("/nonexistent"))), None);
        assert_eq!(resolve(Path::new(""), None), None);
        assert_eq!(resolve(Path::new("./no/such"), None), Some("./no/such".into()));
        // A folder on PATH is no program, though it may be entered.
        assert_eq!(resolve(Path::new("bin"), Some(OsStr::new("/usr"))), None);
    }

    #[test]
    fn known_programs_have_a_package_and_others_a_way_to_name_their_place() {
        assert!(install_hint("ffprobe").contains("apt-get install ffmpeg"));
        assert!(install_hint("/opt/frobnicate").contains("[tools]"));
    }
}
