//! Configuration: as written ([`Config`]), and validated ([`plan::Plan`], [`deployment`]).
//!
//! The one place that reads the environment and judges what a person wrote. The way is: YAML to a
//! tree that knows places (`tree`), the environment into its texts (`substitute`), the tree to
//! typed structs (`read`, [`written`]), and those to a plan with every default filled in
//! (`validate`). Whatever is wrong on the way is a [`ConfigError`] that points at its line.

pub mod certificate;
pub(crate) mod definition;
pub mod deployment;
mod error;
pub mod estimate;
mod place;
pub mod plan;
pub mod property;
mod read;
mod scalar;
pub mod schema;
mod secret;
pub mod security;
mod substitute;
mod tree;
mod validate;
pub mod values;
pub mod written;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::{ConfigError, Problem};
pub use place::Place;
pub use scalar::{Bytes, Millis, OneOrMany, Text};
pub use secret::{Opaque, SecretSource};
pub use written::Config;

use deployment::Deployment;
use plan::Plan;
use substitute::Environment;
use tree::Node;

/// The file behind a [`Config`]: its name, its text, and where each key is.
#[derive(Clone, Default)]
pub(crate) struct Source {
    inner: Arc<SourceText>,
}

impl fmt::Debug for Source {
    /// The name alone: the text may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.name)
    }
}

#[derive(Default)]
struct SourceText {
    name: String,
    text: String,
    tree: Node,
}

impl Source {
    /// The error that shows these problems in the file.
    pub(crate) fn error(&self, problems: Vec<Problem>) -> ConfigError {
        ConfigError::new(&self.inner.name, &self.inner.text, Some(&self.inner.tree), problems)
    }

    /// Where to point for a path of keys.
    pub(crate) fn locate(&self, path: &[&str]) -> Option<std::ops::Range<usize>> {
        self.inner.tree.locate(path)
    }

    /// The folder the file is in; relative paths in it start there.
    pub(crate) fn folder(&self) -> PathBuf {
        Path::new(&self.inner.name).parent().map(Path::to_path_buf).unwrap_or_default()
    }
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read or its shape is wrong: the first thing that is.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::unreadable(&name, &error.to_string()))?;
        Config::parse(&text, &name)
    }

    /// Reads a configuration from text; `name` stands in for the file in errors.
    ///
    /// # Errors
    /// When its shape is wrong.
    pub fn parse(text: &str, name: &str) -> Result<Config, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "the environment is read here and only here")]
        let env = |name: &str| std::env::var(name).ok();
        Config::parse_with(text, name, &env)
    }

    /// As [`Config::parse`], with another environment.
    pub(crate) fn parse_with(
        text: &str,
        name: &str,
        env: Environment<'_>,
    ) -> Result<Config, ConfigError> {
        let mut tree = Node::parse(text)
            .map_err(|problem| ConfigError::new(name, text, None, vec![problem]))?;
        let mut problems = Vec::new();
        substitute::substitute(&mut tree, env, &mut problems);
        if !problems.is_empty() {
            return Err(ConfigError::new(name, text, Some(&tree), problems));
        }
        match read::read::<Config>(&tree) {
            Ok(mut config) => {
                let inner = SourceText { name: name.to_owned(), text: text.to_owned(), tree };
                config.source = Source { inner: Arc::new(inner) };
                Ok(config)
            }
            Err(problem) => Err(ConfigError::new(name, text, Some(&tree), vec![problem])),
        }
    }

    /// Checks what it means, fills in every default, and reads the files of secrets.
    ///
    /// # Errors
    /// With everything that is wrong, each at its place.
    pub fn plan(&self) -> Result<(Plan, Deployment), ConfigError> {
        validate::plan(self)
    }
}
