//! From a canonical call to a request that Cedar can judge.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression};

use super::compile::shortened;
use super::invocation;
use super::protected::{names_protected, protection};
use super::schema::{Vocabulary, vocabulary};
use crate::limits::MAX_JUDGED_BYTES;
use crate::tool::wire::{Canonical, Program};
use crate::tool::{Role, ToolName};

/// Where a sandbox Pod has its workspace: a program below it may have been written by the run itself.
pub const WORKSPACE: &str = "/workspace";
/// Where an image has its programs: the sandbox runs none from elsewhere.
const SYSTEM: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt"];

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// What it is there for.
    pub role: Role,
    /// Namespace of its run.
    pub namespace: String,
    /// Autonomy level of its run.
    pub autonomy: u8,
}

/// Keys turned for this call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// People who approved it.
    pub human: u32,
    /// Models of another family that approved it.
    pub model: u32,
}

/// All that a judgement depends on, besides the sets.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Who calls.
    pub agent: Agent,
    /// What, in the sandbox's words.
    pub call: &'a Canonical,
    /// Keys turned.
    pub keys: Keys,
}

/// A call put so that Cedar can judge it; it fits the schema.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) tool: ToolName,
    pub(super) request: Request,
    pub(super) entities: Entities,
}

impl Question {
    /// Puts the question.
    ///
    /// # Errors
    /// Why it cannot be put, for the model: the call is too long, or (a bug) does not fit the schema.
    pub(super) fn of(facts: &Facts<'_>) -> Result<Question, String> {
        let bytes = facts.call.argv.iter().map(String::len).chain(facts.call.paths.iter().map(|path| path.path.len())).sum::<usize>();
        if bytes > MAX_JUDGED_BYTES {
            return Err(format!(
                "expected arguments and paths of at most {MAX_JUDGED_BYTES} bytes together, found {bytes}; put long text in a file or in stdin"
            ));
        }
        let unfit = |what: &str, error: &dyn std::fmt::Display| {
            format!("the call cannot be put to policy, {what} does not fit the schema: {}", shortened(&error.to_string(), 300))
        };
        let vocabulary = vocabulary().map_err(|error| error.to_string())?;
        let agent = agent(vocabulary, &facts.agent).map_err(|error| unfit("the agent", &error))?;
        let tool = tool(vocabulary, facts.call.tool).map_err(|error| unfit("the tool", &error))?;
        let context = context(facts).map_err(|error| unfit("the context", &error))?;
        let request = Request::new(agent.uid(), vocabulary.call.clone(), tool.uid(), context, Some(&vocabulary.schema))
            .map_err(|error| unfit("the request", &error))?;
        let entities =
            Entities::from_entities([agent, tool], Some(&vocabulary.schema)).map_err(|error| unfit("the agent or the tool", &error))?;
        Ok(Question { tool: facts.call.tool, request, entities })
    }
}

fn uid(kind: &EntityTypeName, id: impl AsRef<str>) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn agent(vocabulary: &Vocabulary, agent: &Agent) -> Result<Entity, Box<cedar_policy::EntityAttrEvaluationError>> {
    let attributes = HashMap::from([
        ("role".to_owned(), RestrictedExpression::new_entity_uid(uid(&vocabulary.role, agent.role.as_str()))),
        ("namespace".to_owned(), text(&agent.namespace)),
        ("autonomy".to_owned(), RestrictedExpression::new_long(i64::from(agent.autonomy))),
    ]);
    let id = format!("{}/{}", agent.namespace, agent.role.as_str());
    Entity::new(uid(&vocabulary.agent, id), attributes, HashSet::new()).map_err(Box::new)
}

fn tool(vocabulary: &Vocabulary, name: ToolName) -> Result<Entity, Box<cedar_policy::EntityAttrEvaluationError>> {
    let annotations = name.annotations();
    let attributes = HashMap::from([
        ("readOnly".to_owned(), RestrictedExpression::new_bool(annotations.read_only)),
        ("destructive".to_owned(), RestrictedExpression::new_bool(annotations.destructive)),
        ("idempotent".to_owned(), RestrictedExpression::new_bool(annotations.idempotent)),
    ]);
    Entity::new(uid(&vocabulary.tool, name.as_str()), attributes, HashSet::new()).map_err(Box::new)
}

fn context(facts: &Facts<'_>) -> Result<Context, Box<dyn std::error::Error>> {
    let call = facts.call;
    let paths: BTreeSet<&str> = call.paths.iter().map(|touched| touched.path.as_str()).collect();
    let writes: BTreeSet<&str> = call.paths.iter().filter(|touched| touched.write).map(|touched| touched.path.as_str()).collect();
    let keys = RestrictedExpression::new_record([
        ("human".to_owned(), RestrictedExpression::new_long(i64::from(facts.keys.human))),
        ("model".to_owned(), RestrictedExpression::new_long(i64::from(facts.keys.model))),
    ])?;
    let mut pairs = BTreeMap::from([
        ("under".to_owned(), set(paths.iter().flat_map(|path| ancestors(path)))),
        ("protected".to_owned(), RestrictedExpression::new_bool(writes.iter().any(|path| protection(path).is_some()))),
        ("paths".to_owned(), set(paths)),
        ("writes".to_owned(), set(writes)),
        ("keys".to_owned(), keys),
    ]);
    if let Some(found) = &call.program {
        pairs.insert("program".to_owned(), RestrictedExpression::new_record(program(call, found))?);
    }
    Ok(Context::from_pairs(pairs)?)
}

fn program(call: &Canonical, found: &Program) -> BTreeMap<String, RestrictedExpression> {
    let name = invocation::name(&found.path, call.argv.first().map(String::as_str));
    let workspace = lies_in(&found.path, WORKSPACE);
    let cwd = call.arguments.get("cwd").and_then(serde_json::Value::as_str).unwrap_or(".");
    let python = invocation::python(name, &call.argv).unwrap_or_default();
    let mut record = BTreeMap::from([
        ("path".to_owned(), text(&found.path)),
        ("name".to_owned(), text(name)),
        ("digest".to_owned(), text(&found.digest.to_string())),
        ("system".to_owned(), RestrictedExpression::new_bool(SYSTEM.iter().any(|dir| lies_in(&found.path, dir)))),
        ("workspace".to_owned(), RestrictedExpression::new_bool(workspace)),
        ("argv".to_owned(), set(call.argv.iter().map(String::as_str).collect::<BTreeSet<_>>())),
        ("command".to_owned(), text(&call.argv.join(" "))),
        ("namesProtected".to_owned(), RestrictedExpression::new_bool(names_protected(&call.argv, cwd))),
    ]);
    let optional = [("subcommand", invocation::subcommand(&call.argv)), ("module", python.module), ("script", python.script)];
    record.extend(optional.into_iter().filter_map(|(key, value)| value.map(|value| (key.to_owned(), text(value)))));
    record
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn set<'a>(values: impl IntoIterator<Item = &'a str>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(text))
}

/// Whether an absolute path lies below a directory. A path with `..` or `.` is not canonical, and lies nowhere.
fn lies_in(path: &str, dir: &str) -> bool {
    let below = path.strip_prefix(dir).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'));
    below && !path.split('/').any(|part| part == ".." || part == ".")
}

/// The path and each directory that it lies in, relative to the workspace.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_under_each_of_its_directories() {
        assert_eq!(ancestors("a/b/c.rs").collect::<Vec<_>>(), ["a", "a/b", "a/b/c.rs"]);
        assert_eq!(ancestors(".").collect::<Vec<_>>(), ["."]);
    }

    #[test]
    fn a_program_lies_where_its_path_says() {
        assert!(lies_in("/usr/bin/ls", "/usr"));
        assert!(lies_in("/workspace/run.sh", WORKSPACE));
        for path in ["/usr", "/usr/", "/usrlocal/x", "usr/bin/ls", "/usr/../workspace/x", "/workspace2/x", ""] {
            assert!(!lies_in(path, "/usr") && !lies_in(path, WORKSPACE), "{path}");
        }
    }
}
