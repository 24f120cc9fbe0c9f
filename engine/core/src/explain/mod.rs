//! Why one result is not another: comparisons of JSON values, of what keys are made of, and of
//! whole runs. Pure: whoever asks has read what is compared.

mod cause;
mod json;
mod runs;
#[cfg(test)]
mod tests;

pub use cause::{Change, Recipe, changes};
pub use json::{Difference, Differences, Place, differences};
pub use runs::{Compared, Divergence, Side, compare};
