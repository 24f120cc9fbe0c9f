//! Workflow files: TOML with spans, lowered to definitions.
