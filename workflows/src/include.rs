//! Workflow files inside others: read from where the outer one lies, each once, until none names
//! another one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::definition::{ChildDef, Definition, NodeDef, Source, Span, WORKFLOW_STAGE};
use flow_core::diagnostic::Diagnostic;
use flow_core::graph::join_path;
use flow_core::schema::Severity;
use serde_json::Value;

use crate::{Loaded, ReadFile, codes};

/// How deep files may stand in one another.
const MAX_DEPTH: usize = 16;

/// Reads the workflow files that nodes name, puts them at those nodes, and adds their faults.
pub(crate) fn include(loaded: &mut Loaded, read: &ReadFile<'_>) {
    let Some(definition) = &mut loaded.definition else { return };
    let top = Path::new(&loaded.source.name);
    let name = top.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut includer = Includer {
        read,
        dir: loaded.source.dir.clone(),
        shown: top.parent().map(|folder| folder.display().to_string()).unwrap_or_default(),
        known: HashMap::new(),
        chain: vec![name],
        faults: Vec::new(),
        texts: std::mem::take(&mut loaded.files),
        outermost: loaded
            .run_settings
            .iter()
            .map(|own| (own.key, own.written(&loaded.source).to_owned()))
            .collect(),
    };
    let found = includer.nodes(definition, "", None);
    loaded.complete &= found.is_some();
    loaded.diagnostics.append(&mut includer.faults);
    loaded.files = includer.texts;
}

struct Includer<'r> {
    read: &'r ReadFile<'r>,
    /// The folder of the outermost file.
    dir: PathBuf,
    /// The same folder as the user named it.
    shown: String,
    /// Files that were read, by path; `None` if nothing could be made of one.
    known: HashMap<String, Option<Known>>,
    /// The files that lead to where we are.
    chain: Vec<String>,
    faults: Vec<Diagnostic>,
    texts: BTreeMap<String, String>,
    /// What the outermost file says about the run as a whole, as it is written.
    outermost: Vec<(&'static str, String)>,
}

#[derive(Clone)]
struct Known {
    definition: Arc<Definition>,
    /// How many files stand in one another from here on.
    depth: usize,
}

impl Includer<'_> {
    /// Reads what the nodes of a file name. How deep files stand in one another below it; `None`
    /// after a fault.
    fn nodes(
        &mut self,
        definition: &mut Definition,
        folder: &str,
        source: Option<&Arc<Source>>,
    ) -> Option<usize> {
        let mut deepest = Some(0);
        for node in definition.nodes.values_mut().filter(|n| *n.stage == WORKFLOW_STAGE) {
            let found = match self.child(node, folder) {
                Ok(known) => known,
                Err(fault) => {
                    self.faults.push(match source {
                        Some(source) => fault.within(source),
                        None => *fault,
                    });
                    None
                }
            };
            deepest = match (deepest, found) {
                (Some(deepest), Some(known)) => {
                    let file = node.with.value["file"].as_str().unwrap_or_default();
                    node.child = Some(ChildDef {
                        definition: known.definition,
                        folder: folder_of(file).to_owned(),
                    });
                    Some(deepest.max(known.depth))
                }
                _ => None,
            };
        }
        deepest
    }

    /// The file that a node names; `Ok(None)` if its faults were told.
    fn child(&mut self, node: &NodeDef, folder: &str) -> Result<Option<Known>, Box<Diagnostic>> {
        let (file, span) = named(node)?;
        let path = join_path(folder, file);
        // Two ways to write one path are one file.
        let path = if path.starts_with('/') { path } else { join_path(".", &path) };
        let fault = |message: String| Diagnostic::error(codes::NESTED_FILE, span.clone(), message);
        if let Some(start) = self.chain.iter().position(|file| *file == path) {
            let mut circle = self.chain[start..].to_vec();
            circle.push(path);
            return Err(Box::new(
                fault("this workflow contains itself".to_owned())
                    .label(circle.join(" → "))
                    .help("take one of these files out of the circle; what both need goes into a third one"),
            ));
        }
        let known = match self.known.get(&path) {
            Some(known) => known.clone(),
            None => {
                let text = (self.read)(&path).map_err(|reason| {
                    fault(format!("the workflow file `{file}` cannot be read"))
                        .label(reason)
                        .help("`with.file` is a path relative to the file that it stands in")
                })?;
                let known = self.file(&path, text);
                self.known.insert(path, known.clone());
                known
            }
        };
        match known {
            Some(known) if self.chain.len() + known.depth > MAX_DEPTH => Err(Box::new(
                fault(format!("more than {MAX_DEPTH} files stand in one another"))
                    .label(self.chain.join(" → "))
                    .help("put some of them into one file"),
            )),
            known => Ok(known),
        }
    }

    /// Lowers a file and those inside it.
    fn file(&mut self, path: &str, text: String) -> Option<Known> {
        let folder = folder_of(path);
        let dir = self.dir.join(folder);
        let dir = PathBuf::from(join_path(&dir.to_string_lossy(), "."));
        let read = |file: &str| (self.read)(&join_path(folder, file));
        let loaded = crate::parse_alone(&join_path(&self.shown, path), &text, dir, &read);
        self.texts.insert(path.to_owned(), text);
        let own = loaded.files.into_iter().map(|(file, text)| (join_path(folder, &file), text));
        self.texts.extend(own);
        let source = Arc::new(loaded.source);
        let told = loaded.diagnostics.into_iter().map(|fault| fault.within(&source));
        self.faults.extend(told);
        let own = loaded.run_settings.iter();
        // One that says what the outermost file says is in force.
        let ignored = own.filter(|own| {
            !self
                .outermost
                .iter()
                .any(|(key, value)| own.key == *key && own.written(&source) == value)
        });
        let told = ignored.map(|own| warning(own.key, &own.span, &source)).collect::<Vec<_>>();
        self.faults.extend(told);
        let mut definition = loaded.definition?;
        // Beyond this depth the includer refuses the file, so there is no need to look inside.
        if self.chain.len() > MAX_DEPTH {
            return Some(Known { definition: Arc::new(definition), depth: 1 });
        }
        self.chain.push(path.to_owned());
        let depth = self.nodes(&mut definition, folder, Some(&source));
        self.chain.pop();
        let depth = depth.filter(|_| loaded.complete)? + 1;
        Some(Known { definition: Arc::new(definition), depth })
    }
}

/// What `with.file` says, and where.
fn named(node: &NodeDef) -> Result<(&str, Span), Box<Diagnostic>> {
    let example = "with = { file = \"other.toml\", params = { … } }";
    let Some(value) = node.with.value.get("file") else {
        let message = format!("stage `{WORKFLOW_STAGE}` needs `with.file`");
        return Err(Box::new(
            Diagnostic::error(codes::MISSING_KEY, node.span.clone(), message)
                .help(format!("name the workflow file: {example}")),
        ));
    };
    let span = node.with.spans.get("/file").unwrap_or(&node.span).clone();
    let refuse = |code, message: &str| {
        let fault = Diagnostic::error(code, span.clone(), message);
        Err(Box::new(fault.help(format!("write the path of a workflow file: {example}"))))
    };
    match value {
        Value::String(file) if file.contains("{{") => refuse(
            codes::BRACES,
            "the file of a nested workflow is read before anything runs, so it cannot be a template",
        ),
        Value::String(file) if !file.trim().is_empty() && !file.contains('\0') => Ok((file, span)),
        Value::String(_) => refuse(codes::EMPTY, "`with.file` names no file"),
        _ => refuse(codes::WRONG_TYPE, "`with.file` must be a string"),
    }
}

/// The folder part of a path; empty if it has none.
fn folder_of(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) => "/",
        Some(at) => &path[..at],
        None => "",
    }
}

fn warning(key: &str, span: &Span, source: &Arc<Source>) -> Diagnostic {
    let message = format!("`{key}` has no effect in a workflow inside another one");
    let fault = Diagnostic::error(codes::NO_EFFECT, span.clone(), message)
        .help("the outermost workflow file says it for the whole run")
        .within(source);
    Diagnostic { severity: Severity::Warning, ..fault }
}
