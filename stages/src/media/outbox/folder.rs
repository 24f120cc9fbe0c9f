//! A folder that appears as a whole or not at all.
//!
//! Everything is written to a hidden folder beside it and synced; then the two change places in one
//! step, so that whoever looks sees the old piece or the new one and never a part of either. Where a
//! file system cannot exchange folders, the old one is moved away just before. One piece at a time is
//! published to a day: the kernel holds the lock and releases it at the death of its owner, so what
//! is found half done under it was left by a crash.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

/// The name of a piece's video.
pub(super) const VIDEO: &str = "reel.mp4";

/// What publishing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Exactly this piece was there.
    Unchanged,
    /// It is there now, in place of any other of its name.
    Published,
}

/// Publishes a video and texts as the folder `name` in the folder of a day, which is made.
pub(super) fn publish(
    day: &Path,
    name: &str,
    video: &Path,
    sha256: &str,
    texts: &[(&str, String)],
) -> io::Result<Outcome> {
    make_durable(day)?;
    let lock = File::open(day)?;
    lock.lock()?;
    let place = day.join(name);
    let [new, old] = ["new", "old"].map(|state| day.join(format!(".{name}.{state}")));
    // A crash left them.
    remove(&new)?;
    if is_published(&place, sha256, texts)? {
        remove(&old)?;
        return Ok(Outcome::Unchanged);
    }
    fs::create_dir(&new)?;
    let filled = fill(&new, video, sha256, texts);
    if let Err(error) = filled {
        // A full disk needs the space; should that fail too, the next attempt does it.
        remove(&new).unwrap_or_default();
        return Err(error);
    }
    put_in_place(&new, &place, &old)?;
    sync(day)?;
    remove(&new)?;
    remove(&old)?;
    Ok(Outcome::Published)
}

/// Makes a folder and the ones above it, so that a crash does not lose them.
fn make_durable(folder: &Path) -> io::Result<()> {
    let above = folder.ancestors().skip(1).find(|above| above.is_dir());
    let new = !folder.is_dir();
    fs::create_dir_all(folder)?;
    match above {
        Some(above) if new => {
            folder.ancestors().skip(1).take_while(|f| f.starts_with(above)).try_for_each(sync)
        }
        _ => Ok(()),
    }
}

fn fill(folder: &Path, video: &Path, sha256: &str, texts: &[(&str, String)]) -> io::Result<()> {
    let copy = folder.join(VIDEO);
    fs::copy(video, &copy)?;
    // The store's files are read-only; a person may want to move or trim this one.
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644))?;
    if digest(&copy)?.0 != sha256 {
        return Err(io::Error::other("the copy of the video differs from it"));
    }
    File::open(&copy)?.sync_all()?;
    for (name, content) in texts {
        let mut file = File::create(folder.join(name))?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
    }
    sync(folder)
}

/// Gives the new folder its name. What had it before is afterwards at `new` or at `old`.
fn put_in_place(new: &Path, place: &Path, old: &Path) -> io::Result<()> {
    if !place.exists() {
        return fs::rename(new, place);
    }
    match renameat_with(CWD, new, CWD, place, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            remove(old)?;
            fs::rename(place, old)?;
            fs::rename(new, place)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// A name that cannot leave its folder, nor be hidden in it.
pub(super) fn safe_name(id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    id.chars().map(safe).take(100).collect()
}

/// Whether exactly this piece is in the folder already.
fn is_published(folder: &Path, sha256: &str, texts: &[(&str, String)]) -> io::Result<bool> {
    let video = folder.join(VIDEO);
    if !video.is_file() || digest(&video)?.0 != sha256 {
        return Ok(false);
    }
    let same = |(name, content): &(&str, String)| {
        fs::read(folder.join(name)).is_ok_and(|found| found == content.as_bytes())
    };
    Ok(texts.iter().all(same))
}

/// SHA-256 and size of a file, read piece by piece.
pub(in crate::media) fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
    let hex = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, bytes))
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;

    struct Day {
        root: tempfile::TempDir,
    }

    impl Day {
        fn new() -> Self {
            Self { root: tempfile::tempdir().expect("a folder") }
        }

        fn folder(&self) -> PathBuf {
            self.root.path().join("outbox/2026-01-01")
        }

        fn publish(&self, video: &str) -> io::Result<Outcome> {
            let source = self.root.path().join("source.mp4");
            fs::write(&source, video).expect("a file");
            let sha256 = digest(&source).expect("a digest").0;
            publish(&self.folder(), "a", &source, &sha256, &[("caption.txt", video.to_owned())])
        }

        /// All files of the day with their content, hidden ones too.
        fn files(&self) -> BTreeMap<String, String> {
            let mut found = BTreeMap::new();
            for folder in fs::read_dir(self.folder()).expect("the day") {
                let folder = folder.expect("an entry").path();
                for file in fs::read_dir(&folder).expect("a piece") {
                    let file = file.expect("an entry").path();
                    let name = file.strip_prefix(self.folder()).expect("below it");
                    let content = fs::read_to_string(&file).expect("a file");
                    found.insert(name.display().to_string(), content);
                }
            }
            found
        }

        fn holds(&self, video: &str) {
            let expected = [("a/caption.txt", video), ("a/reel.mp4", video)]
                .map(|(name, content)| (name.to_owned(), content.to_owned()));
            assert_eq!(self.files(), BTreeMap::from(expected));
        }
    }

    #[test]
    fn the_same_piece_changes_nothing_and_another_takes_its_place_as_a_whole() {
        let day = Day::new();
        assert_eq!(day.publish("one").expect("published"), Outcome::Published);
        let inode = |day: &Day| {
            let meta = fs::metadata(day.folder().join("a/reel.mp4")).expect("the video");
            std::os::unix::fs::MetadataExt::ino(&meta)
        };
        let before = inode(&day);
        assert_eq!(day.publish("one").expect("published"), Outcome::Unchanged);
        assert_eq!(inode(&day), before);
        assert_eq!(day.publish("two").expect("published"), Outcome::Published);
        day.holds("two");
    }

    #[test]
    fn whatever_a_crash_left_behind_the_next_attempt_ends_with_the_whole_piece_alone() {
        type Crash = fn(&Path);
        let crashes: [(&str, Crash); 6] = [
            ("before anything", |_| {}),
            ("while it was written", |day| {
                fs::create_dir(day.join(".a.new")).expect("a folder");
                fs::write(day.join(".a.new/reel.mp4"), "tw").expect("a part");
            }),
            ("after it was written", |day| {
                fs::create_dir(day.join(".a.new")).expect("a folder");
                for name in ["reel.mp4", "caption.txt"] {
                    fs::write(day.join(".a.new").join(name), "two").expect("a file");
                }
            }),
            ("between two renames", |day| {
                fs::create_dir(day.join(".a.new")).expect("a folder");
                fs::rename(day.join("a"), day.join(".a.old")).expect("moved away");
            }),
            ("before the old one was removed", |day| {
                fs::create_dir(day.join(".a.old")).expect("a folder");
                fs::write(day.join(".a.old/reel.mp4"), "one").expect("a file");
            }),
            ("while a person had damaged it", |day| {
                fs::write(day.join("a/reel.mp4"), "").expect("a file");
            }),
        ];
        for (when, crash) in crashes {
            let day = Day::new();
            day.publish("one").expect("published");
            crash(&day.folder());
            for video in ["two", "two", "one"] {
                day.publish(video).unwrap_or_else(|e| panic!("{when}: {e}"));
                day.holds(video);
            }
        }
    }

    #[test]
    fn a_piece_that_cannot_be_written_leaves_the_old_one_and_no_part() {
        let day = Day::new();
        day.publish("one").expect("published");
        let source = day.root.path().join("source.mp4");
        let texts = [("no/such/folder.txt", String::new())];
        let sha256 = digest(&source).expect("a digest").0;
        publish(&day.folder(), "a", &source, &sha256, &texts).expect_err("it cannot be written");
        day.holds("one");
        publish(&day.folder(), "b", &source, "another digest", &[]).expect_err("it differs");
        day.holds("one");
    }

    #[test]
    fn pieces_published_at_the_same_time_do_not_meet() {
        let day = std::sync::Arc::new(Day::new());
        let source = day.root.path().join("one.mp4");
        fs::write(&source, "one").expect("a file");
        let sha256 = digest(&source).expect("a digest").0;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let texts = [("caption.txt", "one".to_owned())];
                    publish(&day.folder(), "a", &source, &sha256, &texts).expect("published");
                });
            }
        });
        day.holds("one");
    }

    #[test]
    fn names_stay_in_their_folder() {
        assert_eq!(safe_name("../../etc/passwd"), "______etc_passwd");
        assert_eq!(safe_name(".hidden"), "_hidden");
    }
}
