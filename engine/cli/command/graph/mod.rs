//! `flow graph`: the DAG of a workflow file, or of a run with its states and times.

mod ascii;
mod layout;
mod picture;
mod svg;
mod text;

use std::path::Path;

use serde_json::json;

use crate::args::{GraphArgs, GraphFormat};
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::prepare::Examined;
use crate::session::{Session, find_run};
use picture::Picture;

pub(crate) fn run(args: &GraphArgs, env: &Session) -> Result<Exit, Failure> {
    let picture = picture(&args.what, env)?;
    let text = match args.format {
        _ if env.json => format!("{}\n", json!(picture)),
        GraphFormat::Ascii => ascii::draw(&picture, env.stdout, columns()),
        GraphFormat::Mermaid => text::mermaid(&picture),
        GraphFormat::Dot => text::dot(&picture),
        GraphFormat::Svg => svg::draw(&picture),
    };
    env.out.write(text.as_bytes());
    Ok(Exit::SUCCEEDED)
}

/// The picture of what was named: a path is a workflow file, any other word a run.
fn picture(what: &str, env: &Session) -> Result<Picture, Failure> {
    let path = Path::new(what);
    if path.is_file() || what.contains('/') || path.extension().is_some() {
        let workflow = Examined::read(path, &env.catalog())?.workflow()?;
        return Ok(Picture::of_file(&workflow.graph));
    }
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), what)?;
    let history = History::read(store.as_ref(), &run, &env.catalog())?;
    Ok(Picture::of_run(&history))
}

/// Columns of the terminal that the result goes to; many where it goes elsewhere.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.map_or(200, |size| match size.ws_col {
        0 => 80,
        columns => usize::from(columns),
    })
}
