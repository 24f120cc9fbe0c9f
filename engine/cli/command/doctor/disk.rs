//! The disk under a store: how much room it has, and what kind of file system it is.

use std::path::Path;

use super::Check;
use crate::report::text::bytes;

/// With less room than this a run may soon end for want of it.
const LITTLE: u64 = 1_000_000_000;
/// With less than this nothing works.
const NOTHING: u64 = 50_000_000;

/// Room and kind of the disk that has `folder`.
pub(super) fn checks(folder: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            checks.push(room(folder, disk.f_bavail.saturating_mul(disk.f_frsize)));
            // A file system without a fixed number of files says 0.
            checks.extend((disk.f_files > 0).then(|| files(folder, disk.f_favail)).flatten());
        }
        Err(error) => checks.push(Check::warning(
            "disk",
            format!("{} cannot be asked: {error}", folder.display()),
            "check the disk that holds the store",
        )),
    }
    checks.extend(kind_of(folder).and_then(kind));
    checks
}

fn room(folder: &Path, free: u64) -> Check {
    let message = format!("{} free at {}", bytes(free), folder.display());
    let fix =
        "make room with `flow gc --older-than 30d`, or put the store on another disk with --store";
    match free {
        0..NOTHING => Check::fault("disk", message, fix),
        NOTHING..LITTLE => Check::warning("disk", message, fix),
        _ => Check::ok("disk", message),
    }
}

/// Small files use up their number before the room.
fn files(folder: &Path, free: u64) -> Option<Check> {
    (free < 1000).then(|| {
        Check::warning(
            "disk",
            format!("room for only {free} more files at {}", folder.display()),
            "remove files, or put the store on another disk with --store",
        )
    })
}

/// What a kind of file system means for a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Other systems than Linux tell nothing of it.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
enum Kind {
    Network(&'static str),
    Memory,
    Local,
}

fn kind(kind: Kind) -> Option<Check> {
    match kind {
        Kind::Network(name) => Some(Check::warning(
            "file system",
            format!("the store is on {name}, whose locks and syncs cannot be relied on"),
            "keep the store on a local disk, with --store or FLOW_STORE",
        )),
        // Nobody puts a store there by accident, and nothing but a restart takes it away.
        Kind::Memory => Some(Check::ok(
            "file system",
            "the store is in memory, and gone after a restart of the machine",
        )),
        Kind::Local => None,
    }
}

#[cfg(target_os = "linux")]
fn kind_of(folder: &Path) -> Option<Kind> {
    let found = rustix::fs::statfs(folder).ok()?;
    // The numbers are those of statfs(2); their type differs from machine to machine.
    Some(of_number(found.f_type as u64 & 0xffff_ffff))
}

/// Where the system cannot be asked, trying a lock has to do.
#[cfg(not(target_os = "linux"))]
fn kind_of(_: &Path) -> Option<Kind> {
    None
}

#[cfg(target_os = "linux")]
fn of_number(number: u64) -> Kind {
    match number {
        0x6969 => Kind::Network("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Kind::Network("SMB"),
        0x0102_1997 => Kind::Network("9p"),
        0x5346_414f => Kind::Network("AFS"),
        0x00c3_6400 => Kind::Network("Ceph"),
        0x0bd0_0bd0 => Kind::Network("Lustre"),
        0x0102_1994 | 0x8584_58f6 => Kind::Memory,
        _ => Kind::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn little_room_is_a_warning_and_none_a_fault() {
        let level = |free| room(Path::new("/data"), free).level;
        assert_eq!(level(49_999_999), Level::Fault);
        assert_eq!(level(50_000_000), Level::Warning);
        assert_eq!(level(1_000_000_000), Level::Ok);
        assert!(files(Path::new("/data"), 999).is_some());
        assert!(files(Path::new("/data"), 1000).is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn stores_on_a_network_are_warned_of_and_those_in_memory_are_told() {
        for (number, name) in [(0x6969, "NFS"), (0xff53_4d42, "SMB"), (0x0102_1997, "9p")] {
            let check = kind(of_number(number)).expect("a warning");
            assert!(check.message.contains(name), "{check:?}");
        }
        let memory = kind(of_number(0x0102_1994)).expect("it is told");
        assert!(memory.level == Level::Ok && memory.message.contains("memory"), "{memory:?}");
        // ext4, XFS, Btrfs.
        for number in [0xef53, 0x5846_5342, 0x9123_683e] {
            assert_eq!(kind(of_number(number)), None);
        }
    }
}
