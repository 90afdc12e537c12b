//! `hack/examples`: what people copy must be right and whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reeve_api::PolicySetSpec;
use reeve_core::policy::{CompiledSet, check_cases};
use serde_json::Value;

/// Fields that no example shows as written by a person: the API server writes the one, the operator the others. Votes are people's, and come
/// when the Approval is there.
const NOT_BY_PEOPLE: [&str; 12] = [
    "AgentRun requestedBy",
    "AgentRun goalRef.name",
    "AgentRun merge.artifacts.bytes",
    "AgentRun merge.artifacts.digest",
    "AgentRun merge.artifacts.name",
    "AgentRun merge.baseCommit",
    "AgentRun merge.headCommit",
    "AgentRun workspace.artifact.digest",
    "Approval decision",
    "Approval votes",
    "Goal requestedBy",
    "Goal workspace.artifact.digest",
];

/// Fields that are the same type in a Goal and an AgentRun, and shown there.
const SHOWN_ELSEWHERE: [&str; 3] =
    ["Goal workspace.archive.configMapKeyRef.key", "Goal workspace.archive.configMapKeyRef.name", "Goal workspace.archive.stripComponents"];

fn documents(ending: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hack/examples");
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with(ending) {
            let text = std::fs::read_to_string(&path).unwrap();
            let found: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            documents.extend(found);
        }
    }
    assert!(!documents.is_empty(), "no example ends with {ending}");
    documents
}

fn of_reeve(documents: &[Value]) -> impl Iterator<Item = (String, &Value)> {
    let ours = documents.iter().filter(|document| document["apiVersion"] == "reeve.dev/v1alpha1");
    ours.map(|document| (document["kind"].as_str().unwrap().to_owned(), &document["spec"]))
}

/// The paths of the leaves of a spec; a list's items count as the list.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let below = if path.ends_with(' ') { format!("{path}{name}") } else { format!("{path}.{name}") };
                leaves(value, &below, found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => items.iter().for_each(|item| leaves(item, path, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            found.insert(path.to_owned());
        }
    }
}

/// The paths of the leaves of a schema, in the same notation.
fn fields(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, schema) in properties {
            let below = if path.ends_with(' ') { format!("{path}{name}") } else { format!("{path}.{name}") };
            fields(schema, &below, found);
        }
    } else if schema["items"]["properties"].is_object() {
        fields(&schema["items"], path, found);
    } else {
        found.insert(path.to_owned());
    }
}

#[test]
fn the_full_examples_show_every_field_and_no_other() {
    let documents = documents("-full.yaml");
    let mut shown = BTreeSet::new();
    for (kind, spec) in of_reeve(&documents) {
        leaves(spec, &format!("{kind} "), &mut shown);
    }
    // Answers are a map whose keys are the agent's.
    let shown: BTreeSet<String> =
        shown.into_iter().map(|path| if path.starts_with("AgentRun answers.") { "AgentRun answers".to_owned() } else { path }).collect();
    let mut known = BTreeSet::new();
    for crd in reeve_api::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
        fields(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], &format!("{kind} "), &mut known);
    }
    let unknown: Vec<_> = shown.difference(&known).collect();
    assert!(unknown.is_empty(), "the schema has no {unknown:?}");
    let excepted = |path: &&String| NOT_BY_PEOPLE.contains(&path.as_str()) || SHOWN_ELSEWHERE.contains(&path.as_str());
    let missing: Vec<_> = known.difference(&shown).filter(|path| !excepted(path)).collect();
    assert!(missing.is_empty(), "no example shows {missing:?}");
}

/// The descriptions of all fields of a schema that are enums, by path.
fn enums(schema: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    if schema["enum"].is_array() {
        found.insert(path.to_owned(), schema["description"].as_str().unwrap_or_default().to_owned());
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        enums(below, &format!("{path} {name}"), found);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            enums(&schema[inner], path, found);
        }
    }
}

#[test]
fn what_kubectl_explains_of_a_choice_is_said_of_the_field_and_not_of_its_type() {
    let mut found = BTreeMap::new();
    for crd in reeve_api::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
        if ["Approval", "RiskBudget", "KillSwitch"].contains(&kind) {
            enums(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], kind, &mut found);
        }
    }
    let found: Vec<(&str, &str)> = found.iter().map(|(path, words)| (path.as_str(), words.as_str())).collect();
    assert_eq!(
        found,
        [
            (
                "Approval spec decision",
                "Your own vote in short: the API server turns it into an entry of `votes` under your name (Kubernetes 1.36 and newer)."
            ),
            ("Approval spec votes verdict", "For or against."),
            ("Approval status conditions status", "Whether it holds."),
            ("Approval status phase", "Where it stands."),
            ("Approval status votes verdict", "For or against."),
            ("KillSwitch status conditions status", "Whether it holds."),
            ("RiskBudget status conditions status", "Whether it holds."),
        ]
    );
}

#[test]
fn the_policies_of_the_examples_are_valid_and_their_cases_hold() {
    let documents = documents(".yaml");
    let mut sets = 0;
    for (_, spec) in of_reeve(&documents).filter(|(kind, _)| kind == "PolicySet") {
        let spec: PolicySetSpec = serde_json::from_value(spec.clone()).unwrap();
        let compiled = CompiledSet::parse(&spec.cedar).unwrap_or_else(|error| panic!("{error}"));
        let failed: Vec<String> = check_cases(&compiled, &spec.cases).iter().map(ToString::to_string).collect();
        assert!(failed.is_empty(), "{failed:?}");
        sets += 1;
    }
    assert_eq!(sets, 2);
}

#[test]
fn the_transcript_of_the_examples_can_be_played() {
    let documents = documents("modelprovider-full.yaml");
    let transcript = documents.iter().find_map(|document| document["data"]["transcript.yaml"].as_str()).unwrap();
    reeve_gateway::Recorded::parse(transcript).unwrap();
}
