//! The admission policies that the chart installs, without Helm: its templates hold little that is not YAML.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::kinds::documents;
use super::meta;
use super::request::Caller;
use super::server::{Answer, ApiServer};

const TEMPLATES: [&str; 4] = [
    include_str!("../../../charts/reeve/templates/admission.yaml"),
    include_str!("../../../charts/reeve/templates/admission-approvals.yaml"),
    include_str!("../../../charts/reeve/templates/admission-budgets.yaml"),
    include_str!("../../../charts/reeve/templates/admission-killswitches.yaml"),
];

const JANITORS: &str =
    "['system:serviceaccount:kube-system:generic-garbage-collector', 'system:serviceaccount:kube-system:namespace-controller']";

/// The chart's policies as release `reeve` has them, each with a binding of its name for every namespace. `operator` is the operator's
/// username.
///
/// # Errors
/// A line of a template that this cannot render, or YAML that cannot be read.
pub fn chart_policies(operator: &str) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    for template in TEMPLATES {
        for policy in documents(&rendered(template, operator)?)? {
            let (name, kind) = (meta::text(&policy, "name"), policy["kind"].as_str().unwrap_or_default());
            let mut binding = json!({
                "apiVersion": policy["apiVersion"], "kind": format!("{kind}Binding"), "metadata": { "name": name },
                "spec": { "policyName": name },
            });
            if kind == "ValidatingAdmissionPolicy" {
                binding["spec"]["validationActions"] = json!(["Deny"]);
            }
            objects.extend([policy, binding]);
        }
    }
    Ok(objects)
}

/// A template without its blocks of bindings and with its few words filled in.
fn rendered(template: &str, operator: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut in_range = false;
    for line in template.lines() {
        let filled = line
            .replace("{{ $name }}", "reeve")
            .replace("{{ $operator }}", operator)
            .replace("{{ include \"reeve.janitors\" . }}", JANITORS);
        let bare = filled.trim();
        if bare.starts_with("{{- range") {
            in_range = true;
        } else if in_range {
            in_range = !bare.starts_with("{{- end");
        } else if bare.starts_with("{{-") || bare == "labels:" {
            // A condition that holds for a new server, a name that is filled in above, or labels.
        } else if filled.contains("{{") {
            return Err(format!("a line of the chart needs Helm: {filled}"));
        } else {
            out.push_str(&filled);
            out.push('\n');
        }
    }
    Ok(out)
}

impl ApiServer {
    /// Creates objects as the cluster's admin, as `kubectl create -f` does.
    ///
    /// # Errors
    /// The first refusal, or an object of a kind that is not served.
    pub fn install(&mut self, now: Timestamp, objects: &[Value]) -> Result<(), String> {
        let admin = Caller { username: "kubernetes-admin".to_owned(), groups: vec!["system:masters".to_owned()] };
        for object in objects {
            let (version, kind) = (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
            let found = self.kinds.find_kind(version, kind).ok_or_else(|| format!("{version} {kind} is not served"))?;
            let root = if found.group.is_empty() { "/api" } else { "/apis" };
            let namespace = meta::text(object, "namespace");
            let within = if found.namespaced { format!("/namespaces/{namespace}") } else { String::new() };
            let path = format!("{root}/{version}{within}/{}", found.plural);
            let request = http::Request::post(path).body(Bytes::from(object.to_string())).map_err(|error| error.to_string())?;
            match self.handle(now, &admin, &request) {
                Answer::Whole(201, _) => {}
                Answer::Whole(code, body) => return Err(format!("{code}: {}", body["message"])),
                Answer::Watch(_) => return Err("a create was answered with a watch".to_owned()),
            }
        }
        Ok(())
    }
}
