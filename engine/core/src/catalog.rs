//! The catalog: every stage and every type that stages bring.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::schema::Type;
use crate::stage::{SharedStage, Stage};

/// All stages that a workflow may name.
#[derive(Clone, Default)]
pub struct Catalog {
    stages: BTreeMap<&'static str, SharedStage>,
    types: BTreeMap<String, Type>,
}

impl Catalog {
    /// An empty catalog.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stage under its own name; a later one replaces an earlier one.
    #[must_use]
    pub fn with(self, stage: impl Stage + 'static) -> Self {
        self.with_shared(Arc::new(stage))
    }

    /// Adds a stage that is shared with someone else.
    #[must_use]
    pub fn with_shared(mut self, stage: SharedStage) -> Self {
        self.stages.insert(stage.spec().name, stage);
        self
    }

    /// Adds a type that workflows may name.
    #[must_use]
    pub fn with_type(mut self, name: &str, ty: Type) -> Self {
        self.types.insert(name.to_owned(), ty);
        self
    }

    /// The stage with this name.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&SharedStage> {
        self.stages.get(name)
    }

    /// All stages, by name.
    pub fn stages(&self) -> impl Iterator<Item = &SharedStage> {
        self.stages.values()
    }

    /// The type with this name.
    #[must_use]
    pub fn ty(&self, name: &str) -> Option<&Type> {
        self.types.get(name)
    }

    /// All types that stages bring, by name.
    pub fn types(&self) -> impl Iterator<Item = (&str, &Type)> {
        self.types.iter().map(|(name, ty)| (name.as_str(), ty))
    }
}
