//! From a path to text: size, encoding, and where the file lives.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flow_core::definition::{Source, Span};
use flow_core::diagnostic::Diagnostic;

use crate::{LoadError, Loaded, codes};

/// The largest workflow file, in bytes. A file of 100,000 nodes is about a quarter of this.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

pub(crate) fn load(path: &Path) -> Result<Loaded, LoadError> {
    let failed = |source| LoadError::Io { path: path.to_owned(), source };
    let dir = folder(path).map_err(failed)?;
    let bytes = read(path).map_err(failed)?;
    let name = path.display().to_string();
    if bytes.len() as u64 > MAX_BYTES {
        return Ok(refused(&name, String::new(), dir, too_large()));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => {
            let folder = dir.clone();
            Ok(crate::parse_with(&name, text, dir, &|path| read_text(&folder.join(path))))
        }
        Err(error) => {
            // The replacement character of the first bad byte stands exactly at its offset,
            // because everything before it is valid.
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let at = error.valid_up_to();
            let fault = not_utf8(&bytes, at, at..at + '\u{fffd}'.len_utf8());
            Ok(refused(&name, text, dir, fault))
        }
    }
}

/// The absolute folder of a file, without asking the disk about links.
fn folder(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    Ok(absolute.parent().map_or_else(|| absolute.clone(), Path::to_path_buf))
}

/// Reads at most one byte more than is allowed, so that an endless file ends too.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a file that belongs to a workflow file.
fn read_text(path: &Path) -> Result<String, String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("{} does not exist", path.display()),
        _ => format!("{}: {error}", path.display()),
    };
    // Opening a FIFO would wait for its other end.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{} is not a file", path.display()));
    }
    let bytes = read(path).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{} is larger than 64 MiB", path.display()));
    }
    String::from_utf8(bytes).map_err(|e| format!("{} is not UTF-8 text: {e}", path.display()))
}

fn refused(name: &str, text: String, dir: PathBuf, fault: Diagnostic) -> Loaded {
    Loaded {
        definition: None,
        complete: false,
        diagnostics: vec![fault],
        files: BTreeMap::new(),
        run_settings: Vec::new(),
        source: Source { name: name.to_owned(), text: text.into(), dir },
    }
}

fn too_large() -> Diagnostic {
    Diagnostic::error(codes::TOO_LARGE, 0..0, "the file is larger than 64 MiB")
        .help("a workflow file describes the work; keep data in files of its own and bind them as parameters of type `file`")
}

fn not_utf8(bytes: &[u8], at: usize, span: Span) -> Diagnostic {
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let (message, label) = if is_utf16 {
        ("the file is UTF-16, and TOML is UTF-8".to_owned(), "the mark of UTF-16".to_owned())
    } else {
        let byte = bytes.get(at).copied().unwrap_or_default();
        (
            "the file is not UTF-8 text".to_owned(),
            format!("byte 0x{byte:02x} at offset {at} begins no character"),
        )
    };
    Diagnostic::error(codes::NOT_UTF8, span, message)
        .label(label)
        .help("save the file with the encoding UTF-8")
}
