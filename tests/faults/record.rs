//! A disk that remembers: every write and every flush that a file system sends to it, in order.
//!
//! The disk is a file of a FUSE file system, served here, under a loop device. So it sees all that
//! reaches a real disk, whoever caused it: the engine, its programs, and the kernel itself.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::disk::{self, SIZE};
use crate::image::Image;
use crate::tools::memory;

/// What the disk was told, at a time of the monotonic clock in nanoseconds.
pub(crate) enum Op {
    Write {
        time: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// What was written before is durable from here on.
    Flush,
}

/// A recording disk with a mounted file system.
pub(crate) struct Recorder {
    folder: tempfile::TempDir,
    before: Arc<Image>,
    server: Option<JoinHandle<Vec<Op>>>,
    device: Option<PathBuf>,
}

/// What was recorded.
pub(crate) struct Log {
    /// The disk before the first operation.
    pub(crate) before: Arc<Image>,
    pub(crate) ops: Vec<Op>,
}

impl Recorder {
    /// Mounts a file system on a disk that remembers; `None` where that cannot be done, which takes
    /// root, FUSE and loop devices.
    pub(crate) fn start() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("rig-record-").tempdir_in(memory()).unwrap();
        let image = folder.path().join("image");
        disk::format(&image).then_some(())?;
        let before = Arc::new(Image::read(&image));
        std::fs::remove_file(&image).unwrap();
        for name in ["fuse", "mount"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let fuse = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        let mut recorder = Self { folder, before, server: None, device: None };
        recorder.mount_fuse(&fuse).then_some(())?;
        let content = recorder.before.bytes();
        recorder.server = Some(std::thread::spawn(move || Server { fuse, content }.serve()));
        recorder.device = disk::attach(&recorder.fuse().join("image"));
        disk::mount(recorder.device.as_deref()?, &recorder.root()).then_some(recorder)
    }

    /// The folder in which a store is to be made.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// Ends the recording.
    pub(crate) fn finish(mut self) -> Log {
        Log { before: Arc::clone(&self.before), ops: self.stop() }
    }

    fn fuse(&self) -> PathBuf {
        self.folder.path().join("fuse")
    }

    fn mount_fuse(&self, fuse: &File) -> bool {
        // The program that mounts is to inherit it.
        fcntl_setfd(fuse.as_fd(), FdFlags::empty()).unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", fuse.as_raw_fd());
        let mut mount = Command::new("mount");
        let mounted =
            disk::run(mount.args(["-i", "-t", "fuse", "-o", &options, "rig"]).arg(self.fuse()));
        fcntl_setfd(fuse.as_fd(), FdFlags::CLOEXEC).unwrap();
        mounted
    }

    fn stop(&mut self) -> Vec<Op> {
        if let Some(device) = self.device.take() {
            disk::unmount(&self.root());
            disk::detach(&device);
        }
        let Some(server) = self.server.take() else { return Vec::new() };
        disk::unmount(&self.fuse());
        server.join().unwrap()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Serves a file system with one file, `image`.
struct Server {
    fuse: File,
    content: Vec<u8>,
}

/// Inodes: the root folder is always 1.
const IMAGE: u64 = 2;
/// The largest write, and the version of the protocol that is spoken.
const MAX_WRITE: u32 = 1 << 20;
const VERSION: (u32, u32) = (7, 31);
/// Flags of the answer to INIT: writes of more than a page, up to `max_pages` of them.
const BIG_WRITES_AND_MAX_PAGES: u32 = 1 << 5 | 1 << 22;
/// Past the kernel's page cache: a write is here when it is done.
const DIRECT_IO: u32 = 1;
const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

impl Server {
    /// Answers until the file system is unmounted.
    fn serve(mut self) -> Vec<Op> {
        let mut ops = Vec::new();
        let mut buffer = vec![0; MAX_WRITE as usize + (64 << 10)];
        // At the end the kernel says that there is no such device.
        while let Ok(size) = self.fuse.read(&mut buffer) {
            let request = Request(&buffer[..size]);
            if let Some(answer) = self.answer(&request, &mut ops) {
                send(&mut self.fuse, request.unique(), answer);
            }
        }
        ops
    }

    fn answer(&mut self, request: &Request, ops: &mut Vec<Op>) -> Option<Result<Vec<u8>, i32>> {
        const FORGET: u32 = 2;
        const INTERRUPT: u32 = 36;
        const BATCH_FORGET: u32 = 42;
        let answer = match request.opcode() {
            FORGET | INTERRUPT | BATCH_FORGET => return None,
            // LOOKUP
            1 if request.body() == b"image\0" => Ok(entry()),
            1 => Err(ENOENT),
            // GETATTR, SETATTR
            3 | 4 => Ok([&[0; 16][..], &attributes(request.node())].concat()),
            // OPEN
            14 => Ok([&0_u64.to_le_bytes()[..], &DIRECT_IO.to_le_bytes(), &[0; 4]].concat()),
            // READ
            15 => {
                let (from, size) = (request.u64(8) as usize, request.u32(16) as usize);
                let end = self.content.len().min(from + size);
                Ok(self.content[from.min(end)..end].to_vec())
            }
            // WRITE
            16 => {
                let (offset, size) = (request.u64(8), request.u32(16));
                let bytes = request.body()[40..][..size as usize].to_vec();
                self.content[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
                ops.push(Op::Write { time: now(), offset, bytes });
                Ok([size.to_le_bytes(), [0; 4]].concat())
            }
            // STATFS
            17 => Ok(vec![0; 80]),
            // FSYNC
            20 => {
                ops.push(Op::Flush);
                Ok(Vec::new())
            }
            // RELEASE, FLUSH, DESTROY
            18 | 25 | 38 => Ok(Vec::new()),
            // INIT
            26 => Ok(init()),
            _ => Err(ENOSYS),
        };
        Some(answer)
    }
}

/// One message of the kernel: a header of 40 bytes, then what the operation has.
struct Request<'a>(&'a [u8]);

impl Request<'_> {
    fn opcode(&self) -> u32 {
        u32::from_le_bytes(self.0[4..8].try_into().unwrap())
    }

    fn unique(&self) -> u64 {
        u64::from_le_bytes(self.0[8..16].try_into().unwrap())
    }

    fn node(&self) -> u64 {
        u64::from_le_bytes(self.0[16..24].try_into().unwrap())
    }

    fn body(&self) -> &[u8] {
        &self.0[40..]
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.body()[at..][..8].try_into().unwrap())
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.body()[at..][..4].try_into().unwrap())
    }
}

fn send(fuse: &mut File, unique: u64, answer: Result<Vec<u8>, i32>) {
    let (error, body) = answer.map_or_else(|code| (-code, Vec::new()), |body| (0, body));
    let size = 16 + body.len() as u32;
    let header = [&size.to_le_bytes()[..], &error.to_le_bytes(), &unique.to_le_bytes()];
    let message = [&header.concat()[..], &body].concat();
    // Whoever asked may have gone meanwhile.
    drop(fuse.write(&message));
}

fn init() -> Vec<u8> {
    let mut answer = Vec::new();
    let words = [VERSION.0, VERSION.1, MAX_WRITE, BIG_WRITES_AND_MAX_PAGES];
    words.iter().for_each(|word| answer.extend(word.to_le_bytes()));
    // Requests in the background, and from how many on there are too many.
    [16_u16, 12].iter().for_each(|word| answer.extend(word.to_le_bytes()));
    // The largest write, and how exact times are.
    [MAX_WRITE, 1].iter().for_each(|word| answer.extend(word.to_le_bytes()));
    answer.extend(((MAX_WRITE >> 12) as u16).to_le_bytes());
    answer.resize(64, 0);
    answer
}

/// `image`, and that neither its name nor its attributes ever change.
fn entry() -> Vec<u8> {
    let words = [IMAGE, 0, u64::from(u32::MAX), u64::from(u32::MAX), 0];
    let mut answer: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    answer.extend(attributes(IMAGE));
    answer
}

fn attributes(node: u64) -> Vec<u8> {
    let (size, mode, links) = if node == IMAGE { (SIZE, 0o100_600, 1) } else { (0, 0o40_700, 2) };
    let mut answer: Vec<u8> =
        [node, size, size / 512, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    // Parts of seconds, mode, links, owner, device, size of a block.
    let words = [0_u32, 0, 0, mode, links, 0, 0, 0, 4096, 0];
    answer.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    answer
}

/// Nanoseconds of the clock that the programs note.
pub(crate) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// All files of a folder with the digests of their bytes, all folders, and where links lead to.
pub(crate) fn listing(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if kind.is_dir() {
                found.push(format!("{name}/"));
                open.push(path);
            } else if kind.is_file() {
                found.push(format!("{name} {}", blake3::hash(&std::fs::read(&path).unwrap())));
            } else {
                found.push(format!("{name} {kind:?}"));
            }
        }
    }
    found.sort();
    found
}
