//! The benchmark: `flow` and the build tools at hand on the same work, as ratios of one run.
//!
//! `cargo bench --bench peers` prints a table. Seconds differ from machine to machine; ratios within
//! one table can be compared. A peer that is not installed is left out.
//!
//! - A: a layered DAG of no-ops, 10 layers, two dependencies each.
//! - B: independent `/bin/true`, two at a time, output captured.
//! - version: `flow --version`.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let a = arguments.first().copied().unwrap_or(10_000);
    let b = arguments.get(1).copied().unwrap_or(2_000);
    let folder = std::env::temp_dir().join(format!("flow-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    layered(&folder, a);
    independent(&folder, b);
    version(&folder);
    fs::remove_dir_all(&folder).unwrap();
}

fn layered(folder: &Path, n: usize) {
    let at = folder.join("a");
    fs::create_dir_all(&at).unwrap();
    let width = n / 10;
    let needs = |i: usize| match i / width {
        0 => Vec::new(),
        layer => {
            let (above, place) = ((layer - 1) * width, i % width);
            let (first, second) = (above + place, above + (place + 1) % width);
            if first == second { vec![first] } else { vec![first, second] }
        }
    };
    let mut flow = String::from("[workflow]\nname = \"layers\"\nmax_parallel = 2\n");
    let mut make =
        format!("all:{}\n", (n - width..n).map(|i| format!(" t{i}")).collect::<String>());
    let mut doit = String::from("def nothing():\n    pass\ndef task_n():\n");
    for i in 0..n {
        let names: Vec<String> = needs(i).iter().map(|d| format!("t{d}")).collect();
        let after = names.iter().map(|d| format!("\"{d}\"")).collect::<Vec<_>>().join(", ");
        writeln!(flow, "[nodes.t{i}]\nstage = \"noop\"\nafter = [{after}]").unwrap();
        writeln!(make, "t{i}: {}\n\t@:", names.join(" ")).unwrap();
        let deps = names.iter().map(|d| format!("'n:{d}'")).collect::<Vec<_>>().join(",");
        writeln!(
            doit,
            "    yield {{'name':'t{i}','actions':[nothing],'task_dep':[{deps}],'verbosity':0}}"
        )
        .unwrap();
    }
    fs::write(at.join("flow.toml"), flow).unwrap();
    fs::write(at.join("Makefile"), make).unwrap();
    fs::write(at.join("dodo.py"), doit).unwrap();
    println!("A: {n} no-ops in 10 layers, every completion synced by flow alone");
    let mut table = Table::default();
    table.row(
        "flow",
        || flow_run(&at),
        |dir| measure(dir, flow_bin(), &["-q", "run", "flow.toml"]),
    );
    table.row("make", || at.clone(), |dir| measure(dir, "make", &["-j2", "-s"]));
    table.row(
        "doit",
        || {
            fs::remove_file(at.join(".doit.db")).ok();
            at.clone()
        },
        |dir| measure(dir, "doit", &["run", "-v0", "--reporter", "zero"]),
    );
    table.print();
    let limit = 30_000 + 4 * n as u64;
    println!(
        "  flow's peak memory: {} KB (limit 30 MB + 4 KB a node: {limit} KB)\n",
        peak_memory(&flow_run(&at))
    );
}

fn independent(folder: &Path, n: usize) {
    let at = folder.join("b");
    fs::create_dir_all(&at).unwrap();
    let mut flow = String::from("[workflow]\nname = \"wide\"\nmax_parallel = 2\n");
    let mut make = format!("all:{}\n", (0..n).map(|i| format!(" t{i}")).collect::<String>());
    let mut ninja = String::from("rule t\n  command = /bin/true\n");
    for i in 0..n {
        writeln!(flow, "[nodes.t{i}]\nstage = \"command\"\nwith = {{ argv = [\"/bin/true\"] }}")
            .unwrap();
        writeln!(make, "t{i}:\n\t@/bin/true").unwrap();
        writeln!(ninja, "build t{i}: t").unwrap();
    }
    fs::write(at.join("flow.toml"), flow).unwrap();
    fs::write(at.join("Makefile"), make).unwrap();
    fs::write(at.join("build.ninja"), ninja).unwrap();
    println!("B: {n} independent /bin/true, two at a time, output captured by flow alone");
    let mut table = Table::default();
    table.row(
        "flow",
        || flow_run(&at),
        |dir| measure(dir, flow_bin(), &["-q", "run", "flow.toml"]),
    );
    table.row("make", || at.clone(), |dir| measure(dir, "make", &["-j2", "-s"]));
    table.row(
        "ninja",
        || {
            fs::remove_file(at.join(".ninja_log")).ok();
            at.clone()
        },
        |dir| measure(dir, "ninja", &["-j2", "--quiet"]),
    );
    table.print();
    println!();
}

fn version(folder: &Path) {
    let mut times: Vec<Duration> =
        (0..20).filter_map(|_| measure(folder, flow_bin(), &["--version"])).collect();
    times.sort();
    println!("version: {:.1} ms", times[times.len() / 2].as_secs_f64() * 1000.0);
}

/// A fresh folder with the workflow in it, so that every round starts without a store.
fn flow_run(at: &Path) -> PathBuf {
    let dir = at.join("run");
    fs::remove_dir_all(&dir).ok();
    fs::create_dir_all(dir.join(".flow")).unwrap();
    fs::remove_dir(dir.join(".flow")).unwrap();
    fs::copy(at.join("flow.toml"), dir.join("flow.toml")).unwrap();
    dir
}

fn flow_bin() -> &'static str {
    env!("CARGO_BIN_EXE_flow")
}

fn measure(dir: &Path, program: &str, arguments: &[&str]) -> Option<Duration> {
    let start = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .env_remove("FLOW_STORE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    let elapsed = start.elapsed();
    assert!(status.success(), "{program} failed in {}", dir.display());
    Some(elapsed)
}

fn peak_memory(dir: &Path) -> u64 {
    let script = r#"import resource,subprocess,sys; subprocess.run(sys.argv[1:],check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"#;
    let output = Command::new("python3")
        .args(["-c", script, flow_bin(), "-q", "run", "flow.toml"])
        .current_dir(dir)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0)
}

/// Medians of the tools, against the first row.
#[derive(Default)]
struct Table(Vec<(&'static str, Duration)>);

impl Table {
    fn row(
        &mut self,
        name: &'static str,
        prepare: impl Fn() -> PathBuf,
        run: impl Fn(&Path) -> Option<Duration>,
    ) {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            match run(&prepare()) {
                Some(time) => times.push(time),
                None => {
                    println!("  {name:6} is not installed");
                    return;
                }
            }
        }
        times.sort();
        self.0.push((name, times[ROUNDS / 2]));
    }

    fn print(&self) {
        let Some((_, own)) = self.0.first() else { return };
        for (name, time) in &self.0 {
            let ratio = own.as_secs_f64() / time.as_secs_f64();
            println!("  {name:6} {:8.3} s   flow is {ratio:5.2} × {name}", time.as_secs_f64());
        }
    }
}
