//! The driver of a run: dispatcher, executor, clock and event bus.
