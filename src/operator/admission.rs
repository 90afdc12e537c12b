//! Whether admission proves votes: the policies as they are, and a forged vote that must be refused.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, Resource, ResourceExt as _};
use reeve_api::Approval;
use reeve_core::Digest;
use reeve_core::journal::AdmissionPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cluster::is_said;
use crate::config::Config;
use crate::error::Error;

/// In whose name the forged vote is cast. Nobody has it: a colon at the end of a name is what no authenticator gives.
const FORGED: &str = "reeve.dev:forged-vote:";

/// The admission policies that hold the votes, as they are now; or why they do not.
///
/// What turns a decision into a vote (from Kubernetes 1.36 on) is among them where it is there: it could write what nobody decided.
pub(crate) async fn seen(client: &Client, config: &Config) -> Result<Result<Vec<AdmissionPolicy>, String>, Error> {
    let policy = look::<ValidatingAdmissionPolicy>(client, &config.approval_policy, |policy| &policy.spec).await?;
    let binding = look::<ValidatingAdmissionPolicyBinding>(client, &config.approval_binding, |binding| &binding.spec).await?;
    let mut seen = match (policy, binding) {
        (Some(policy), Some(binding)) => vec![policy, binding],
        (None, _) => return Ok(Err(format!("ValidatingAdmissionPolicy {} is not there", config.approval_policy))),
        (_, None) => return Ok(Err(format!("ValidatingAdmissionPolicyBinding {} is not there", config.approval_binding))),
    };
    seen.extend(look_at_writer(client, "MutatingAdmissionPolicy", &config.decision_policy).await?);
    seen.extend(look_at_writer(client, "MutatingAdmissionPolicyBinding", &config.decision_binding).await?);
    Ok(Ok(seen))
}

/// One of the policies that write. None where the server does not have them, or not this one.
async fn look_at_writer(client: &Client, kind: &str, name: &str) -> Result<Option<AdmissionPolicy>, Error> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind));
    let Some(found) = Api::<DynamicObject>::all_with(client.clone(), &resource).get_opt(name).await? else { return Ok(None) };
    let digest = Digest::of_canonical(&found.data.get("spec")).map_err(|error| Error::bug(error.to_string()))?;
    Ok(Some(AdmissionPolicy {
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: found.uid().unwrap_or_default(),
        generation: found.metadata.generation.unwrap_or_default(),
        digest,
    }))
}

async fn look<K>(client: &Client, name: &str, spec: impl Fn(&K) -> &Option<<K as Spec>::Of>) -> Result<Option<AdmissionPolicy>, Error>
where
    K: Spec + Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let Some(found) = Api::<K>::all(client.clone()).get_opt(name).await? else { return Ok(None) };
    let digest = Digest::of_canonical(spec(&found)).map_err(|error| Error::bug(error.to_string()))?;
    Ok(Some(AdmissionPolicy {
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
        uid: found.uid().unwrap_or_default(),
        generation: found.meta().generation.unwrap_or_default(),
        digest,
    }))
}

trait Spec {
    type Of: Serialize;
}

impl Spec for ValidatingAdmissionPolicy {
    type Of = k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicySpec;
}

impl Spec for ValidatingAdmissionPolicyBinding {
    type Of = k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBindingSpec;
}

/// Casts a vote in the name of nobody, as a dry run: why admission is not in force, where it is not refused by `policy`, which is ours.
///
/// The words are those of the policy: a refusal for another reason (a right that is missing, an object that is gone) proves nothing.
pub(crate) async fn forged_vote_is_refused(
    client: &Client,
    policy: &str,
    namespace: &str,
    name: &str,
) -> Result<Result<(), String>, Error> {
    let api: Api<Approval> = Api::namespaced(client.clone(), namespace);
    let forged = json!({ "spec": { "votes": { FORGED: { "verdict": "Approve" } } } });
    let parameters = PatchParams { dry_run: true, ..PatchParams::default() };
    match api.patch(name, &parameters, &Patch::Merge(&forged)).await {
        Ok(_) => Ok(Err("a forged vote was not refused".to_owned())),
        Err(kube::Error::Api(status)) if status.message.contains(&format!("ValidatingAdmissionPolicy '{policy}'")) => {
            let ours = ["you may vote only as", "a service account has no vote"].iter().any(|words| status.message.contains(words));
            Ok(if ours { Ok(()) } else { Err(format!("a forged vote was refused in words that are not ours: {}", status.message)) })
        }
        // Half an answer proves nothing, neither way.
        Err(kube::Error::Api(status)) if !is_said(&status) => Err(kube::Error::Api(status).into()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Err("the Approval is gone".to_owned())),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422) => {
            Ok(Err(format!("a forged vote was refused, but not by {policy}: {}", status.message)))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::Value;

    use super::*;

    const POLICY: &str = "reeve-approvals";

    /// What the probe finds where the server answers it with this.
    async fn found(code: u16, body: String) -> Result<Result<(), String>, Error> {
        let server = tower::service_fn(move |_: Request<Body>| {
            let body = Body::from(body.clone().into_bytes());
            async move { Ok::<_, kube::Error>(Response::builder().status(code).body(body).unwrap()) }
        });
        forged_vote_is_refused(&Client::new(server, "team"), POLICY, "team", "merge-1").await
    }

    fn refusal(code: u16, message: &str) -> String {
        let status: Value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Invalid", "code": code, "message": message,
        });
        status.to_string()
    }

    #[tokio::test]
    async fn only_the_words_of_our_policy_prove_votes_and_only_an_answer_disproves_them() {
        let ours = refusal(422, &format!("ValidatingAdmissionPolicy '{POLICY}' denied request: you may vote only as yourself"));
        assert_eq!(found(422, ours.clone()).await.unwrap(), Ok(()));
        for (code, body) in [
            (422, refusal(422, &format!("ValidatingAdmissionPolicy '{POLICY}' denied request: something else"))),
            (422, refusal(422, "ValidatingAdmissionPolicy 'another' denied request: you may vote only as yourself")),
            (403, refusal(403, "approvals.reeve.dev is forbidden")),
            (404, refusal(404, "not found")),
        ] {
            assert!(found(code, body.clone()).await.unwrap().is_err(), "{body}");
        }
        for (code, body) in [(422, ours[..ours.len() / 2].to_owned()), (404, "404 page not found".to_owned()), (503, refusal(503, "later"))]
        {
            let unheard = found(code, body.clone()).await.unwrap_err();
            assert_eq!(unheard.class(), reeve_core::class::Class::Transient, "{body}");
        }
    }
}
