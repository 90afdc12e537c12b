//! The schema that every policy and every request is checked against.

use std::str::FromStr as _;
use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema};

use super::PolicyInvalid;

/// The schema's text, for people who write policies.
pub const SCHEMA: &str = include_str!("../../../policies/reeve.cedarschema");

/// The schema and its names, parsed.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) schema: Schema,
    pub(super) role: EntityTypeName,
    pub(super) agent: EntityTypeName,
    pub(super) tool: EntityTypeName,
    pub(super) call: EntityUid,
}

static VOCABULARY: LazyLock<Result<Vocabulary, String>> = LazyLock::new(|| {
    let entity = |name: &str| EntityTypeName::from_str(name).map_err(|error| error.to_string());
    let (schema, warnings) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| error.to_string())?;
    if let Some(warning) = warnings.into_iter().next() {
        return Err(warning.to_string());
    }
    Ok(Vocabulary {
        schema,
        role: entity("Role")?,
        agent: entity("Agent")?,
        tool: entity("Tool")?,
        call: EntityUid::from_type_name_and_id(entity("Action")?, EntityId::new("call")),
    })
});

/// The vocabulary.
///
/// # Errors
/// [`PolicyInvalid::Schema`], which would be a bug: the schema is part of the program.
pub(super) fn vocabulary() -> Result<&'static Vocabulary, PolicyInvalid> {
    VOCABULARY.as_ref().map_err(|error| PolicyInvalid::Schema(error.clone()))
}
