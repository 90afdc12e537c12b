//! Who may do what: what the authorizer of a policy knows.

use serde_json::{Value, json};

use crate::api::request::Caller;

/// A right of a user or group, as a rule of RBAC gives it. `*` is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// A user's or group's name.
    pub who: String,
    /// Like `approve`.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural, with the subresource after a slash: `serviceaccounts/token`.
    pub resource: String,
    /// Where; `*` is everywhere.
    pub namespace: String,
    /// Of which object; `*` is of each.
    pub name: String,
}

/// The value of `authorizer` for this caller: what was asked so far, and what the caller may do.
pub(super) fn authorizer(rights: &[Right], caller: &Caller) -> Value {
    let whose = |right: &&Right| right.who == caller.username || caller.groups.contains(&right.who);
    let mut mine: Vec<Value> =
        rights.iter().filter(whose).map(|right| json!([right.verb, right.group, right.resource, right.namespace, right.name])).collect();
    if caller.groups.iter().any(|group| group == "system:masters") {
        mine.push(json!(["*", "*", "*", "*", "*"]));
    }
    json!({ "rights": mine, "group": "", "resource": "", "subresource": "", "namespace": "", "name": "" })
}

/// Whether what an authorizer was asked for is among its rights.
pub(super) fn allowed(asked: &Value, verb: &str) -> bool {
    let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
    let resource = match text("subresource").as_str() {
        "" => text("resource"),
        subresource => format!("{}/{subresource}", text("resource")),
    };
    let wanted = [verb.to_owned(), text("group"), resource, text("namespace"), text("name")];
    let rights = asked["rights"].as_array().map(Vec::as_slice).unwrap_or_default();
    rights.iter().any(|right| wanted.iter().enumerate().all(|(at, wanted)| right[at] == "*" || right[at] == wanted.as_str()))
}
