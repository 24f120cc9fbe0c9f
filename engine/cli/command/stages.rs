//! `flow stages`: the stages that workflows may name, and the JSON Schemas of their records.

use flow_core::catalog::Catalog;
use flow_core::diagnostic::nearest;
use flow_core::stage::{FieldKind, FieldSpec, PortSpec, Ports, StageSpec};
use flow_stages::contract;
use serde_json::{Value, json};

use crate::args::StagesArgs;
use crate::failure::{Exit, Failure};
use crate::report::style::Paint;
use crate::report::table::{self, Cell};
use crate::session::Session;

pub(crate) fn run(args: &StagesArgs, env: &Session) -> Result<Exit, Failure> {
    let catalog = env.catalog();
    let text = match &args.name {
        Some(name) => match (catalog.stage(name), contract::schema(name)) {
            (Some(stage), _) if env.json => format!("{}\n", object(stage.spec())),
            (Some(stage), _) => explain(stage.spec(), env.stdout),
            (None, Some(schema)) => format!("{schema:#}\n"),
            (None, None) => return Err(unknown(name, &catalog, env)),
        },
        None if env.json => {
            let all: Vec<Value> = catalog.stages().map(|stage| object(stage.spec())).collect();
            format!("{}\n", Value::Array(all))
        }
        None => {
            let row = |spec: &StageSpec| {
                vec![
                    Cell::painted(spec.name, |text| env.stdout.strong(text)),
                    Cell::plain(spec.summary),
                ]
            };
            table::render(&catalog.stages().map(|s| row(s.spec())).collect::<Vec<_>>(), 0)
        }
    };
    env.out.write(text.as_bytes());
    Ok(Exit::SUCCEEDED)
}

fn unknown(name: &str, catalog: &Catalog, env: &Session) -> Failure {
    let stages = catalog.stages().map(|stage| stage.spec().name);
    let names = stages.chain(catalog.types().map(|(name, _)| name));
    let help = match nearest(name, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("list them with: {}", env.command(&["stages"])),
    };
    Failure::not_found(format!("there is no stage or record `{name}`"), Some(help))
}

fn explain(spec: &StageSpec, paint: Paint) -> String {
    let mut out = format!("{}: {}\n", paint.strong(spec.name), spec.summary);
    let mut part = |title: &str, text: String| {
        out.push_str(&format!("\n{}\n{text}", paint.dim(title)));
    };
    part("INPUTS", ports(&spec.inputs, paint));
    part("OUTPUTS", ports(&spec.outputs, paint));
    if !spec.config.is_empty() {
        let rows: Vec<Vec<Cell>> =
            spec.config.iter().map(|field| field_row(field, paint)).collect();
        part("WITH", table::render(&rows, 2));
    }
    let example: String = spec
        .example
        .trim()
        .lines()
        .map(|line| format!("  {line}").trim_end().to_owned() + "\n")
        .collect();
    part("EXAMPLE", example);
    out
}

fn ports(ports: &Ports, paint: Paint) -> String {
    let row = |port: &PortSpec| {
        vec![
            Cell::plain(&port.name),
            Cell::painted(&port.ty.to_string(), |text| paint.busy(text)),
            Cell::painted(port_note(port), |text| paint.dim(text)),
            Cell::plain(port.doc),
        ]
    };
    match ports {
        Ports::Fixed(all) if all.is_empty() => "  none\n".into(),
        Ports::Fixed(all) => table::render(&all.iter().map(row).collect::<Vec<_>>(), 2),
        Ports::Declared => "  as the workflow declares them\n".into(),
        Ports::DeclaredOne => "  exactly one, as the workflow declares it\n".into(),
    }
}

fn port_note(port: &PortSpec) -> &'static str {
    match (port.optional, port.retypable) {
        (true, _) => "optional",
        (_, true) => "or as declared",
        _ => "",
    }
}

fn field_row(field: &FieldSpec, paint: Paint) -> Vec<Cell> {
    vec![
        Cell::plain(field.name),
        Cell::painted(&kind(&field.kind), |text| paint.busy(text)),
        Cell::painted(if field.optional { "optional" } else { "" }, |text| paint.dim(text)),
        Cell::plain(field.doc),
    ]
}

/// How a field is written.
fn kind(kind: &FieldKind) -> String {
    match kind {
        FieldKind::Argv => "list of text".into(),
        FieldKind::Shell => "shell text".into(),
        FieldKind::Text => "text".into(),
        FieldKind::TextMap => "table of text".into(),
        FieldKind::Stdin => "text or value".into(),
        FieldKind::Json => "json".into(),
        FieldKind::Duration => "duration".into(),
        FieldKind::Literal => "string".into(),
        FieldKind::Plain(ty) => ty.to_string(),
    }
}

fn object(spec: &StageSpec) -> Value {
    json!({
        "name": spec.name,
        "version": spec.version,
        "summary": spec.summary,
        "inputs": ports_object(&spec.inputs),
        "outputs": ports_object(&spec.outputs),
        "with": spec.config.iter().map(|field| json!({
            "name": field.name,
            "kind": kind(&field.kind),
            "optional": field.optional,
            "doc": field.doc,
        })).collect::<Vec<_>>(),
        "example": spec.example,
    })
}

/// Ports as a list, or the word for those that the workflow declares.
fn ports_object(ports: &Ports) -> Value {
    match ports {
        Ports::Fixed(all) => all
            .iter()
            .map(|port| {
                json!({
                    "name": port.name,
                    "type": port.ty.to_string(),
                    "optional": port.optional,
                    "retypable": port.retypable,
                    "doc": port.doc,
                })
            })
            .collect(),
        Ports::Declared => json!("declared"),
        Ports::DeclaredOne => json!("declared_one"),
    }
}
