//! The kinds as a person meets them: examples, schemas, columns.

use kube::api::{Patch, PatchParams};
use reeve_tests::{World, repository, yaml, yaml_all};
use serde_json::Value;

fn examples() -> Vec<(String, Vec<Value>)> {
    let mut files: Vec<_> = std::fs::read_dir(repository().join("hack/examples")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), yaml_all(&std::fs::read_to_string(&path).unwrap())))
        .collect()
}

#[tokio::test]
async fn every_example_is_taken_by_the_server() {
    for (file, objects) in examples() {
        World::scenario("example", async |world| {
            for object in &objects {
                // Nobody else may make an Approval.
                let person = if object["kind"] == "Approval" { &world.as_the_operator().await } else { &**world };
                let taken = person.try_apply(object).await;
                taken.unwrap_or_else(|error| panic!("{file}: {error}"));
                let again = person.try_apply(object).await;
                again.unwrap_or_else(|error| panic!("{file}, applied a second time: {error}"));
            }
        })
        .await;
    }
}

#[test]
fn each_kind_has_a_minimal_and_a_full_example() {
    let examples = examples();
    for crd in reeve_api::crds() {
        let kind = crd.spec.names.kind;
        for size in ["minimal", "full"] {
            let name = format!("{}-{size}.yaml", kind.to_lowercase());
            let found = examples.iter().find(|(file, _)| *file == name).unwrap_or_else(|| panic!("hack/examples/{name} is missing"));
            assert!(found.1.iter().any(|object| object["kind"] == kind.as_str()), "{name} holds no {kind}");
        }
    }
}

#[test]
fn the_committed_crds_are_what_the_code_says() {
    for crd in reeve_api::crds() {
        let generated = serde_json::to_value(&crd).unwrap();
        let name = generated["metadata"]["name"].as_str().unwrap();
        let found = files_below("crds").into_iter().map(|text| yaml(&text)).find(|object| object["metadata"]["name"] == name);
        let found = found.unwrap_or_else(|| panic!("crds/ has no {name}; run: cargo run -p reeve-cli -- generate"));
        assert_eq!(found["spec"], generated["spec"], "crds/ is stale for {name}; run: cargo run -p reeve-cli -- generate");
    }
}

fn files_below(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

/// Walks a schema; says what a person would miss.
fn missed(path: &str, schema: &Value, missing: &mut Vec<String>) {
    let is = |kind: &str| schema["type"] == kind;
    let bounded = |name: &str| schema.get(name).is_some();
    let closed = ["enum", "format"].into_iter().any(bounded) || schema["x-kubernetes-int-or-string"] == true;
    if schema.get("description").is_none() && !path.ends_with("[]") && !path.ends_with("{}") {
        missing.push(format!("{path}: no description"));
    }
    if is("string") && !closed && !bounded("maxLength") {
        missing.push(format!("{path}: no maxLength"));
    }
    if is("array") && !bounded("maxItems") {
        missing.push(format!("{path}: no maxItems"));
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        if !bounded("maxProperties") {
            missing.push(format!("{path}: no maxProperties"));
        }
        missed(&format!("{path}{{}}"), values, missing);
    }
    if let Some(items) = schema.get("items") {
        missed(&format!("{path}[]"), items, missing);
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        missed(&format!("{path}.{name}"), property, missing);
    }
}

#[test]
fn every_field_is_explained_and_bounded() {
    let mut missing = Vec::new();
    for crd in reeve_api::crds() {
        let kind = crd.spec.names.kind.clone();
        for version in &crd.spec.versions {
            let schema = serde_json::to_value(version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap()).unwrap();
            for part in ["spec", "status"] {
                missed(&format!("{kind}.{part}"), &schema["properties"][part], &mut missing);
            }
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            assert!(required.contains(&Value::from("spec")), "{kind}: spec is not required");
        }
    }
    missing.retain(|line| !line.ends_with("spec: no description") && !line.ends_with("status: no description"));
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_kind_has_columns_short_names_and_fields_to_select_by() {
    for crd in reeve_api::crds() {
        let kind = &crd.spec.names.kind;
        assert!(crd.spec.names.categories.iter().flatten().any(|category| category == "reeve"), "{kind}");
        assert_eq!(crd.spec.names.short_names.iter().flatten().count(), 1, "{kind}");
        let version = &crd.spec.versions[0];
        assert!(version.additional_printer_columns.iter().flatten().count() >= 3, "{kind}");
        // A budget refers to nothing and is in one state: there is nothing to select by.
        assert!(version.selectable_fields.iter().flatten().count() >= 1 || kind == "RiskBudget", "{kind}");
        assert!(version.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some()), "{kind}");
    }
}

#[tokio::test]
async fn the_cluster_serves_the_crds_of_this_code() {
    let cluster = reeve_tests::Cluster::connect().await;
    let served: kube::Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
        kube::Api::all(cluster.client);
    for crd in reeve_api::crds() {
        let name = crd.metadata.name.clone().unwrap();
        let before = served.get(&name).await.unwrap_or_else(|error| panic!("{name}: {error}; run ./hack/test, which installs the chart"));
        // What the server would make of ours is what it has.
        let parameters = PatchParams { dry_run: true, ..PatchParams::apply("reeve-test").force() };
        let after = served.patch(&name, &parameters, &Patch::Apply(&crd)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            serde_json::to_value(&before.spec).unwrap(),
            serde_json::to_value(&after.spec).unwrap(),
            "{name} in the cluster is another"
        );
    }
}
