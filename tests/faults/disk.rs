//! Where stores live: a folder, or a file system of its own whose power can be cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::tools::{TOOLS, memory};

/// A place for stores.
pub(crate) struct Disk {
    folder: TempDir,
    /// The file system in a file, if there is one.
    image: Option<PathBuf>,
}

impl Disk {
    /// A folder in memory.
    pub(crate) fn folder() -> Self {
        Self { folder: fresh(), image: None }
    }

    /// An ext4 file system in a file in memory; `None` where it cannot be mounted, which takes root
    /// and loop devices.
    pub(crate) fn with_power() -> Option<Self> {
        let folder = fresh();
        let image = folder.path().join("image");
        fs::create_dir(folder.path().join("mount")).unwrap();
        fs::File::create(&image).and_then(|file| file.set_len(192 << 20)).unwrap();
        let made = run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-E", "lazy_itable_init=1"])
            .arg(&image));
        let mut disk = Self { folder, image: None };
        if made && mount(&image, &disk.root()) {
            disk.image = Some(image);
            return Some(disk);
        }
        None
    }

    /// The folder in which a store is to be made.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// Ends the file system without writing what was not synced, and begins again with what is on
    /// the disk.
    pub(crate) fn cut_power(&self) {
        let Some(image) = &self.image else { return };
        let root = self.root();
        assert!(run(Command::new(TOOLS.stage()).arg("cut").arg(&root)), "the power can be cut");
        assert!(unmount(&root), "{} is busy", root.display());
        assert!(mount(image, &root), "{} is mounted again", root.display());
    }

    /// Removes everything.
    pub(crate) fn clear(&self) {
        let root = self.root();
        fs::create_dir_all(&root).unwrap();
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("lost+found") {
                fs::remove_dir_all(path).unwrap();
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.image.is_some() {
            unmount(&self.root());
        }
    }
}

fn fresh() -> TempDir {
    tempfile::Builder::new().prefix("rig-disk-").tempdir_in(memory()).unwrap()
}

fn mount(image: &Path, root: &Path) -> bool {
    // Another process may take the same free loop device.
    (0..10).any(|_| run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(root)))
}

/// The last process that died may hold the file system for an instant.
fn unmount(root: &Path) -> bool {
    (0..200).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        run(Command::new("umount").arg(root))
    })
}

fn run(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
