//! Bytes: encodings, line ends, sizes and depths.

use std::path::Path;

use super::{HEAD, parse, plain, valid};
use crate::{LoadError, codes, load};

fn write(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("flow.toml");
    std::fs::write(&path, bytes).expect("a file");
    (dir, path)
}

#[test]
fn crlf_and_a_byte_order_mark_change_nothing() {
    let text = format!("{HEAD}[nodes.a]\nstage = \"command\"\nwith.argv = [\"x\"]\n");
    let plain = valid(&text);
    for odd in [
        format!("\u{feff}{text}"),
        text.replace('\n', "\r\n"),
        format!("\u{feff}{}", text.replace('\n', "\r\n")),
    ] {
        let definition = valid(&odd);
        assert_eq!(definition.name.value, plain.name.value);
        assert_eq!(definition.nodes["a"].with.value, plain.nodes["a"].with.value);
        let (_dir, path) = write(odd.as_bytes());
        let loaded = load(&path).expect("a readable file");
        assert!(loaded.diagnostics.is_empty());
    }
}

#[test]
fn places_are_right_behind_a_byte_order_mark_and_crlf() {
    let loaded = parse("\u{feff}[workflow]\r\nname = 5\r\n");
    assert!(plain(&loaded).starts_with("W011 2:8 "), "{}", plain(&loaded));
    let loaded = parse("\u{feff}nme = 5\r\n[workflow]\r\nname = \"w\"\r\n");
    assert!(plain(&loaded).starts_with("W010 1:1 ") || plain(&loaded).starts_with("W008 1:1 "));
}

#[test]
fn bytes_that_are_not_text_are_told_with_their_place() {
    let (_dir, path) = write(b"[workflow]\nname = \"caf\xe9\"\n");
    let loaded = load(&path).expect("a readable file");
    assert!(loaded.definition.is_none() && !loaded.is_valid());
    assert_eq!(
        plain(&loaded),
        "W001 2:12 the file is not UTF-8 text <\u{fffd}>\n  at 2:12 byte 0xe9 at offset 22 begins no character\n  help: save the file with the encoding UTF-8\n"
    );
    let (_dir, path) = write(b"\xff\xfe[\0w\0");
    let loaded = load(&path).expect("a readable file");
    assert!(plain(&loaded).starts_with("W001 1:1 the file is UTF-16"), "{}", plain(&loaded));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_path() {
    let LoadError::Io { path, .. } = load(Path::new("/no/such/flow.toml")).expect_err("no file");
    assert_eq!(path, Path::new("/no/such/flow.toml"));
    assert!(load(Path::new("/")).is_err());
}

#[test]
fn a_file_over_the_limit_is_refused_and_a_large_one_loads() {
    let mut text = HEAD.as_bytes().to_vec();
    text.extend_from_slice(b"# ");
    text.resize(50 * 1024 * 1024, b'x');
    let (_dir, path) = write(&text);
    assert!(load(&path).expect("a readable file").is_valid());
    text.resize(64 * 1024 * 1024 + 1, b'x');
    let (_dir, path) = write(&text);
    let loaded = load(&path).expect("a readable file");
    assert_eq!(loaded.diagnostics[0].code, codes::TOO_LARGE);
}

#[test]
fn deep_nesting_is_a_fault_and_no_stack_overflow() {
    let dotted = vec!["a"; 79].join(".");
    let inner = format!("{}1{}", format!("{{ {dotted} = ").repeat(79), " }".repeat(79));
    let bodies = [
        format!("x = {}{}", "[".repeat(5000), "]".repeat(5000)),
        format!("x = {}1{}", "{ a = ".repeat(5000), " }".repeat(5000)),
        format!("{} = 1", vec!["a"; 5000].join(".")),
        format!("[{}]", vec!["a"; 5000].join(".")),
        format!("[nodes.a]\nstage = \"value\"\nwith = {inner}"),
        format!("[nodes.a]\nstage = \"value\"\nwith = {inner}\nwith = {inner}"),
    ];
    for body in bodies {
        let loaded = parse(&format!("{HEAD}{body}\n"));
        let told = loaded.diagnostics.iter().any(|d| d.code == codes::TOO_DEEP);
        assert!(told, "{}", plain(&loaded));
    }
}

#[test]
fn long_types_are_a_fault_or_short_ones_and_no_stack_overflow() {
    for ty in [
        "?".repeat(500_000),
        "[]".repeat(500_000),
        "list<".repeat(500_000),
        "list[".repeat(500_000),
    ] {
        plain(&parse(&format!("{HEAD}[params]\na = \"string{ty}\"\nb = \"{ty}\"\n")));
    }
}

#[test]
fn values_may_nest_as_deep_as_toml_lets_them() {
    let list = format!("{}1{}", "[".repeat(70), "]".repeat(70));
    let definition = valid(&format!("{HEAD}[nodes.a]\nstage = \"value\"\nwith.value = {list}\n"));
    let mut value = &definition.nodes["a"].with.value["value"];
    for _ in 0..70 {
        value = &value[0];
    }
    assert_eq!(*value, 1);
}

#[test]
fn syntax_faults_of_a_hopeless_file_are_few() {
    let loaded = parse(&"] = [\n".repeat(10_000));
    assert!(!loaded.is_valid() && loaded.diagnostics.len() <= 40, "{}", loaded.diagnostics.len());
    let loaded = parse(&"]\n".repeat(2 * 1024 * 1024));
    assert_eq!(loaded.diagnostics.len(), 1);
}
