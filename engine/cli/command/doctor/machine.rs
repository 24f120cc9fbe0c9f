//! The machine: programs of the media stages, limits, time zones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flow_core::stage::{Missing, NodeView};
use flow_stages::process::resolve;
use rustix::process::{Resource, getrlimit};

use super::Check;
use crate::report::traces;
use crate::session::Session;

/// Programs of the media stages.
const PROGRAMS: [&str; 3] = ["ffmpeg", "ffprobe", "espeak-ng"];

/// Fewer open files than this are soon used up: each program that runs has a few.
const FILES: u64 = 1024;

/// What the stages need, each with its usual settings. A machine without it runs all workflows that
/// do not use them.
pub(super) fn media(env: &Session) -> Vec<Check> {
    let mut checks: Vec<Check> = PROGRAMS
        .into_iter()
        .filter_map(|name| Some((name, resolve(Path::new(name), None)?)))
        .map(|(name, path)| Check::ok("program", format!("{name} is {}", path.display())))
        .collect();
    let lacking = lacking(env);
    checks.extend(lacking.into_iter().map(|Missing { what, fix }| {
        Check::warning("media stages", format!("this machine lacks {what}"), fix)
    }));
    checks.push(Check::ok("font", "one for slides and captions is part of flow"));
    checks
}

/// All that some stage lacks.
fn lacking(env: &Session) -> BTreeSet<Missing> {
    let (config, inputs, tools) = (serde_json::json!({}), BTreeMap::new(), BTreeMap::new());
    let view = NodeView {
        config: &config,
        inputs: &inputs,
        outputs: &[],
        tools: &tools,
        workflow_dir: Path::new("."),
        uses: &[],
        params: &[],
    };
    env.catalog().stages().flat_map(|stage| stage.preflight(&view)).collect()
}

/// Limits of this process, and what it knows of time.
pub(super) fn checks() -> Vec<Check> {
    let collector = traces::endpoint().map(|endpoint| endpoint.variable);
    vec![
        open_files(getrlimit(Resource::Nofile).current),
        time_zones(),
        traced(traces::ARE_BUILT_IN, collector),
    ]
}

/// Whether traces are sent, by whether they can be and by the variable that names a collector.
fn traced(are_built_in: bool, variable: Option<&str>) -> Check {
    match (are_built_in, variable) {
        (true, Some(variable)) => Check::ok("traces", format!("go where {variable} says")),
        (true, None) => Check::ok("traces", "off: OTEL_EXPORTER_OTLP_ENDPOINT names a collector"),
        (false, None) => Check::ok("traces", "not part of this build"),
        (false, Some(variable)) => Check::warning(
            "traces",
            format!("{variable} names a collector, and traces are not part of this build"),
            "build it with: cargo build --release --features otel",
        ),
    }
}

fn open_files(limit: Option<u64>) -> Check {
    match limit {
        Some(limit) if limit < FILES => Check::warning(
            "limit",
            format!("{limit} open files, and many programs at once need more"),
            format!("raise it: ulimit -n {FILES}"),
        ),
        Some(limit) => Check::ok("limit", format!("{limit} open files")),
        None => Check::ok("limit", "any number of open files"),
    }
}

fn time_zones() -> Check {
    match jiff::tz::TimeZone::get("America/New_York") {
        Ok(_) => Check::ok("time zones", "known"),
        Err(error) => Check::fault(
            "time zones",
            error.to_string(),
            "apt-get install tzdata (Debian, Ubuntu); macOS brings them",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn few_open_files_are_a_warning_with_the_way_out() {
        let check = open_files(Some(256));
        assert_eq!(check.level, Level::Warning);
        assert_eq!(check.fix.as_deref(), Some("raise it: ulimit -n 1024"));
        assert_eq!(open_files(Some(1024)).level, Level::Ok);
        assert_eq!(open_files(None).level, Level::Ok);
    }

    #[test]
    fn a_collector_that_gets_no_traces_is_a_warning() {
        let variable = Some("OTEL_EXPORTER_OTLP_ENDPOINT");
        assert_eq!(traced(false, variable).level, Level::Warning);
        let all = [traced(false, None), traced(true, None), traced(true, variable)];
        assert!(all.iter().all(|check| check.level == Level::Ok));
    }

    #[test]
    fn time_zones_are_part_of_the_program() {
        assert_eq!(time_zones().level, Level::Ok);
    }
}
