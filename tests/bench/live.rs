//! What the live view costs: one run on a terminal, quiet, with the view, and with plain lines, in
//! turn.
//!
//! `cargo bench --bench live -- [NODES] [ROUNDS]` runs a layered DAG of no-ops (10 layers, two
//! dependencies each, 10,000 nodes unless told otherwise) and prints the median of each, and of the
//! ratios to the quiet run of the same round. Seconds differ from machine to machine; ratios of one
//! table can be compared.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

/// What is compared: a name, the value of `TERM`, and options. The first is what the others are
/// measured by.
const KINDS: [(&str, &str, &[&str]); 3] =
    [("quiet", "xterm-256color", &["-q"]), ("view", "xterm-256color", &[]), ("lines", "dumb", &[])];

fn main() {
    let arguments: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let nodes = arguments.first().copied().unwrap_or(10_000);
    let rounds = arguments.get(1).copied().unwrap_or(31);
    let folder = std::env::temp_dir().join(format!("flow-live-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("flow.toml"), layered(nodes)).unwrap();
    let mut seconds: [Vec<f64>; KINDS.len()] = Default::default();
    for round in 0..rounds {
        // Each is the first as often as the last.
        for place in 0..KINDS.len() {
            let kind = if round % 2 == 0 { place } else { KINDS.len() - 1 - place };
            seconds[kind].push(run(&folder, kind));
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    println!("{nodes} no-ops in 10 layers on a terminal, {rounds} rounds");
    for ((name, ..), times) in KINDS.iter().zip(&seconds) {
        let ratios = times.iter().zip(&seconds[0]).map(|(time, quiet)| time / quiet).collect();
        println!("  {name:5} {:7.3} s   {:6.3} × quiet", median(times.clone()), median(ratios));
    }
}

/// Layers of a tenth of the nodes, each node after two of the layer before.
fn layered(nodes: usize) -> String {
    let width = (nodes / 10).max(1);
    let mut text = String::from("[workflow]\nname = \"layers\"\nmax_parallel = 2\n");
    for node in 0..nodes {
        let (layer, place) = (node / width, node % width);
        let above = |place: usize| format!("\"t{}\"", (layer - 1) * width + place % width);
        let after = match layer {
            0 => String::new(),
            _ if width == 1 => above(0),
            _ => format!("{}, {}", above(place), above(place + 1)),
        };
        writeln!(text, "[nodes.t{node}]\nstage = \"noop\"\nafter = [{after}]").unwrap();
    }
    text
}

/// Seconds of one run in a terminal that is read as fast as it comes.
fn run(folder: &Path, kind: usize) -> f64 {
    let (_, term, options) = KINDS[kind];
    std::fs::remove_dir_all(folder.join(".flow")).ok();
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_flow"));
    command.args(["run", "flow.toml"]);
    command.args(options);
    command.cwd(folder);
    command.env("TERM", term);
    command.env_remove("FLOW_STORE");
    let mut reader = pair.master.try_clone_reader().unwrap();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while matches!(reader.read(&mut buffer), Ok(1..)) {}
    });
    let start = Instant::now();
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let status = child.wait().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert!(status.success(), "{status:?}");
    reading.join().unwrap();
    seconds
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
