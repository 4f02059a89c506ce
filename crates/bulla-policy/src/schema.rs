//! JSON Schemas (draft 2020-12) of the documents that a person writes, for editors and for whoever makes them by a program.
//!
//! They are derived from the very types that read the documents. A schema knows the names and shapes of members; what belongs together
//! (a role that is named and the people under `roles`, say) only [`Policy`](crate::Policy) finds out.

use bulla::HashAlgorithm;
use bulla::lineage::Level;
use bulla::party::MaySign;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

/// Names of authorities, roles, environments.
pub(crate) const NAME: &str = r"^[\p{L}\p{M}\p{N}._-]{1,100}$";
/// A day or a point in time.
pub(crate) const TIME: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$";
/// SHA-256 of a key.
pub(crate) const FINGERPRINT: &str = "^sha256:[0-9a-f]{64}$";
/// SHA-256 of a file that is named.
pub(crate) const PIN: &str = "^(sha256:)?[0-9A-Fa-f]{64}$";
/// SHA-256 of what is withdrawn.
pub(crate) const SHA256: &str = "^(sha256:)?[0-9a-f]{64}$";
/// What names a model.
pub(crate) const MODEL: &str = "^(oms|oms-manifest-v1|sha256):[0-9a-f]{64}$";
/// A rule's own name.
pub(crate) const RULE: &str = "^[A-Za-z0-9_-]{1,64}$";
/// A span of time.
pub(crate) const SPAN: &str = "^[0-9]{1,7}[dh]$";

/// The schema of a policy.
#[must_use]
pub fn policy_schema() -> Value {
    schema::<crate::policy::Document>("urn:bulla:schema:policy")
}

/// The schema of a policy's document of revocations.
#[must_use]
pub fn revocations_schema() -> Value {
    schema::<crate::revocations::Document>("urn:bulla:schema:revocations")
}

fn schema<T: JsonSchema>(id: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), id.into());
    schema.to_value()
}

/// What somebody may sign: known names, and any predicate type.
pub(crate) fn may_sign(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = MaySign::names().collect();
    json_schema!({
        "type": ["array", "null"],
        "items": { "anyOf": [{ "enum": names }, { "type": "string", "pattern": ":" }] },
    })
}

/// Names of hashes.
pub(crate) fn hashes(_: &mut SchemaGenerator) -> Schema {
    let names = HashAlgorithm::ALL.map(HashAlgorithm::name);
    json_schema!({ "type": "array", "items": { "enum": names } })
}

/// A build level.
pub(crate) fn level(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": Level::ALL.map(Level::name) })
}

/// A build level that may be left out.
pub(crate) fn level_or_none(_: &mut SchemaGenerator) -> Schema {
    let mut names: Vec<Value> = Level::ALL.iter().map(|level| level.name().into()).collect();
    names.push(Value::Null);
    json_schema!({ "enum": names })
}

/// A chain of certificates can be called the root of it, too.
pub(crate) fn chain_or_root(schema: &mut Schema) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    if let Some(chain) = properties.get("chain").cloned() {
        properties.insert("root".to_owned(), chain);
    }
    schema.insert("required".to_owned(), serde_json::json!(["name"]));
    let one = |name: &str| serde_json::json!({ "required": [name] });
    schema.insert("oneOf".to_owned(), serde_json::json!([one("chain"), one("root")]));
}
