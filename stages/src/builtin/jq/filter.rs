//! Compiling filters: what the language has here, and where a filter is at fault.

use std::fmt;
use std::ops::Range;

use jaq_core::data::JustLut;
use jaq_core::load::{Arena, File, Loader, parse::Def, span};
use jaq_core::{Compiler, Filter, compile, load};
use jaq_json::Val;

/// Names of the standard library that are left out: they look at the machine, the clock or a
/// terminal, or end the process, and a result must depend on the inputs alone.
const LEFT_OUT: [&str; 9] = [
    "env",
    "now",
    "localtime",
    "strflocaltime",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
    "halt",
];

/// The longest filter, in bytes, and the deepest brackets in one. The compiler recurses over both.
const LONGEST: usize = 64 * 1024;
const DEEPEST: usize = 500;

/// Room for the compiler's recursion over the longest filter. Untouched pages cost nothing.
pub(super) const STACK: usize = 256 << 20;

/// A compiled filter.
pub(super) type Compiled = Filter<JustLut<Val>>;

/// A fault of a filter, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilterFault {
    message: String,
    /// Line and column, from 1.
    place: Option<(usize, usize)>,
    /// The way out.
    pub(super) help: Option<String>,
}

impl fmt::Display for FilterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => {
                write!(f, "{} (line {line}, column {column} of the filter)", self.message)
            }
            None => f.write_str(&self.message),
        }
    }
}

/// All faults of a filter.
pub(super) fn faults(code: &str) -> Vec<FilterFault> {
    let owned = code.to_owned();
    let compile = move || compile(&owned).err().unwrap_or_default();
    let thread = std::thread::Builder::new().name("jq".into()).stack_size(STACK).spawn(compile);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(faults)) => faults,
        // The compiler panics on some of what it cannot read.
        Ok(Err(_panic)) => vec![fault(code, "", "the filter cannot be read")],
        // Without a thread the filter is compiled when it runs.
        Err(_no_thread) => Vec::new(),
    }
}

/// Compiles a filter.
pub(super) fn compile(code: &str) -> Result<Compiled, Vec<FilterFault>> {
    if code.len() > LONGEST || depth(code) > DEEPEST {
        let message = format!("the filter is longer than {LONGEST} bytes or nested too deep");
        return Err(vec![fault(code, "", message)]);
    }
    let arena = Arena::default();
    let modules = Loader::new(definitions())
        .load(&arena, File { code, path: () })
        .map_err(|errors| flatten(errors, |error| load_faults(code, error)))?;
    let functions = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs())
        .filter(|(name, _, _)| !is_left_out(name));
    Compiler::default()
        .with_funs(functions)
        .compile(modules)
        .map_err(|errors| flatten(errors, |error| undefined_faults(code, error)))
}

fn definitions() -> impl Iterator<Item = Def<&'static str>> {
    let all = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    all.filter(|def| !is_left_out(def.name))
}

fn is_left_out(name: &str) -> bool {
    LEFT_OUT.contains(&name) || name == "halt_error"
}

fn depth(code: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for byte in code.bytes() {
        match byte {
            b'(' | b'[' | b'{' => now += 1,
            b')' | b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

fn flatten<E>(
    errors: Vec<(File<&str, ()>, E)>,
    faults: impl Fn(E) -> Vec<FilterFault>,
) -> Vec<FilterFault> {
    errors.into_iter().flat_map(|(_, error)| faults(error)).collect()
}

fn load_faults(code: &str, error: load::Error<&str>) -> Vec<FilterFault> {
    match error {
        load::Error::Io(errors) => errors
            .into_iter()
            .map(|(at, _)| fault(code, at, "a filter cannot import or include a file"))
            .collect(),
        load::Error::Lex(errors) => errors
            .into_iter()
            .map(|(expected, at)| match expected {
                load::lex::Expect::Delim(open) => {
                    fault(code, open, format!("`{open}` is not closed"))
                }
                other => fault(code, at, format!("a {} was expected here", other.as_str())),
            })
            .collect(),
        load::Error::Parse(errors) => errors
            .into_iter()
            .map(|(expected, at)| {
                let message = match expected.as_str() {
                    "nothing" => format!("`{at}` was not expected here"),
                    other => format!("{other} was expected here"),
                };
                fault(code, at, message)
            })
            .collect(),
    }
}

fn undefined_faults(code: &str, errors: Vec<compile::Error<&str>>) -> Vec<FilterFault> {
    let describe = |(name, kind): compile::Error<&str>| {
        let mut fault = fault(code, name, format!("there is no {} `{name}`", kind.as_str()));
        if is_left_out(name) {
            fault.help = Some(
                "a result depends on the inputs alone: pass the value in as an input, such as one \
                 of a `value` node"
                    .into(),
            );
        }
        fault
    };
    errors.into_iter().map(describe).collect()
}

/// A fault at `part`, which is a piece of `code`; an empty piece from elsewhere has no place.
fn fault(code: &str, part: &str, message: impl Into<String>) -> FilterFault {
    let inside = code.as_bytes().as_ptr_range().contains(&part.as_ptr()) && !part.is_empty();
    let place = inside.then(|| place_of(code, span(code, part)));
    FilterFault { message: message.into(), place, help: None }
}

fn place_of(code: &str, range: Range<usize>) -> (usize, usize) {
    let before = code.get(..range.start).unwrap_or(code);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
