//! The media type of a file, by its content.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flow_core::schema::{MediaPattern, canonical_media_type};

/// Bytes at the head of a file that tell its type.
const HEAD: u64 = 8192;

/// Media types that are text and that content alone does not tell apart.
const TEXTUAL: [&str; 9] = [
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "application/toml",
    "application/javascript",
    "application/x-subrip",
    "image/svg+xml",
    "application/x-ass",
];

/// The media type of a file. `declared` decides between kinds of text; without it the extension
/// does. Everything else is told by content.
pub(crate) fn detect(path: &Path, declared: Option<&MediaPattern>) -> std::io::Result<String> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    let sniffed = infer::get(&head).map(|kind| canonical_media_type(kind.mime_type()));
    if let Some(found) = &sniffed {
        let fits = declared.is_none_or(|pattern| pattern.matches(found));
        // A more precise kind of the same text, such as SVG in XML, is the declaration's to name.
        if fits || !is_textual(found) {
            return Ok(found.clone());
        }
    }
    if !is_text(path)? {
        return Ok("application/octet-stream".into());
    }
    Ok(match declared.map(ToString::to_string) {
        Some(name) if name.ends_with("/*") && declared.is_some_and(MediaPattern::is_text) => {
            by_extension(path)
        }
        Some(name) if name.starts_with("text/") || TEXTUAL.contains(&name.as_str()) => name,
        _ => by_extension(path),
    })
}

fn is_textual(media_type: &str) -> bool {
    media_type.starts_with("text/") || TEXTUAL.contains(&media_type)
}

/// Whether the whole file is UTF-8 without NUL.
fn is_text(path: &Path) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0_u8; 64 * 1024];
    let mut kept = 0;
    loop {
        let read = file.read(&mut buffer[kept..])?;
        let filled = kept + read;
        let chunk = &buffer[..filled];
        if chunk.contains(&0) {
            return Ok(false);
        }
        let valid = match std::str::from_utf8(chunk) {
            Ok(_) => filled,
            Err(e) if e.error_len().is_none() && read > 0 => e.valid_up_to(),
            Err(_) => return Ok(false),
        };
        if read == 0 {
            return Ok(true);
        }
        buffer.copy_within(valid..filled, 0);
        kept = filled - valid;
    }
}

fn by_extension(path: &Path) -> String {
    let extension =
        path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "json" => "application/json",
        "jsonl" | "ndjson" => "application/x-ndjson",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "md" => "text/markdown",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "yaml" | "yml" => "application/yaml",
        "toml" => "application/toml",
        _ => "text/plain",
    }
    .to_owned()
}
