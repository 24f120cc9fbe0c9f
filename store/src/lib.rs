//! The durable store: run journals, content-addressed objects, and sled checkpoints.
