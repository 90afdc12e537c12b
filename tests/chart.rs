//! The chart, by real Helm. `hack/test` has installed it, by way of an older one, before these run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use reeve_api::{AgentProfile, AgentRun, Goal, ModelProvider};
use reeve_tests::{Cluster, World, priced_models, random_name, repository, run_to_end, sandbox_image, yaml_all};
use serde_json::{Value, json};
use tokio::process::Command;

fn chart() -> PathBuf {
    repository().join("charts/reeve")
}

async fn helm(arguments: &[&str]) -> Output {
    let built = repository().join(".cache/bin/helm");
    let program = if built.exists() { built } else { PathBuf::from("helm") };
    run_to_end(Command::new(program).args(arguments)).await
}

async fn rendered(values: &[&str]) -> Vec<Value> {
    let chart = chart();
    let mut arguments = vec!["template", "reeve", chart.to_str().unwrap(), "--namespace", "reeve-system"];
    arguments.extend(values);
    let output = helm(&arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    yaml_all(&String::from_utf8(output.stdout).unwrap()).into_iter().filter(|object| !object.is_null()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

#[tokio::test]
async fn helm_finds_nothing_to_complain_about() {
    let output = helm(&["lint", "--strict", chart().to_str().unwrap()]).await;
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_value_that_does_not_exist_is_refused() {
    for value in ["opreator.maxConcurrentRuns=1", "persistence.type=nfs", "operator.maxConcurrentRuns=many", "watchNamespaces=all"] {
        let output = helm(&["template", "reeve", chart().to_str().unwrap(), "--set", value]).await;
        assert!(!output.status.success(), "--set {value} was taken");
    }
}

/// A SQLite file has one writer, on a local disk; artifacts must be within reach of whoever leads.
#[tokio::test]
async fn more_than_one_replica_needs_postgres_and_artifacts_that_all_of_them_reach() {
    let (two, url) = ("operator.replicas=2", "database.secretName=journal");
    let (many, own) = ("persistence.pvc.accessModes={ReadWriteMany}", "persistence.type=emptyDir");
    let bucket = "artifacts.s3.bucket=team-artifacts";
    for values in
        [vec![two], vec![two, many], vec![two, url], vec![two, url, own], vec![two, bucket], vec![many], vec!["operator.replicas=0"]]
    {
        let values = values.join(",");
        let output = helm(&["template", "reeve", chart().to_str().unwrap(), "--set", &values]).await;
        assert!(!output.status.success(), "--set {values} was taken");
    }
    let objects = rendered(&["--set", &[two, url, many].join(",")]).await;
    let spec = &of_kind(&objects, "Deployment").next().unwrap()["spec"];
    assert_eq!((&spec["replicas"], &spec["strategy"]["type"]), (&2.into(), &"RollingUpdate".into()));
    let operator = &spec["template"]["spec"]["containers"][0];
    let database = operator["env"].as_array().unwrap().iter().find(|variable| variable["name"] == "REEVE_DATABASE").unwrap();
    assert_eq!(database["valueFrom"], json!({"secretKeyRef": {"name": "journal", "key": "url"}}));
    assert!(operator["args"].as_array().unwrap().contains(&"--replicas=2".into()));

    // With journal and artifacts elsewhere there is nothing to keep on a volume.
    let objects = rendered(&["--set", &[two, url, bucket].join(",")]).await;
    let pod = &of_kind(&objects, "Deployment").next().unwrap()["spec"]["template"]["spec"];
    let state = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "state").unwrap();
    assert!(state["emptyDir"].is_object(), "{state}");
    assert_eq!(of_kind(&objects, "PersistentVolumeClaim").count(), 0);
}

#[tokio::test]
async fn artifacts_go_into_a_bucket_by_the_keys_of_a_secret_or_by_a_role() {
    let env = |objects: &[Value]| -> Vec<Value> {
        let pod = &of_kind(objects, "Deployment").next().unwrap()["spec"]["template"]["spec"];
        let ours =
            |variable: &&Value| variable["name"].as_str().is_some_and(|name| name.starts_with("REEVE_ART") || name.starts_with("AWS_"));
        pod["containers"][0]["env"].as_array().unwrap().iter().filter(ours).cloned().collect()
    };
    assert!(env(&rendered(&[]).await).is_empty());
    let role = rendered(&["--set", "artifacts.s3.bucket=team-artifacts"]).await;
    assert_eq!(env(&role), [json!({"name": "REEVE_ARTIFACTS", "value": "s3://team-artifacts"})]);
    assert_eq!(of_kind(&role, "PersistentVolumeClaim").count(), 1, "the journal is still a file");
    let all = [
        "bucket=team-artifacts",
        "prefix=reeve/prod",
        "endpoint=http://minio.storage:9000",
        "region=eu-central-1",
        "secretName=bucket-keys",
        "pathStyle=false",
        "allowHTTP=true",
    ];
    let set = |values: &[&str]| values.iter().map(|value| format!("artifacts.s3.{value}")).collect::<Vec<_>>().join(",");
    let key = |name: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "bucket-keys", "key": name}}});
    let value = |name: &str, value: &str| json!({"name": name, "value": value});
    assert_eq!(
        env(&rendered(&["--set", &set(&all)]).await),
        [
            value("REEVE_ARTIFACTS", "s3://team-artifacts/reeve/prod"),
            value("REEVE_ARTIFACTS_ENDPOINT", "http://minio.storage:9000"),
            value("REEVE_ARTIFACTS_REGION", "eu-central-1"),
            value("REEVE_ARTIFACTS_PATH_STYLE", "false"),
            value("REEVE_ARTIFACTS_ALLOW_HTTP", "true"),
            key("AWS_ACCESS_KEY_ID"),
            key("AWS_SECRET_ACCESS_KEY"),
            json!({"name": "AWS_SESSION_TOKEN",
                "valueFrom": {"secretKeyRef": {"name": "bucket-keys", "key": "AWS_SESSION_TOKEN", "optional": true}}}),
        ]
    );
    for values in [
        // A bucket is missing, or is none.
        vec!["prefix=reeve"],
        vec!["endpoint=https://minio:9000"],
        vec!["region=eu-central-1"],
        vec!["secretName=bucket-keys"],
        vec!["bucket=Team_Artifacts"],
        vec!["bucket=s3://team-artifacts"],
        // Plain HTTP that nobody allowed; keys where everybody reads them.
        vec!["bucket=team-artifacts", "endpoint=http://minio:9000"],
        vec!["bucket=team-artifacts", "endpoint=https://me:secret@minio:9000"],
        vec!["bucket=team-artifacts", "accessKey=secret"],
    ] {
        let output = helm(&["template", "reeve", chart().to_str().unwrap(), "--set", &set(&values)]).await;
        assert!(!output.status.success(), "--set {values:?} was taken");
    }
}

#[tokio::test]
async fn mutating_policies_come_only_where_the_server_has_them() {
    let with = ["--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"];
    let (old, new) = (rendered(&[]).await, rendered(&with).await);
    assert_eq!(of_kind(&old, "MutatingAdmissionPolicy").count(), 0);
    assert_eq!(of_kind(&new, "MutatingAdmissionPolicy").count(), 2);
    assert_eq!(of_kind(&old, "ValidatingAdmissionPolicy").count(), 7, "what proves who asked and who voted is there on every server");
    for objects in [&old, &new] {
        for kind in ["ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"] {
            assert_eq!(names(objects, &format!("{kind}Binding")), names(objects, kind), "each policy is bound, under its own name");
        }
    }
}

fn names<'a>(objects: &'a [Value], kind: &'a str) -> BTreeSet<&'a str> {
    of_kind(objects, kind).map(|object| object["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_operator_may_read_each_admission_policy_and_change_none() {
    let objects = rendered(&["--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"]).await;
    let mut readable = BTreeSet::new();
    for role in of_kind(&objects, "ClusterRole") {
        for rule in role["rules"].as_array().unwrap().iter().filter(|rule| rule["apiGroups"][0] == "admissionregistration.k8s.io") {
            assert_eq!(rule["verbs"], json!(["get"]), "{role}");
            for resource in rule["resources"].as_array().unwrap() {
                let names = rule["resourceNames"].as_array().unwrap().iter();
                readable.extend(names.map(|name| format!("{} {}", resource.as_str().unwrap(), name.as_str().unwrap())));
            }
        }
    }
    let mut there = BTreeSet::new();
    for (kind, resource) in
        [("ValidatingAdmissionPolicy", "validatingadmissionpolic"), ("MutatingAdmissionPolicy", "mutatingadmissionpolic")]
    {
        there.extend(names(&objects, kind).into_iter().map(|name| format!("{resource}ies {name}")));
        there.extend(names(&objects, &format!("{kind}Binding")).into_iter().map(|name| format!("{resource}ybindings {name}")));
    }
    assert_eq!(readable, there);
}

#[tokio::test]
async fn the_operator_runs_as_nobody_and_alone() {
    let objects = rendered(&["--set", "persistence.type=emptyDir"]).await;
    let deployment = of_kind(&objects, "Deployment").next().unwrap();
    let spec = &deployment["spec"];
    assert_eq!((&spec["replicas"], &spec["strategy"]["type"]), (&1.into(), &"Recreate".into()));
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for container in pod["containers"].as_array().unwrap() {
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
    }
}

#[tokio::test]
async fn the_key_that_signs_is_made_by_the_chart_or_brought_and_is_mounted_to_read() {
    let (own, brought) = (rendered(&[]).await, rendered(&["--set", "journal.signingKey.existingSecret=ours"]).await);
    let secret = of_kind(&own, "Secret").next().expect("the chart makes a key");
    assert_eq!(secret["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "what it signed is worth what the key is");
    assert!(secret["data"]["first.pem"].is_string() && secret["data"]["active"].is_string());
    assert_eq!(of_kind(&brought, "Secret").count(), 0);
    for (objects, name) in [(&own, "reeve-journal-key"), (&brought, "ours")] {
        let pod = &of_kind(objects, "Deployment").next().unwrap()["spec"]["template"]["spec"];
        let mounted = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "journal-key").unwrap();
        assert_eq!(mounted["secret"]["secretName"], name);
    }
}

#[tokio::test]
async fn in_named_namespaces_the_operator_has_no_right_elsewhere() {
    let objects = rendered(&["--set", "watchNamespaces={team-a,team-b}", "--set", "secretNamespaces={team-a}"]).await;
    let bound: Vec<&Value> =
        of_kind(&objects, "ClusterRoleBinding").filter(|binding| !binding["metadata"]["annotations"]["helm.sh/hook"].is_string()).collect();
    let bound: Vec<&Value> = bound.into_iter().map(|binding| &binding["roleRef"]["name"]).collect();
    assert_eq!(bound, ["reeve-admission"], "but to read its admission policies, which are in no namespace");
    let namespaces: Vec<&str> = of_kind(&objects, "RoleBinding").filter_map(|binding| binding["metadata"]["namespace"].as_str()).collect();
    assert!(namespaces.contains(&"team-a") && namespaces.contains(&"team-b") && namespaces.contains(&"reeve-system"), "{namespaces:?}");
    let everywhere = rendered(&[]).await;
    let secrets =
        |rule: &Value| rule["resources"].as_array().is_some_and(|resources| resources.iter().any(|resource| resource == "secrets"));
    for role in of_kind(&everywhere, "ClusterRole") {
        let about_secrets = role["rules"].as_array().into_iter().flatten().any(secrets);
        assert!(!about_secrets, "{} gives Secrets cluster-wide", role["metadata"]["name"]);
        let wild = role["rules"].as_array().into_iter().flatten().any(|rule| rule.to_string().contains("\"*\""));
        assert!(!wild, "{} has a wildcard", role["metadata"]["name"]);
    }
}

#[tokio::test]
async fn the_operator_updates_no_status_but_an_approvals() {
    let objects = rendered(&[]).await;
    let rules =
        ["ClusterRole", "Role"].into_iter().flat_map(|kind| of_kind(&objects, kind)).flat_map(|role| role["rules"].as_array().unwrap());
    let text = |list: &Value| list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let updated: Vec<String> =
        rules.filter(|rule| text(&rule["verbs"]).contains(&"update".to_owned())).flat_map(|rule| text(&rule["resources"])).collect();
    let statuses: Vec<&String> = updated.iter().filter(|resource| resource.ends_with("/status")).collect();
    assert_eq!(statuses, ["approvals/status"]);
}

#[tokio::test]
async fn turning_a_key_is_given_on_purpose() {
    let objects = rendered(&[]).await;
    let holders = |verb: &str| -> Vec<&str> {
        let turns = |role: &&Value| role["rules"].as_array().into_iter().flatten().any(|rule| rule["verbs"].to_string().contains(verb));
        ["ClusterRole", "Role"]
            .into_iter()
            .flat_map(|kind| of_kind(&objects, kind))
            .filter(turns)
            .map(|role| role["metadata"]["name"].as_str().unwrap())
            .collect()
    };
    assert_eq!(holders("approve"), ["reeve-approver"]);
    assert_eq!((holders("raise"), holders("release")), (vec!["reeve-admin"], vec!["reeve-admin"]));
    let approver = of_kind(&objects, "ClusterRole").find(|role| role["metadata"]["name"] == "reeve-approver").unwrap();
    let labels = approver["metadata"]["labels"].to_string();
    assert!(!labels.contains("aggregate-to"), "nobody approves by being an editor or an admin: {labels}");
}

#[tokio::test]
async fn the_installed_operator_is_ready() {
    let cluster = Cluster::connect().await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client, "reeve-system");
    let deployment = deployments.get("reeve").await.unwrap_or_else(|error| panic!("{error}; run ./hack/test, which installs the chart"));
    let status = deployment.status.unwrap();
    assert_eq!((status.ready_replicas, status.observed_generation), (Some(1), deployment.metadata.generation), "{status:?}");
}

#[tokio::test]
async fn the_operators_rights_are_no_more_than_the_runs_of_these_tests_need() {
    // All other tests run with a token of the chart's account, so that a right it lacks fails them. What it must not have:
    World::scenario("rights", async |world| {
        let kubeconfig = world.operator_kubeconfig().await;
        for (verb, resource) in [
            ("list", "secrets"),
            ("create", "pods"),
            ("delete", "pods"),
            ("create", "goals.reeve.dev"),
            ("update", "goals.reeve.dev"),
            ("delete", "agentruns.reeve.dev"),
            ("create", "rolebindings"),
            ("patch", "policysets.reeve.dev"),
            ("update", "approvals.reeve.dev"),
            ("approve", "approvals.reeve.dev"),
            ("create", "riskbudgets.reeve.dev"),
            ("patch", "riskbudgets.reeve.dev"),
            ("raise", "riskbudgets.reeve.dev"),
            ("create", "killswitches.reeve.dev"),
            ("patch", "killswitches.reeve.dev"),
            ("release", "killswitches.reeve.dev"),
            ("update", "jobs"),
        ] {
            let output = run_to_end(Command::new("kubectl").args([
                "--kubeconfig",
                kubeconfig.to_str().unwrap(),
                "--namespace",
                world.namespace(),
                "auth",
                "can-i",
                verb,
                resource,
            ]))
            .await;
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "no", "the operator may {verb} {resource}");
        }
    })
    .await;
}

const TRANSCRIPT: &str = r#"
version: 1
match: position
lanes:
  planner:
  - toolCalls: [{name: finish, arguments: {summary: One task., tasks: [{name: say-hello, description: Write hello.txt.}]}}]
  say-hello:
  - toolCalls: [{name: fs.write, arguments: {path: hello.txt, content: "hello\n"}}]
  - toolCalls: [{name: git.commit, arguments: {message: Say hello}}]
  - toolCalls: [{name: finish, arguments: {summary: Done.}}]
"#;

#[tokio::test]
async fn the_installed_operator_reaches_a_goal_and_the_plugin_shows_what_it_did() {
    let admin = Cluster::connect().await.admin_in("reeve-e2e");
    let name = format!("hello-{}", random_name());
    admin.config_map(&name, "transcript.yaml", TRANSCRIPT).await;
    let transcript = json!({"configMapKeyRef": {"name": name, "key": "transcript.yaml"}});
    let route = json!([{"providerRef": {"name": name}, "model": "any"}]);
    let object =
        |kind: &str, spec: Value| json!({"apiVersion": "reeve.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    admin.put(&object("ModelProvider", json!({"kind": "recorded", "transcript": transcript, "models": priced_models()}))).await;
    admin.put(&object("AgentProfile", json!({"routes": {"planner": route, "coder": route}, "sandbox": {"image": sandbox_image()}}))).await;
    let acceptance = json!({"commands": [{"argv": ["grep", "-q", "hello", "hello.txt"]}]});
    admin
        .put(&object("Goal", json!({"objective": "There is a file hello.txt.", "profileRef": {"name": name}, "acceptance": acceptance})))
        .await;
    let approval = admin.asks(&format!("{name}-merge")).await.metadata.name.unwrap();
    admin.lets_approve("merger").await;
    let approve = ["approve", &approval, "--yes", "--as", "merger", "--as-group", "system:authenticated", "--namespace", "reeve-e2e"];
    let said = plugin(&approve).await;
    assert!(said.contains(&approval), "{said}");
    admin.reached(&name).await;

    let trace = plugin(&["trace", &format!("{name}-task-say-hello"), "--namespace", "reeve-e2e"]).await;
    assert!(["fs.write", "git.commit", "run.finished"].iter().all(|words| trace.contains(words)), "{trace}");
    let task = format!("{name}-task-say-hello");
    let rows = plugin(&["fork", &task, "--namespace", "reeve-e2e"]).await;
    let kept = rows.lines().find(|line| line.contains(" checkpoint ")).unwrap_or_else(|| panic!("no place after a commit: {rows}"));
    let at = kept.split_whitespace().next().unwrap();
    let fork = plugin(&["fork", &task, "--at", at, "--name", &name, "--namespace", "reeve-e2e"]).await;
    assert!(fork.contains("created") && fork.contains(&format!("goes on from row {at} of {task}")), "{fork}");
    let ended = admin.run_ended(&name).await;
    assert!(ended.succeeded, "{}: {}", ended.reason, ended.message);
    let replayed = plugin(&["replay", &name, "--namespace", "reeve-e2e"]).await;
    assert!(replayed.contains("same"), "{replayed}");
    for (at, why) in [("1", "its workspace is not loaded there"), ("9999", "expected --at with a row of AgentRun")] {
        let output = kubectl_reeve(&["fork", &task, "--at", at, "--namespace", "reeve-e2e"]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(why), "{said}");
    }
    admin.delete::<AgentRun>(&name).await;
    let patch = plugin(&["artifact", &name, "--namespace", "reeve-e2e"]).await;
    assert!(patch.contains("+hello"), "{patch}");
    admin.delete::<Goal>(&name).await;
    admin.delete::<AgentProfile>(&name).await;
    admin.delete::<ModelProvider>(&name).await;
}

async fn plugin(arguments: &[&str]) -> String {
    let output = kubectl_reeve(arguments).await;
    assert!(output.status.success(), "kubectl reeve {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn kubectl_reeve(arguments: &[&str]) -> Output {
    run_to_end(Command::new(repository().join(".cache/bin/kubectl-reeve")).args(arguments)).await
}
