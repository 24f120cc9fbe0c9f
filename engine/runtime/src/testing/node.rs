//! The workflow of one node that a test runs, as the graph and the record of a run want it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use flow_core::definition::{
    Binding, Config, Definition, FieldDef, NodeDef, OutputDef, ParamDef, Policies, Source, Spanned,
};
use flow_core::error::StageError;
use flow_core::graph::{Graph, check};
use flow_core::run::manifest::Manifest;
use flow_core::schema::{Type, TypeExpr};
use flow_core::stage::Ports;
use flow_core::store::Store;
use serde_json::Value;

use super::{Given, NODE, StageTest, refused};
use crate::runner::file_artifact;

impl StageTest {
    /// Inputs as parameters of a workflow of one node, files stored.
    pub(super) fn params(
        &self,
        store: &dyn Store,
    ) -> Result<BTreeMap<String, Value>, Box<StageError>> {
        self.inputs
            .iter()
            .map(|(port, given)| {
                let value = match given {
                    Given::Value(value) => value.clone(),
                    Given::Path(path) => {
                        file_artifact(store, path, &self.input_type(port))?.to_json()
                    }
                };
                Ok((port.clone(), value))
            })
            .collect()
    }

    /// The type of an input port: the stage's own, or what is given.
    fn input_type(&self, port: &str) -> Type {
        if let Ports::Fixed(ports) = &self.stage.spec().inputs
            && let Some(spec) = ports.iter().find(|spec| spec.name == port)
        {
            return spec.ty.clone();
        }
        match self.inputs.get(port) {
            Some(Given::Path(path)) if path.is_dir() => Type::Dir,
            Some(Given::Path(_)) => Type::File(None),
            _ => Type::Json,
        }
    }

    pub(super) fn graph(&self) -> Result<Graph, Box<StageError>> {
        let mut catalog = self.catalog.clone().with_shared(Arc::clone(&self.stage));
        for port in self.inputs.keys() {
            catalog = catalog.with_type(&type_name(port), self.input_type(port));
        }
        check(&self.definition()?, &catalog).map_err(|faults| {
            let mut messages = faults.into_iter().map(|fault| match fault.help {
                Some(help) => format!("{} ({help})", fault.message),
                None => fault.message,
            });
            let mut error = refused("check the node", messages.next().unwrap_or_default());
            error.causes = messages.collect();
            error
        })
    }

    fn definition(&self) -> Result<Definition, Box<StageError>> {
        let bare = |text: &str| Spanned::bare(text.to_owned());
        let param = |port: &String| {
            let ty = Spanned::bare(TypeExpr::Name(type_name(port)));
            let ty = FieldDef { ty, constraints: Vec::new() };
            (port.clone(), ParamDef { span: 0..0, ty, default: None })
        };
        let input =
            |port: &String| (port.clone(), Spanned::bare(Binding::Ref(format!("params.{port}"))));
        let output = |(port, ty): (&String, &String)| {
            let ty = TypeExpr::parse(ty)
                .map_err(|error| refused("read the type of an output", error.to_string()))?;
            let ty = Spanned::bare(ty);
            let def = OutputDef { span: 0..0, ty, path: None, from: None, json_lines: false };
            Ok::<_, Box<StageError>>((port.clone(), def))
        };
        let node = NodeDef {
            with: Config { value: self.with.clone(), ..Config::default() },
            inputs: self.inputs.keys().map(input).collect(),
            outputs: self.outputs.iter().map(output).collect::<Result<_, _>>()?,
            policies: Policies { timeout: self.timeout, ..Policies::default() },
            ..NodeDef::new(bare(self.stage.spec().name))
        };
        let tool =
            |(name, path): (&String, &PathBuf)| (name.clone(), bare(&path.to_string_lossy()));
        let source = Source { name: "a test".into(), text: "".into(), dir: std::env::temp_dir() };
        Ok(Definition {
            params: self.inputs.keys().map(param).collect(),
            tools: self.tools.iter().map(tool).collect(),
            nodes: [(NODE.to_owned(), node)].into_iter().collect(),
            ..Definition::new(source, bare("test"))
        })
    }

    pub(super) fn manifest(&self, params: BTreeMap<String, Value>) -> Manifest {
        let path = std::env::temp_dir().join("test.toml");
        Manifest { params, ..Manifest::new(path, "", self.started_at) }
    }
}

/// The name under which the type of an input port is declared.
fn type_name(port: &str) -> String {
    format!("input_{port}")
}
