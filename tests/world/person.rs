//! Someone who speaks to the API server: the admin of the cluster, or a user with few rights.

use std::fmt::Debug;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A person at a terminal, in one namespace.
#[derive(Clone)]
pub struct Person {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// Reads one document of YAML.
pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Reads all documents of a YAML file.
pub fn yaml_all(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

impl Person {
    /// Objects of a type, in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Objects of this one's kind, in the namespace; and its name.
    pub fn dynamic(&self, object: &Value) -> (Api<DynamicObject>, String) {
        let text =
            |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path} is missing in {object}")).to_owned();
        let (group, version) = match text("/apiVersion").split_once('/') {
            Some((group, version)) => (group.to_owned(), version.to_owned()),
            None => (String::new(), text("/apiVersion")),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind { group, version, kind: text("/kind") });
        (Api::namespaced_with(self.client.clone(), &self.namespace, &resource), text("/metadata/name"))
    }

    /// `kubectl apply --server-side`, strictly validated.
    pub async fn try_apply(&self, object: &Value) -> Result<DynamicObject, String> {
        let (api, name) = self.dynamic(object);
        let parameters = PatchParams::apply("kubectl").validation_strict();
        api.patch(&name, &parameters, &Patch::Apply(object)).await.map_err(|error| message(&error))
    }

    /// Applies one YAML document.
    pub async fn apply(&self, text: &str) -> DynamicObject {
        self.put(&yaml(text)).await
    }

    /// Applies one object.
    pub async fn put(&self, object: &Value) -> DynamicObject {
        self.try_apply(object).await.unwrap_or_else(|error| panic!("{error}\n{object:#}"))
    }

    /// The words with which the server refuses the object.
    pub async fn refused(&self, object: &Value) -> String {
        match self.try_apply(object).await {
            Ok(taken) => panic!("expected a refusal, the server took {taken:?}"),
            Err(message) => message,
        }
    }

    /// `kubectl create`: what is there already is an error.
    pub async fn create(&self, object: &Value) -> Result<DynamicObject, String> {
        let (api, _) = self.dynamic(object);
        let parsed = serde_json::from_value(object.clone()).unwrap();
        api.create(&PostParams::default(), &parsed).await.map_err(|error| message(&error))
    }

    /// `kubectl patch --type=merge`.
    pub async fn patch<K>(&self, name: &str, patch: Value) -> Result<K, String>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        self.api::<K>()
            .patch(name, &PatchParams::default().validation_strict(), &Patch::Merge(patch))
            .await
            .map_err(|error| message(&error))
    }

    /// `kubectl patch --subresource=status --type=merge`.
    pub async fn patch_status<K>(&self, name: &str, patch: Value) -> Result<K, String>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        self.api::<K>().patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(|error| message(&error))
    }

    /// `kubectl delete`.
    pub async fn delete<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        self.api::<K>().delete(name, &Default::default()).await.unwrap_or_else(|error| panic!("deleting {name}: {error}"));
    }

    /// A ConfigMap with one key.
    pub async fn config_map(&self, name: &str, key: &str, text: &str) {
        self.put(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}})).await;
    }

    /// A Secret that Reeve may send to these hosts; None leaves the annotation out.
    pub async fn secret(&self, name: &str, hosts: Option<&str>, data: Value) {
        let annotations = hosts.map_or_else(|| json!({}), |hosts| json!({"reeve.dev/allowed-hosts": hosts}));
        self.put(
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "annotations": annotations}, "stringData": data}),
        )
        .await;
    }

    /// Binds the chart's role of those who approve to a user, in the namespace.
    pub async fn lets_approve(&self, user: &str) {
        self.put(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": format!("approver-{user}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reeve-approver"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }))
        .await;
    }

    /// Lets a user do these things in the namespace.
    pub(crate) async fn grant(&self, user: &str, rules: &[(&str, &str, &[&str])]) {
        let rules = rules
            .iter()
            .map(|(group, resource, verbs)| PolicyRule {
                api_groups: Some(vec![(*group).to_owned()]),
                resources: Some(vec![(*resource).to_owned()]),
                verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
                ..PolicyRule::default()
            })
            .collect();
        let role = Role { metadata: named(user), rules: Some(rules) };
        self.api::<Role>().create(&PostParams::default(), &role).await.unwrap();
        let binding = RoleBinding {
            metadata: named(user),
            role_ref: RoleRef { api_group: "rbac.authorization.k8s.io".to_owned(), kind: "Role".to_owned(), name: user.to_owned() },
            subjects: Some(vec![Subject {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "User".to_owned(),
                name: user.to_owned(),
                namespace: None,
            }]),
        };
        self.api::<RoleBinding>().create(&PostParams::default(), &binding).await.unwrap();
    }

    /// Waits until the server, which reads its roles from a cache, lets this person do what was granted.
    pub(crate) async fn wait_for_right(&self, (group, resource, verbs): &(&str, &str, &[&str])) {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let (resource, subresource) =
            resource.split_once('/').map_or((*resource, None), |(resource, part)| (resource, Some(part.to_owned())));
        let asked = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some((*group).to_owned()),
                    namespace: Some(self.namespace.clone()),
                    resource: Some(resource.to_owned()),
                    subresource,
                    verb: verbs.first().map(|verb| (*verb).to_owned()),
                    ..ResourceAttributes::default()
                }),
                non_resource_attributes: None,
            },
            ..SelfSubjectAccessReview::default()
        };
        let granted =
            async { while !reviews.create(&PostParams::default(), &asked).await.unwrap().status.is_some_and(|status| status.allowed) {} };
        tokio::time::timeout(super::deadline(), granted)
            .await
            .unwrap_or_else(|_| panic!("{group}/{resource} was granted and is not in force"));
    }
}

fn named(name: &str) -> kube::core::ObjectMeta {
    kube::core::ObjectMeta { name: Some(name.to_owned()), ..Default::default() }
}

/// What the server said, without the dump of its status.
pub(crate) fn message(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error { status.message.clone() } else { error.to_string() }
}
