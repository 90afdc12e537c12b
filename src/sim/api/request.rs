//! What a request asks for, read from its method, path, query and headers.

use std::collections::BTreeMap;

use super::kinds::{Kind, Kinds};
use super::status::{About, Failure};

/// Who sends a request, as authentication would have found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `request.userInfo.username`.
    pub username: String,
    /// `request.userInfo.groups`.
    pub groups: Vec<String>,
}

impl Caller {
    /// A person of this name.
    #[must_use]
    pub fn user(name: &str) -> Caller {
        Caller { username: name.to_owned(), groups: vec!["system:authenticated".to_owned()] }
    }

    /// A ServiceAccount.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Caller {
        Caller {
            username: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
        }
    }
}

/// Which object or objects a path names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) kind: &'a Kind,
    /// Empty for cluster-wide kinds and for lists over all namespaces.
    pub(crate) namespace: &'a str,
    /// Empty for a list or create.
    pub(crate) name: &'a str,
    /// Empty, or `status`.
    pub(crate) subresource: &'a str,
}

impl<'a> Target<'a> {
    /// # Errors
    /// No such resource.
    pub(crate) fn parse(kinds: &'a Kinds, path: &'a str) -> Result<Target<'a>, Failure> {
        let steps: Vec<&str> = path.split('/').filter(|step| !step.is_empty()).collect();
        let (group, version, rest) = match steps.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Failure::no_such_resource()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if rest.first().is_some_and(|first| !matches!(*first, "status" | "finalize")) => {
                (*namespace, rest)
            }
            _ => ("", rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, subresource] => (*plural, *name, *subresource),
            _ => return Err(Failure::no_such_resource()),
        };
        let kind = kinds.find(group, plural).filter(|kind| kind.version == version).ok_or_else(Failure::no_such_resource)?;
        let known = subresource.is_empty() || (subresource == "status" && kind.rules.status);
        let placed = kind.namespaced != namespace.is_empty() || (kind.namespaced && name.is_empty());
        if !known || !placed {
            return Err(Failure::no_such_resource());
        }
        Ok(Target { kind, namespace, name, subresource })
    }

    pub(crate) fn about(&self) -> About<'a> {
        About { group: &self.kind.group, plural: &self.kind.plural, kind: &self.kind.kind, name: self.name }
    }

    pub(crate) fn key(&self) -> String {
        key(self.kind, self.namespace, self.name)
    }

    /// What the keys of the list begin with.
    pub(crate) fn prefix(&self) -> String {
        let all = format!("{}/{}/", self.kind.group, self.kind.plural);
        if self.namespace.is_empty() { all } else { format!("{all}{}/", self.namespace) }
    }
}

/// Where an object lies in the store.
pub(crate) fn key(kind: &Kind, namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        format!("{}/{}/{name}", kind.group, kind.plural)
    } else {
        format!("{}/{}/{namespace}/{name}", kind.group, kind.plural)
    }
}

/// The parameters of a query string.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn parse(text: &str) -> Query {
        Query(form_urlencoded::parse(text.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Absent, empty and unreadable are false, as the server reads them.
    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "1" | "True" | "TRUE" | "t" | "T")
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    pub(crate) fn dry_run(&self) -> bool {
        self.text("dryRun") == "All"
    }
}

/// By which rules a PATCH changes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchType {
    Json,
    Merge,
    StrategicMerge,
    Apply,
}

impl PatchType {
    pub(crate) fn of(content_type: &str) -> Option<PatchType> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(PatchType::Json),
            "application/merge-patch+json" => Some(PatchType::Merge),
            "application/strategic-merge-patch+json" => Some(PatchType::StrategicMerge),
            "application/apply-patch+yaml" => Some(PatchType::Apply),
            _ => None,
        }
    }
}
