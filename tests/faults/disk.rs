//! Where stores live: a folder, or a file system of its own whose power can be cut.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::image::Image;
use crate::tools::{Tools, memory};

/// Bytes of a file system whose power can be cut.
pub(crate) const SIZE: u64 = 192 << 20;

/// A place for stores.
pub(crate) struct Disk {
    folder: TempDir,
    /// The loop device of the file system, if there is one. It stays the same for good: one that is
    /// given back at each unmount may be another process's in the next instant.
    device: Option<PathBuf>,
}

impl Disk {
    /// A folder in memory.
    pub(crate) fn folder() -> Self {
        Self { folder: fresh(), device: None }
    }

    /// An ext4 file system in a file in memory; `None` where it cannot be mounted, which takes root
    /// and loop devices.
    pub(crate) fn with_power() -> Option<Self> {
        let folder = fresh();
        let image = folder.path().join("image");
        fs::create_dir(folder.path().join("mount")).unwrap();
        let mut disk = Self { folder, device: None };
        format(&image).then_some(())?;
        disk.device = attach(&image);
        mount(disk.device.as_deref()?, &disk.root()).then_some(disk)
    }

    /// The folder in which a store is to be made.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// Ends the file system without writing what was not synced, and begins again with what is on
    /// the disk.
    pub(crate) fn cut_power(&self, tools: &Tools) {
        let Some(device) = &self.device else { return };
        let root = self.root();
        assert!(run(Command::new(tools.stage()).arg("cut").arg(&root)), "the power can be cut");
        leave(device, &root);
        assert!(mount(device, &root), "{} is mounted again", root.display());
    }

    /// Becomes a disk with this content; false if its file system cannot be mounted.
    pub(crate) fn load(&self, content: &Image) -> bool {
        let device = self.device.as_deref().unwrap();
        // What could not be mounted the last time is not.
        let root = self.root();
        let is_mounted =
            fs::metadata(&root).unwrap().dev() != fs::metadata(self.folder.path()).unwrap().dev();
        if is_mounted {
            leave(device, &root);
        }
        let image = fs::File::options().write(true).open(self.folder.path().join("image"));
        content.put(&image.unwrap());
        // The kernel is not to go by what it has read of the disk before.
        run(Command::new("blockdev").arg("--flushbufs").arg(device));
        mount(device, &root)
    }

    /// Removes everything, for good: no power cut brings back what an earlier point has left.
    pub(crate) fn clear(&self) {
        let root = self.root();
        fs::create_dir_all(&root).unwrap();
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::remove_file(path).unwrap();
            } else if !path.ends_with("lost+found") {
                fs::remove_dir_all(path).unwrap();
            }
        }
        if self.device.is_some() {
            assert!(run(Command::new("sync").arg("-f").arg(self.root())), "the disk is synced");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(device) = &self.device {
            unmount(&self.root());
            detach(device);
        }
    }
}

fn fresh() -> TempDir {
    tempfile::Builder::new().prefix("rig-disk-").tempdir_in(memory()).unwrap()
}

/// Makes a file with an empty ext4 file system.
pub(crate) fn format(image: &Path) -> bool {
    fs::File::create(image).and_then(|file| file.set_len(SIZE)).unwrap();
    let mut format = Command::new("mkfs.ext4");
    run(format.args(["-q", "-F", "-E", "lazy_itable_init=1"]).arg(image))
}

/// Makes a file a disk.
pub(crate) fn attach(image: &Path) -> Option<PathBuf> {
    // Another process may take the same free device at the same time.
    (0..10).find_map(|_| {
        let output = Command::new("losetup").args(["-f", "--show"]).arg(image).output().ok()?;
        let name = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| PathBuf::from(name.trim()))
    })
}

/// Gives a disk back.
pub(crate) fn detach(device: &Path) {
    run(Command::new("losetup").arg("-d").arg(device));
}

/// The kernel is not to write tables of its own accord, which would only be noise.
pub(crate) fn mount(device: &Path, root: &Path) -> bool {
    run(Command::new("mount").args(["-o", "noinit_itable"]).arg(device).arg(root))
}

/// The last process that died may hold the file system for an instant.
pub(crate) fn unmount(root: &Path) -> bool {
    (0..200).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        run(Command::new("umount").arg(root))
    })
}

/// Unmounts a file system for good.
fn leave(device: &Path, root: &Path) {
    assert!(unmount(root), "{} is busy", root.display());
    assert!(is_released(device), "{} is mounted elsewhere", device.display());
}

/// Whether nobody has the file system any more. A process that has made mounts of its own meanwhile
/// has this one too until it ends, and what is mounted again then is the one without power.
fn is_released(device: &Path) -> bool {
    let known = Path::new("/sys/fs/ext4").join(device.file_name().unwrap());
    (0..6_000).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        !known.exists()
    })
}

/// Whether a program ends well.
pub(crate) fn run(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
