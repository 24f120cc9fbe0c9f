//! Secrets: values that reach a stage and nothing else. They are read once per invocation and live
//! in memory alone; whatever the engine writes, shows or sends goes past them first.

mod forms;
mod masker;
mod search;
mod squeeze;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use flow_core::error::StageError;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use masker::Masker;

pub(crate) use masker::StreamMasker;

/// A secret of fewer bytes would be found everywhere.
pub const SECRET_MIN: usize = 4;

/// The largest secret, in bytes: a chain of certificates fits.
pub const SECRET_MAX: usize = 16 * 1024;

/// The secrets of a workflow as they are in this invocation.
#[derive(Default)]
pub struct Secrets {
    /// Values by name; none for an optional secret that is absent. One that must be there and is not
    /// has no entry: a template that reads it fails.
    values: BTreeMap<String, Option<SecretString>>,
    /// Variables of the environment that no program inherits.
    variables: Vec<String>,
    hidden: Hidden,
}

/// What is hidden from here on, shared with the streams that hide it.
type Hidden = Arc<RwLock<Arc<Known>>>;

/// All that is hidden at one time.
#[derive(Default)]
struct Known {
    /// Names in the order of the masker's numbers.
    names: Vec<Arc<str>>,
    /// Secrets that are no declared ones, with their names.
    learnt: Vec<(Arc<str>, SecretString)>,
    masker: Option<Arc<Masker>>,
}

fn known(hidden: &Hidden) -> Arc<Known> {
    Arc::clone(&hidden.read().unwrap_or_else(PoisonError::into_inner))
}

/// Why secrets cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("the secrets are too large to be recognised in what programs write")]
pub struct SecretsTooLarge(#[source] aho_corasick::BuildError);

impl Secrets {
    /// Takes in all declared secrets that have a value or need none, and the variables that all of
    /// them are read from.
    ///
    /// # Errors
    /// [`SecretsTooLarge`], which takes more than a thousand large ones.
    pub fn new(
        values: BTreeMap<String, Option<SecretString>>,
        variables: Vec<String>,
    ) -> Result<Self, SecretsTooLarge> {
        let known = Known::of(&values, Vec::new())?;
        Ok(Self { values, variables, hidden: Arc::new(RwLock::new(Arc::new(known))) })
    }

    /// Hides one more value from here on, in streams that go on as well. `name` is what people are
    /// told in its place.
    ///
    /// # Errors
    /// [`SecretsTooLarge`]; nothing has changed then.
    pub(crate) fn learn(&self, name: &str, value: &str) -> Result<(), SecretsTooLarge> {
        let mut hidden = self.hidden.write().unwrap_or_else(PoisonError::into_inner);
        if hidden.learnt.iter().any(|(_, known)| known.expose_secret() == value) {
            return Ok(());
        }
        let mut learnt = hidden.learnt.clone();
        learnt.push((name.into(), SecretString::from(value)));
        *hidden = Arc::new(Known::of(&self.values, learnt)?);
        Ok(())
    }

    /// Whether it is a secret of the workflow file.
    pub(crate) fn is_declared(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn known(&self) -> Arc<Known> {
        known(&self.hidden)
    }

    /// Secrets of which only the names are known, and whether they are there: enough for keys, and
    /// nothing that could be told.
    #[must_use]
    pub fn by_name(names: impl IntoIterator<Item = (String, bool)>) -> Self {
        let value = |there: bool| there.then(|| SecretString::from(String::new()));
        let values = names.into_iter().map(|(name, there)| (name, value(there))).collect();
        Self { values, ..Self::default() }
    }

    /// Whether there is nothing to hide.
    pub(crate) fn is_empty(&self) -> bool {
        self.known().masker.is_none()
    }

    /// Variables of the environment that no program inherits.
    pub(crate) fn variables(&self) -> &[String] {
        &self.variables
    }

    /// The values of these secrets, for the templates of an attempt: null where one is absent.
    pub(crate) fn values(&self, names: &[String]) -> Value {
        self.each(names, |_, value| json!(value.expose_secret()))
    }

    /// What stands for these secrets in keys: their names, and whether they are there.
    pub(crate) fn placeholders(&self, names: &[String]) -> Value {
        self.each(names, |name, _| json!(format!("secret:{name}")))
    }

    fn each(&self, names: &[String], text: impl Fn(&str, &SecretString) -> Value) -> Value {
        let value = |name: &String| {
            let value = self.values.get(name)?.as_ref();
            Some((name.clone(), value.map_or(Value::Null, |value| text(name, value))))
        };
        Value::Object(names.iter().filter_map(value).collect::<Map<_, _>>())
    }

    /// The text with `***` in the place of every secret, in whatever form.
    #[must_use]
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.known().masker.as_ref().map_or(Cow::Borrowed(text), |masker| masker.mask(text))
    }

    /// A failure without secrets in any of its texts.
    #[must_use]
    pub fn mask_error(&self, mut error: Box<StageError>) -> Box<StageError> {
        let known = self.known();
        let Some(masker) = &known.masker else { return error };
        let tail = masker.mask_end(&error.stderr_tail);
        error.stderr_tail = tail;
        let texts = [&mut error.operation, &mut error.message];
        texts.into_iter().for_each(|text| self.mask_in_place(text));
        error.causes.iter_mut().for_each(|text| self.mask_in_place(text));
        error.argv.iter_mut().for_each(|text| self.mask_in_place(text));
        let maybe = [
            &mut error.hint,
            &mut error.pointer,
            &mut error.expected,
            &mut error.found,
            &mut error.provider,
            &mut error.request_id,
        ];
        maybe.into_iter().flatten().for_each(|text| self.mask_in_place(text));
        error
    }

    /// Masks a text that is kept.
    pub(crate) fn mask_in_place(&self, text: &mut String) {
        if let Cow::Owned(masked) = self.mask(text) {
            *text = masked;
        }
    }

    /// A masker for a stream.
    pub(crate) fn stream(&self) -> StreamMasker {
        StreamMasker::new(Arc::clone(&self.hidden))
    }
}

impl Known {
    fn of(
        declared: &BTreeMap<String, Option<SecretString>>,
        learnt: Vec<(Arc<str>, SecretString)>,
    ) -> Result<Self, SecretsTooLarge> {
        let declared = declared.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let declared = declared.map(|(name, value)| (name.as_str().into(), value));
        let learnt_too = learnt.iter().map(|(name, value)| (Arc::clone(name), value));
        let (names, values): (Vec<Arc<str>>, Vec<&SecretString>) =
            declared.chain(learnt_too).unzip();
        let masker = Masker::new(values.into_iter().map(|value| value.expose_secret()))
            .map_err(SecretsTooLarge)?
            .map(Arc::new);
        Ok(Self { names, learnt, masker })
    }
}

impl fmt::Debug for Secrets {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}

/// The text as the last words of a program are shown: control characters as escapes.
fn escape_controls(text: &str) -> String {
    let escape = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if escape(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}
