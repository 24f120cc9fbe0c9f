use crate::args::DiffArgs;
use crate::failure::{Exit, Failure};
use crate::session::Session;
pub(crate) fn run(_args: &DiffArgs, _env: &Session) -> Result<Exit, Failure> {
    Ok(Exit::SUCCEEDED)
}
