//! `flow schema`: the JSON Schema of workflow files, for editors.

use crate::failure::{Exit, Failure};
use crate::session::Session;

pub(crate) fn run(env: &Session) -> Result<Exit, Failure> {
    let schema = flow_workflows::json_schema(&env.catalog());
    env.out.write(format!("{schema:#}\n").as_bytes());
    Ok(Exit::SUCCEEDED)
}
