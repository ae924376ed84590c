//! What may be remembered of values, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::secret::SecretSource;

/// What may be remembered of values, in all datasets. `fields` of a dataset says more of one.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// Key that values are hashed with, at least 32 characters, the same for all processes of an
    /// `app`; `openssl rand -hex 32` makes one. Another key means another definition of every
    /// dataset: their state begins anew. Default: none, and then a field with more than 64 values
    /// is counted by presence alone.
    pub secret_key: Option<SecretSource>,
    /// Tags of the schema registry. A field that has one of them counts as `values: drop`, unless
    /// its own `values` says otherwise. Upper and lower case are the same. Default: PII, PRIVATE,
    /// SENSITIVE.
    pub drop_tags: Option<Vec<String>>,
    /// What quarantine keeps of the value and key of a record set aside. Default: full.
    #[serde(default)]
    pub quarantine: KeepsAsWritten,
}

/// What quarantine keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeepsAsWritten {
    /// Their bytes.
    #[default]
    Full,
    /// Their hashes under `secret_key`, in headers.
    Hash,
    /// Nothing but where the record stands in its own topic.
    None,
}
