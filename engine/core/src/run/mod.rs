//! A run: its events, the state they fold into, and the function that decides what happens next.

pub mod decide;
pub mod event;
pub mod state;
