//! Looking for secrets in what is about to be stored.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{Known, Secrets};

impl Secrets {
    /// The name of a secret that is in these bytes, in whatever form.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<Arc<str>> {
        self.known().find(bytes)
    }

    /// The name of a secret that is in a value: in a text, a number or the name of a field.
    #[must_use]
    pub fn find_in_value(&self, value: &Value) -> Option<Arc<str>> {
        self.known().find_in_value(value)
    }

    /// The name of a secret that is in a file, or in a file or name of a folder. Links are not
    /// followed, and nothing but files and folders is opened.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn find_in_path(&self, path: &Path) -> io::Result<Option<Arc<str>>> {
        self.known().find_in_path(path)
    }
}

impl Known {
    fn name(&self, number: usize) -> Option<Arc<str>> {
        self.names.get(number).map(Arc::clone)
    }

    fn find(&self, bytes: &[u8]) -> Option<Arc<str>> {
        self.name(self.masker.as_ref()?.find(bytes)?)
    }

    fn find_in_value(&self, value: &Value) -> Option<Arc<str>> {
        self.masker.as_ref()?;
        match value {
            Value::Null | Value::Bool(_) => None,
            Value::Number(number) => self.find(number.to_string().as_bytes()),
            Value::String(text) => self.find(text.as_bytes()),
            Value::Array(list) => list.iter().find_map(|element| self.find_in_value(element)),
            Value::Object(map) => map.iter().find_map(|(name, value)| {
                self.find(name.as_bytes()).or_else(|| self.find_in_value(value))
            }),
        }
    }

    fn find_in_path(&self, path: &Path) -> io::Result<Option<Arc<str>>> {
        let Some(masker) = &self.masker else { return Ok(None) };
        let kind = std::fs::symlink_metadata(path)?.file_type();
        if kind.is_dir() {
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                let named = self.find(entry.file_name().as_encoded_bytes());
                let found = match named {
                    Some(name) => Some(name),
                    None => self.find_in_path(&entry.path())?,
                };
                if found.is_some() {
                    return Ok(found);
                }
            }
            return Ok(None);
        }
        if !kind.is_file() {
            return Ok(None);
        }
        let number = masker.find_in(std::fs::File::open(path)?)?;
        Ok(number.and_then(|number| self.name(number)))
    }
}
