//! `flow validate`: everything that can be known of workflow files before running.

use flow_core::diagnostic::Diagnostic;
use flow_core::schema::Severity;

use crate::args::ValidateArgs;
use crate::failure::{Exit, Failure};
use crate::prepare::{self, Examined};
use crate::report::text::{clean, count};
use crate::report::{diagnostics, tell};
use crate::session::{Session, Verbosity};

/// A program that is not there. Only a warning: the file may run on another machine.
pub(crate) const MISSING_TOOL: &str = "W151";

pub(crate) fn run(args: &ValidateArgs, env: &Session) -> Result<Exit, Failure> {
    let catalog = env.catalog();
    let mut exit = Exit::SUCCEEDED;
    for file in &args.files {
        let valid = match Examined::read(file, &catalog) {
            Ok(examined) => tell_file(examined, env),
            // One file that cannot be read does not keep the others from being checked.
            Err(failure) => {
                failure.report(env);
                false
            }
        };
        if !valid {
            exit = Exit::INVALID;
        }
    }
    Ok(exit)
}

/// Tells what is to be said of one file, and whether it is valid.
fn tell_file(mut examined: Examined, env: &Session) -> bool {
    let missing = missing_tools(&examined);
    examined.diagnostics.extend(missing);
    let found = &examined.diagnostics;
    let name = clean(&examined.source.name);
    if env.json {
        env.out.line(&diagnostics::to_json(found, &examined.source).to_string());
    } else {
        tell(&diagnostics::render(found, &examined.source, env.stderr.is_on()));
    }
    let errors = found.iter().filter(|d| d.severity == Severity::Error).count();
    match (&examined.graph, errors) {
        (Some(graph), 0) => {
            let nodes = count(graph.nodes().len(), "node");
            if env.verbosity > Verbosity::Quiet {
                tell(&format!("{name}: {}, {nodes}\n", env.stderr.good("valid")));
            }
            true
        }
        _ => {
            let word = env.stderr.bad("error");
            tell(&format!("{word}: {name} is not valid: {}\n", count(errors, "fault")));
            if !env.json {
                tell(&diagnostics::way_to_explain(found, env));
            }
            false
        }
    }
}

/// Warnings for what this machine lacks, each at the first node that needs it.
fn missing_tools(examined: &Examined) -> Vec<Diagnostic> {
    let (Some(graph), Some(definition)) = (&examined.graph, &examined.definition) else {
        return Vec::new();
    };
    let warning = |tool: prepare::MissingTool| {
        let first =
            tool.nodes.first().and_then(|node| definition.nodes.get(node.split('/').next()?));
        let span = first.map_or(0..0, |node| node.stage.span.clone());
        let message = format!("this machine lacks {}", tool.missing.what);
        let warning = Diagnostic::error(MISSING_TOOL, span, message)
            .label(format!("needed by {}", tool.nodes.join(", ")))
            .help(tool.missing.fix);
        Diagnostic { severity: Severity::Warning, ..warning }
    };
    prepare::missing(graph, None, |_| true).into_iter().map(warning).collect()
}
