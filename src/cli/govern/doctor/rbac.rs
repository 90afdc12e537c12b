//! Who holds a right, read from roles and bindings as Kubernetes' own authorizer reads them.
//!
//! It knows RBAC and nothing else: the group system:masters may everything without a role, and so may what a webhook or the Node authorizer
//! lets through.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject as RbacSubject};
use kube::ResourceExt as _;

const ANY: &str = "*";
const BOOTSTRAPPED: (&str, &str) = ("kubernetes.io/bootstrapping", "rbac-defaults");
const MACHINES: &str = "system:serviceaccount:";

/// All roles and bindings of a cluster. Aggregated ClusterRoles have their rules expanded by Kubernetes.
#[derive(Clone, Debug, Default)]
pub(super) struct Rbac {
    pub(super) cluster_roles: Vec<ClusterRole>,
    pub(super) roles: Vec<Role>,
    pub(super) cluster_bindings: Vec<ClusterRoleBinding>,
    pub(super) bindings: Vec<RoleBinding>,
}

/// Something that can be done: any of the verbs, on one resource.
#[derive(Clone, Debug)]
pub(super) struct Right {
    pub(super) verbs: &'static [&'static str],
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    pub(super) subresource: Subresource,
    pub(super) reach: Reach,
    /// The objects that matter; none named means any.
    pub(super) names: Vec<String>,
}

/// Which part of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subresource {
    /// The resource itself.
    None,
    /// This one.
    Of(&'static str),
    /// Any: the keys of `userextras` are subresources.
    Any,
}

/// Where a right must be held to matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// On objects that have no namespace: only a ClusterRoleBinding gives it.
    Cluster,
    /// In any namespace.
    Anywhere,
    /// In this one.
    Namespace(String),
}

/// Who a binding names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Group(String),
    User(String),
    ServiceAccount { namespace: String, name: String },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Group(name) => write!(f, "Group:{name}"),
            Subject::User(name) => write!(f, "User:{name}"),
            Subject::ServiceAccount { namespace, name } => write!(f, "ServiceAccount:{namespace}/{name}"),
        }
    }
}

/// Where a right is held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Cluster,
    Namespace(String),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Cluster => f.write_str("cluster-wide"),
            Scope::Namespace(name) => f.write_str(name),
        }
    }
}

/// On which objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    All,
    Only(BTreeSet<String>),
}

/// Who holds a right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holders {
    /// Whom somebody gave it to.
    pub(super) given: BTreeMap<Scope, BTreeMap<Subject, Names>>,
    /// Kubernetes' own controllers, by the roles that it comes with.
    pub(super) kubernetes: BTreeSet<Subject>,
}

impl Holders {
    /// Everyone to whom it was given, once.
    pub(super) fn subjects(&self) -> BTreeSet<&Subject> {
        self.given.values().flat_map(BTreeMap::keys).collect()
    }

    /// Those who hold any of several rights.
    pub(super) fn or(mut self, other: Holders) -> Holders {
        for (scope, subjects) in other.given {
            for (subject, names) in subjects {
                self.give(scope.clone(), subject, names);
            }
        }
        self.kubernetes.extend(other.kubernetes);
        self
    }

    /// Of these, those who hold the other right too, wherever.
    pub(super) fn and(mut self, other: &Holders) -> Holders {
        let both = other.subjects();
        self.given
            .values_mut()
            .for_each(|subjects| subjects.retain(|subject, _| both.contains(subject) || other.kubernetes.contains(subject)));
        self.given.retain(|_, subjects| !subjects.is_empty());
        self.kubernetes.retain(|subject| both.contains(subject) || other.kubernetes.contains(subject));
        self
    }

    fn give(&mut self, scope: Scope, subject: Subject, names: Names) {
        let held = self.given.entry(scope).or_default().entry(subject).or_insert_with(|| names.clone());
        *held = match (&*held, names) {
            (Names::All, _) | (_, Names::All) => Names::All,
            (Names::Only(before), Names::Only(more)) => Names::Only(before.union(&more).cloned().collect()),
        };
    }
}

/// Who holds this right.
///
/// Guarantees: whoever Kubernetes' RBAC authorizer would let is named, by the user, group or ServiceAccount that a binding names; a role that
/// is not there gives nothing; a RoleBinding gives nothing on objects without a namespace.
pub(super) fn who(rbac: &Rbac, right: &Right) -> Holders {
    let mut holders = Holders::default();
    for binding in &rbac.cluster_bindings {
        let Some(names) = granted(cluster_rules(rbac, &binding.role_ref), right) else { continue };
        let ours = is_bootstrapped(&binding.name_any(), binding.labels());
        take(&mut holders, &Scope::Cluster, binding.subjects.iter().flatten(), None, &names, ours);
    }
    for binding in &rbac.bindings {
        let namespace = binding.namespace().unwrap_or_default();
        let matters = match &right.reach {
            Reach::Cluster => false,
            Reach::Anywhere => true,
            Reach::Namespace(wanted) => *wanted == namespace,
        };
        if !matters {
            continue;
        }
        let rules = match binding.role_ref.kind.as_str() {
            "Role" => rules_of(rbac, &namespace, &binding.role_ref.name),
            "ClusterRole" => cluster_rules(rbac, &binding.role_ref),
            // Kubernetes knows no other; the authorizer would give nothing for it.
            _ => continue,
        };
        let Some(names) = granted(rules, right) else { continue };
        let ours = is_bootstrapped(&binding.name_any(), binding.labels());
        let scope = Scope::Namespace(namespace.clone());
        take(&mut holders, &scope, binding.subjects.iter().flatten(), Some(&namespace), &names, ours);
    }
    holders
}

fn take<'a>(
    holders: &mut Holders,
    scope: &Scope,
    subjects: impl Iterator<Item = &'a RbacSubject>,
    namespace: Option<&str>,
    names: &Names,
    bootstrapped: bool,
) {
    for subject in subjects.filter_map(|subject| named(subject, namespace)) {
        if bootstrapped && is_controller(&subject) {
            holders.kubernetes.insert(subject);
        } else {
            holders.give(scope.clone(), subject, names.clone());
        }
    }
}

/// A ServiceAccount is also a user of a known name; it is one and the same. One without a namespace is that of the binding, or nobody.
fn named(subject: &RbacSubject, binding: Option<&str>) -> Option<Subject> {
    match subject.kind.as_str() {
        "Group" => Some(Subject::Group(subject.name.clone())),
        "User" => Some(match subject.name.strip_prefix(MACHINES).and_then(|rest| rest.split_once(':')) {
            Some((namespace, name)) => Subject::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() },
            None => Subject::User(subject.name.clone()),
        }),
        "ServiceAccount" => {
            let namespace = subject.namespace.as_deref().filter(|namespace| !namespace.is_empty()).or(binding)?;
            Some(Subject::ServiceAccount { namespace: namespace.to_owned(), name: subject.name.clone() })
        }
        _ => None,
    }
}

fn is_bootstrapped(binding: &str, labels: &BTreeMap<String, String>) -> bool {
    let (key, value) = BOOTSTRAPPED;
    binding.starts_with("system:") && labels.get(key).is_some_and(|found| found == value)
}

/// Whether this is a program of Kubernetes itself, where one of its own bindings names it.
fn is_controller(subject: &Subject) -> bool {
    match subject {
        Subject::ServiceAccount { namespace, .. } => namespace == "kube-system",
        Subject::User(name) => name.starts_with("system:kube-"),
        Subject::Group(_) => false,
    }
}

fn cluster_rules<'a>(rbac: &'a Rbac, of: &RoleRef) -> &'a [PolicyRule] {
    let role = rbac.cluster_roles.iter().find(|role| role.metadata.name.as_ref() == Some(&of.name));
    role.and_then(|role| role.rules.as_deref()).unwrap_or_default()
}

fn rules_of<'a>(rbac: &'a Rbac, namespace: &str, name: &str) -> &'a [PolicyRule] {
    let is_meant = |role: &&Role| role.metadata.namespace.as_deref() == Some(namespace) && role.metadata.name.as_deref() == Some(name);
    rbac.roles.iter().find(is_meant).and_then(|role| role.rules.as_deref()).unwrap_or_default()
}

/// On which objects these rules give the right; None where they do not.
fn granted(rules: &[PolicyRule], right: &Right) -> Option<Names> {
    rules.iter().filter_map(|rule| grants(rule, right)).reduce(|one, other| match (one, other) {
        (Names::All, _) | (_, Names::All) => Names::All,
        (Names::Only(one), Names::Only(other)) => Names::Only(one.union(&other).cloned().collect()),
    })
}

fn grants(rule: &PolicyRule, right: &Right) -> Option<Names> {
    let has = |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|item| item == ANY || item == wanted);
    let only: BTreeSet<String> = rule.resource_names.iter().flatten().cloned().collect();
    // A request to create names no object, nor does one to delete a collection: a rule for some names never matches them.
    let nameless = |verb: &str| verb == "deletecollection" || (verb == "create" && right.subresource == Subresource::None);
    let verb = right
        .verbs
        .iter()
        .any(|wanted| (only.is_empty() || !nameless(wanted)) && rule.verbs.iter().any(|verb| verb == ANY || verb == wanted));
    if !verb || !has(&rule.api_groups, right.group) || !rule.resources.iter().flatten().any(|resource| is_on(resource, right)) {
        return None;
    }
    if only.is_empty() {
        return Some(Names::All);
    }
    if right.names.is_empty() {
        return Some(Names::Only(only));
    }
    right.names.iter().any(|name| only.contains(name)).then_some(Names::All)
}

/// Whether what a rule names covers the resource: `*` and the very name; of a subresource, `*/name` too.
fn is_on(rule: &str, right: &Right) -> bool {
    if rule == ANY {
        return true;
    }
    match (right.subresource, rule.split_once('/')) {
        (Subresource::None, None) => rule == right.resource,
        (Subresource::None, Some(_)) | (Subresource::Of(_) | Subresource::Any, None) => false,
        (Subresource::Of(wanted), Some((resource, subresource))) => {
            subresource == wanted && (resource == ANY || resource == right.resource)
        }
        (Subresource::Any, Some((resource, _))) => resource == ANY || resource == right.resource,
    }
}

#[cfg(test)]
mod tests;
