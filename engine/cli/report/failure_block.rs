//! A failure in full: what failed, why, the command line, the last words of the program, and what
//! to do next.

use flow_core::error::StageError;

use super::style::Paint;
use super::text::{clean, clean_lines, command_line, ends};

/// Lines of stderr that are shown; the whole is kept in the store.
const TAIL_LINES: usize = 12;

/// Characters of such a line that are shown.
const LINE_MAX: usize = 400;

/// The failure of `name` as a block of lines, ending with `next`, the command to go on.
pub(crate) fn render(name: &str, error: &StageError, next: Option<&str>, paint: Paint) -> String {
    let attempt = match error.attempt {
        0 => String::new(),
        n => format!(" attempt {n}"),
    };
    let mut out = format!(
        "{} {}{attempt} failed: {} {}\n  {}\n",
        paint.bad("✘"),
        paint.strong(name),
        paint.bad(error.class.name()),
        paint.dim(&format!("[{}]", clean(&error.code))),
        clean(&format!("{}: {}", error.operation, error.message)),
    );
    let mut row = |label: &str, text: &str| {
        out.push_str(&format!("  {} {}\n", paint.dim(&format!("{label:<9}")), clean(text)));
    };
    for cause in error.causes.iter().filter(|cause| !cause.is_empty()) {
        row("cause", cause);
    }
    let facts = [
        ("port", &error.port),
        ("at", &error.pointer),
        ("expected", &error.expected),
        ("found", &error.found),
        ("provider", &error.provider),
        ("request", &error.request_id),
    ];
    for (label, fact) in facts {
        if let Some(text) = fact.as_deref().filter(|text| !text.is_empty()) {
            row(label, text);
        }
    }
    if let Some(offset) = error.offset {
        row("byte", &offset.to_string());
    }
    if !error.argv.is_empty() {
        row("command", &command_line(&error.argv));
    }
    if let Some(code) = error.exit_code {
        row("exit code", &code.to_string());
    }
    if let Some(signal) = &error.signal {
        row("signal", signal);
    }
    out.push_str(&tail(&error.stderr_tail, paint));
    if let Some(hint) = &error.hint {
        out.push_str(&format!("  {}     {}\n", paint.good("help:"), clean(hint)));
    }
    if let Some(next) = next {
        out.push_str(&format!("  {}     {next}\n", paint.good("next:")));
    }
    out
}

/// The last lines that a program wrote to stderr.
fn tail(text: &str, paint: Paint) -> String {
    let lines: Vec<String> = clean_lines(text.trim_end()).collect();
    if lines.is_empty() {
        return String::new();
    }
    let from = lines.len().saturating_sub(TAIL_LINES);
    let left_out = if from > 0 { format!(" (last {TAIL_LINES} lines)") } else { String::new() };
    let mut out = format!("  {}\n", paint.dim(&format!("stderr{left_out}")));
    for line in &lines[from..] {
        out.push_str(&format!("  {} {}\n", paint.dim("│"), ends(line, LINE_MAX)));
    }
    out
}

#[cfg(test)]
mod tests {
    use flow_core::error::ErrorClass;
    use insta::assert_snapshot;

    use super::*;
    use crate::args::Color;

    #[test]
    fn a_line_without_end_is_told_by_both_of_its_ends() {
        let paint = Paint::of(Color::Never, &std::io::stderr());
        let told = tail(&format!("begin{}end", "x".repeat(1_000_000)), paint);
        assert!(told.len() < 500 && told.contains("│ begin") && told.ends_with("end\n"), "{told}");
    }

    #[test]
    fn a_failure_of_each_class_names_its_code_its_cause_and_the_way_on() {
        let told = ErrorClass::ALL.map(|(class, _)| {
            let mut error = StageError::new(class, "run stage media.assemble", "it ended early");
            error.attempt = 2;
            error.causes = vec!["what was behind it".to_owned()];
            error.hint = Some("what can be done".to_owned());
            render(
                "assemble[a]",
                &error,
                Some("flow resume one"),
                Paint::of(Color::Never, &std::io::stderr()),
            )
        });
        assert_snapshot!(told.join("\n"));
    }
}
