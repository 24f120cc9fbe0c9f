//! The built-in stages, the subprocess wrapper, and the media pipeline.

pub mod contract;
pub mod media;

pub mod process;
