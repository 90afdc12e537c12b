//! The wall around sandboxes: a NetworkPolicy that lets nothing in and nothing out. The exec stream passes by the kubelet and needs neither.

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use reeve_api::{FIELD_MANAGER, label};

use crate::cluster::WriteError;

/// Its name in each namespace.
const NAME: &str = "reeve-sandbox";

/// The default-deny policy of a namespace: every Pod with the sandbox label, both ways, no exception.
pub fn network_policy(namespace: &str) -> NetworkPolicy {
    NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), FIELD_MANAGER.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_expressions: Some(vec![LabelSelectorRequirement {
                    key: label::SANDBOX.to_owned(),
                    operator: "Exists".to_owned(),
                    values: None,
                }]),
                match_labels: None,
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ..NetworkPolicySpec::default()
        }),
    }
}

/// Makes sure that the policy is in force in a namespace. Reads first; writes only when it is absent or says something else.
///
/// # Errors
/// [`WriteError::Api`].
pub async fn ensure_network_policy(client: &Client, namespace: &str) -> Result<(), WriteError> {
    let api: Api<NetworkPolicy> = Api::namespaced(client.clone(), namespace);
    let failed = |doing: &str| {
        let doing = format!("{doing} NetworkPolicy {namespace}/{NAME}");
        move |source| WriteError::Api { doing, source }
    };
    let wanted = network_policy(namespace);
    let found = api.get_opt(NAME).await.map_err(failed("reading"))?;
    if found.is_some_and(|found| found.spec == wanted.spec) {
        return Ok(());
    }
    // Apply leaves what others added to lists and rules, so a policy that was widened is replaced as a whole.
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let applied = api.patch(NAME, &parameters, &Patch::Apply(&wanted)).await.map_err(failed("applying"))?;
    if applied.spec != wanted.spec {
        let replacement = NetworkPolicy { metadata: ObjectMeta { managed_fields: None, ..applied.metadata }, ..wanted };
        api.replace(NAME, &Default::default(), &replacement).await.map_err(failed("replacing"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::{Arc, Mutex};

    use http::{Method, Request, Response};
    use kube::client::Body;

    use super::*;

    #[test]
    fn nothing_comes_in_or_goes_out() {
        let spec = network_policy("team").spec.unwrap();
        assert_eq!(spec.policy_types, Some(vec!["Ingress".to_owned(), "Egress".to_owned()]));
        assert_eq!((spec.ingress, spec.egress), (None, None));
    }

    #[tokio::test]
    async fn what_is_in_force_costs_no_write() {
        for (found, writes) in [(Some(network_policy("team")), 0), (None, 1)] {
            let seen = Arc::new(Mutex::new(0));
            let counter = Arc::clone(&seen);
            let service = tower::service_fn(move |request: Request<Body>| {
                let (found, counter) = (found.clone(), Arc::clone(&counter));
                async move {
                    let answer = match (request.method() == Method::GET, found) {
                        (true, None) => {
                            let status = kube::core::Status::failure("none", "NotFound").with_code(404);
                            return Ok(Response::builder().status(404).body(Body::from(serde_json::to_vec(&status).unwrap())).unwrap());
                        }
                        (true, Some(found)) => found,
                        (false, _) => {
                            *counter.lock().unwrap() += 1;
                            network_policy("team")
                        }
                    };
                    Ok::<_, kube::Error>(Response::new(Body::from(serde_json::to_vec(&answer).unwrap())))
                }
            });
            ensure_network_policy(&Client::new(service, "team"), "team").await.unwrap();
            assert_eq!(*seen.lock().unwrap(), writes);
        }
    }
}
