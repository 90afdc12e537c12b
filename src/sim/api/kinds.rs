//! Which kinds the server serves, and what it knows of each.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};

use serde_json::{Value, json};

use super::builtin;
use super::meta;
use super::schema::{Repeats, Schema, does_not_fit};
use super::selector::at_path;
use super::shape::Shape;
use super::status::Cause;

/// A kind of object, in the one version that is served and stored.
pub struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) namespaced: bool,
    pub(crate) rules: Rules,
    pub(crate) shape: Shape,
    /// Of a custom kind.
    pub(crate) schema: Option<Schema>,
    /// Field paths that a field selector may name, beside name and namespace.
    pub(crate) selectable: Vec<String>,
}

/// In what kinds differ from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Has a status that only `/status` writes.
    pub(crate) status: bool,
    /// Counts changes of anything but metadata and status.
    pub(crate) generation: bool,
    /// An update of what is not there makes it.
    pub(crate) create_on_update: bool,
    /// An update may leave the resourceVersion out.
    pub(crate) unconditional_update: bool,
    /// Comes from a CustomResourceDefinition.
    pub(crate) custom: bool,
}

impl Debug for Kind {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{} {}", self.group, self.version, self.kind)
    }
}

impl Kind {
    /// As `apiVersion` says it.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Brings an object into the form that is stored: without what the schema does not know, with its defaults.
    pub(crate) fn complete(&self, object: &mut Value) {
        meta::tidy(object);
        if let Some(schema) = &self.schema {
            schema.complete(object);
        } else {
            builtin::complete(self, object);
        }
    }

    /// As [`Kind::complete`], for what came of an applied configuration: nulls stay where they are.
    pub(crate) fn complete_applied(&self, object: &mut Value) {
        meta::tidy(object);
        match &self.schema {
            Some(schema) => schema.add_defaults(object),
            None => builtin::complete(self, object),
        }
    }

    /// Whether each value has the form that the schema gives its place; if not, nobody can be made its owner.
    pub(crate) fn placeable(&self, object: &Value) -> bool {
        self.schema.as_ref().is_none_or(|schema| does_not_fit(schema, object, Repeats::Allowed).is_none())
    }

    /// What the schema and its rules have against an object.
    pub(crate) fn validate(&self, object: &Value, live: Option<&Value>, subresource: &str) -> Vec<Cause> {
        let judge = |schema: &Schema| schema.validate(object, live, subresource == "status");
        self.schema.as_ref().map_or_else(|| builtin::validate(self, object), judge)
    }

    /// The kind of a CustomResourceDefinition's storage version.
    ///
    /// # Errors
    /// What the definition lacks.
    pub fn from_crd(crd: &Value) -> Result<Kind, String> {
        let text =
            |at: &str| at_path(crd, at).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("the definition has no {at}"));
        let versions = at_path(crd, "spec.versions").and_then(Value::as_array).ok_or("the definition has no spec.versions")?;
        let version = versions.iter().find(|version| version["storage"] == true).ok_or("no version of the definition is stored")?;
        let schema = &version["schema"]["openAPIV3Schema"];
        if !schema.is_object() {
            return Err("the definition has no schema".to_owned());
        }
        let selectable = version["selectableFields"].as_array().map(Vec::as_slice).unwrap_or_default();
        let status = version["subresources"]["status"].is_object();
        Ok(Kind {
            group: text("spec.group")?,
            version: version["name"].as_str().unwrap_or_default().to_owned(),
            kind: text("spec.names.kind")?,
            plural: text("spec.names.plural")?,
            namespaced: text("spec.scope")? == "Namespaced",
            rules: Rules { status, generation: true, create_on_update: false, unconditional_update: false, custom: true },
            shape: Shape::of_object(schema),
            schema: Some(Schema::parse(schema)?),
            selectable: selectable
                .iter()
                .filter_map(|field| field["jsonPath"].as_str())
                .map(|path| path.trim_start_matches('.').to_owned())
                .collect(),
        })
    }
}

/// All kinds of a server, by group and plural.
#[derive(Debug, Default)]
pub struct Kinds {
    by_plural: BTreeMap<(String, String), Kind>,
}

impl Kinds {
    /// The built-in kinds that Reeve uses.
    #[must_use]
    pub fn builtin() -> Kinds {
        let mut kinds = Kinds::default();
        for kind in table() {
            kinds.add(kind);
        }
        kinds
    }

    /// Serves this kind too, or instead of the one of the same name.
    pub fn add(&mut self, kind: Kind) {
        self.by_plural.insert((kind.group.clone(), kind.plural.clone()), kind);
    }

    /// Serves the kinds of CustomResourceDefinitions in YAML, any number of documents.
    ///
    /// # Errors
    /// What is wrong with the YAML or a definition.
    pub fn add_crds(&mut self, yaml: &str) -> Result<(), String> {
        for crd in documents(yaml)? {
            self.add(Kind::from_crd(&crd)?);
        }
        Ok(())
    }

    pub(crate) fn find(&self, group: &str, plural: &str) -> Option<&Kind> {
        // Two words for looking up are not worth their copies on the heap; there are a few kinds.
        self.by_plural.values().find(|kind| kind.group == group && kind.plural == plural)
    }

    /// The kinds of a group and version, as discovery tells them; none if the path asks for something else.
    pub(crate) fn resource_list(&self, path: &str) -> Option<Value> {
        let group_version = path.strip_prefix("/apis/").or_else(|| path.strip_prefix("/api/"))?;
        let served: Vec<&Kind> = self.by_plural.values().filter(|kind| kind.api_version() == group_version).collect();
        if served.is_empty() {
            return None;
        }
        let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
        let mut resources = Vec::new();
        for kind in served {
            let singular = kind.kind.to_lowercase();
            resources.push(
                json!({ "name": kind.plural, "singularName": singular, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": verbs }),
            );
            if kind.rules.status {
                let name = format!("{}/status", kind.plural);
                let verbs = ["get", "patch", "update"];
                resources
                    .push(json!({ "name": name, "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind, "verbs": verbs }));
            }
        }
        Some(json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources }))
    }

    pub(crate) fn find_kind(&self, api_version: &str, name: &str) -> Option<&Kind> {
        let (group, _) = api_version.split_once('/').unwrap_or(("", api_version));
        self.by_plural.values().find(|kind| kind.group == group && kind.kind == name)
    }
}

/// The documents of a YAML text that are not empty.
///
/// # Errors
/// What the parser says.
pub(crate) fn documents(yaml: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).map_err(|error| error.to_string())?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

const UNCONDITIONAL: Rules = Rules { status: false, generation: false, create_on_update: false, unconditional_update: true, custom: false };
const WITH_STATUS: Rules = Rules { status: true, generation: true, ..UNCONDITIONAL };
const UPSERT: Rules = Rules { create_on_update: true, ..UNCONDITIONAL };

fn table() -> Vec<Kind> {
    let kind = |group: &str, kind: &str, plural: &str, rules, shape: &str, selectable: &[&str]| Kind {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        namespaced: !matches!(plural, "namespaces") && !group.starts_with("admissionregistration"),
        rules,
        shape: Shape::builtin(shape),
        schema: None,
        selectable: selectable.iter().map(|field| (*field).to_owned()).collect(),
    };
    let admission = Rules { generation: true, ..UNCONDITIONAL };
    let event_fields = [
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "reason",
        "reportingComponent",
        "type",
    ];
    vec![
        kind("", "Namespace", "namespaces", Rules { generation: false, ..WITH_STATUS }, "", &["status.phase"]),
        kind("", "ConfigMap", "configmaps", UNCONDITIONAL, "", &[]),
        kind("", "Secret", "secrets", UNCONDITIONAL, "", &["type"]),
        kind("", "Event", "events", UPSERT, "involvedObject=atomic source=atomic", &event_fields),
        kind("events.k8s.io", "Event", "events", UPSERT, "regarding=atomic", &[]),
        kind("", "Pod", "pods", WITH_STATUS, POD, &["spec.nodeName", "status.phase", "status.podIP"]),
        kind("batch", "Job", "jobs", WITH_STATUS, JOB, &["status.successful"]),
        kind("coordination.k8s.io", "Lease", "leases", Rules { unconditional_update: false, ..UPSERT }, "", &[]),
        kind(
            "networking.k8s.io",
            "NetworkPolicy",
            "networkpolicies",
            Rules { generation: true, ..UNCONDITIONAL },
            "spec.podSelector=atomic",
            &[],
        ),
        kind("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", admission, ADMISSION, &[]),
        kind("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", admission, "", &[]),
        kind("admissionregistration.k8s.io", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", admission, ADMISSION, &[]),
        kind("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", admission, "", &[]),
    ]
}

const ADMISSION: &str = "spec.variables=name spec.matchConditions=name";
const POD: &str = "spec.containers=name spec.initContainers=name spec.containers.env=name spec.initContainers.env=name \
    spec.containers.volumeMounts=mountPath spec.initContainers.volumeMounts=mountPath spec.volumes=name spec.imagePullSecrets=name \
    spec.containers.ports=containerPort,protocol status.conditions=type spec.nodeSelector=atomic";
const JOB: &str = "spec.template.spec.containers=name spec.template.spec.initContainers=name spec.template.spec.containers.env=name \
    spec.template.spec.initContainers.env=name spec.template.spec.containers.volumeMounts=mountPath \
    spec.template.spec.initContainers.volumeMounts=mountPath spec.template.spec.volumes=name spec.template.spec.imagePullSecrets=name \
    spec.template.spec.containers.ports=containerPort,protocol spec.selector=atomic spec.template.spec.nodeSelector=atomic";
