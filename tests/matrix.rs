//! Who may turn which key, as tables of requests to a real API server that has the installed chart's policies: `matrix/*.yaml`.

use std::collections::BTreeMap;

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use reeve_tests::{OPERATOR, Person, World};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::refusals::{minimal, set};

/// One file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Table {
    /// Kind of the cases that name none, as `hack/examples/<kind>-minimal.yaml` has it.
    kind: String,
    /// JSON pointers into each object of that kind that is made.
    #[serde(default)]
    base: BTreeMap<String, Value>,
    /// What people may do, by resource, or GROUP:RESOURCE where the group is another; that much and no more. `operator` has it beside the rights that the chart gives it.
    people: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// What is there before the first case.
    given: Vec<Case>,
    cases: Vec<Case>,
    /// Cases for a namespace in which the chart's mutating policies are not in force.
    #[serde(default)]
    without_mutation: Vec<Case>,
}

/// One request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    #[serde(default)]
    case: String,
    /// Who asks: one of the people, `operator`, or `admin`.
    r#as: String,
    /// Groups that they are in.
    #[serde(default)]
    groups: Vec<String>,
    kind: Option<String>,
    name: String,
    how: How,
    /// What is sent by merge, json and status.
    #[serde(default)]
    send: Value,
    /// JSON pointers into the object that is sent by create and apply.
    #[serde(default)]
    set: BTreeMap<String, Value>,
    #[serde(default)]
    dry_run: bool,
    /// JSON pointers into what is there, for `see`; null where there shall be nothing.
    #[serde(default)]
    sees: BTreeMap<String, Value>,
    /// Words of the refusal. Without them the request must be taken.
    says: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum How {
    /// `kubectl create`
    Create,
    /// `kubectl apply --server-side --force-conflicts`
    Apply,
    /// `kubectl patch --type=merge`
    Merge,
    /// `kubectl patch --type=json`
    Json,
    /// `kubectl patch --subresource=status --type=merge`
    Status,
    /// `kubectl delete`
    Delete,
    /// A DELETE of the whole collection.
    DeleteAll,
    /// `kubectl get`
    See,
}

impl Table {
    /// The table for a namespace: NAMESPACE stands for it.
    fn read(name: &str, namespace: &str) -> Table {
        let file = reeve_tests::repository().join(format!("tests/matrix/{name}.yaml"));
        let text = std::fs::read_to_string(&file).unwrap().replace("NAMESPACE", namespace);
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The kind that a case is about, and the object that it starts from.
    fn object(&self, case: &Case) -> Value {
        let kind = case.kind.as_ref().unwrap_or(&self.kind);
        let mut object = minimal(kind);
        object["metadata"]["name"] = json!(case.name);
        let base = if *kind == self.kind { Some(&self.base) } else { None };
        base.into_iter().flatten().chain(&case.set).for_each(|(pointer, value)| set(&mut object, pointer, value));
        object
    }

    /// Sends one request. The error is what the server says.
    async fn send(&self, world: &World, case: &Case) -> Result<(), String> {
        let object = self.object(case);
        let groups: Vec<&str> = case.groups.iter().map(String::as_str).collect();
        let person = match case.r#as.as_str() {
            "admin" => Person::clone(world),
            "operator" => world.as_the_operator().await,
            name => world.member(name, &groups).await,
        };
        let (api, name) = person.dynamic(&object);
        let name = name.as_str();
        let plain = PatchParams { dry_run: case.dry_run, ..PatchParams::default() };
        let sent = match case.how {
            How::Create => {
                let object: DynamicObject = serde_json::from_value(object).unwrap();
                api.create(&PostParams::default(), &object).await.map(drop)
            }
            How::Apply => api.patch(name, &PatchParams::apply("matrix").force(), &Patch::Apply(&object)).await.map(drop),
            How::Merge => api.patch(name, &plain, &Patch::Merge(&case.send)).await.map(drop),
            How::Json => {
                let merge = Request::new(api.resource_url()).patch(name, &plain, &Patch::Merge(&case.send));
                let mut request = merge.unwrap();
                request.headers_mut().insert("content-type", "application/json-patch+json".parse().unwrap());
                api.clone().into_client().request::<DynamicObject>(request).await.map(drop)
            }
            How::Status => api.patch_status(name, &plain, &Patch::Merge(&case.send)).await.map(drop),
            How::Delete => api.delete(name, &DeleteParams::default()).await.map(drop),
            How::DeleteAll => api.delete_collection(&DeleteParams::default(), &ListParams::default()).await.map(drop),
            How::See => {
                let seen = serde_json::to_value(api.get(name).await.map_err(|error| said(&error))?).unwrap();
                return case.sees.iter().try_for_each(|(pointer, wanted)| {
                    let found = seen.pointer(pointer).unwrap_or(&Value::Null);
                    if found == wanted { Ok(()) } else { Err(format!("{pointer} is {found}, expected {wanted}")) }
                });
            }
        };
        sent.map_err(|error| said(&error))
    }

    /// Gives everybody their rights and makes what is there before the first case.
    async fn prepare(&self, world: &World) {
        for (name, rules) in &self.people {
            let user = if name == "operator" { OPERATOR } else { name };
            let verbs: Vec<Vec<&str>> = rules.values().map(|verbs| verbs.iter().map(String::as_str).collect()).collect();
            let resources = rules.keys().map(|resource| resource.split_once(':').unwrap_or(("reeve.dev", resource)));
            let rules: Vec<(&str, &str, &[&str])> =
                resources.zip(&verbs).map(|((group, resource), verbs)| (group, resource, verbs.as_slice())).collect();
            world.user(user, &rules).await;
        }
        for given in &self.given {
            self.send(world, given).await.unwrap_or_else(|error| panic!("{} as {}: {error}", given.name, given.r#as));
        }
    }

    /// Sends all cases in order; gives a line for each that came out otherwise.
    async fn wrong(&self, world: &World, cases: &[Case]) -> Vec<String> {
        self.prepare(world).await;
        let mut wrong = Vec::new();
        for case in cases {
            let named = format!("{} {} as {}, {}", case.kind.as_ref().unwrap_or(&self.kind), case.name, case.r#as, case.case);
            match (&case.says, self.send(world, case).await) {
                (None, Ok(())) => {}
                (None, Err(message)) => wrong.push(format!("{named}: was refused: {message}")),
                (Some(words), Ok(())) => wrong.push(format!("{named}: was taken, expected {words:?}")),
                (Some(words), Err(message)) if message.contains(words) => {}
                (Some(words), Err(message)) => wrong.push(format!("{named}: expected {words:?}, the server says {message:?}")),
            }
        }
        wrong
    }
}

/// What the server said.
fn said(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error { status.message.clone() } else { error.to_string() }
}

/// Runs a table; its cases without mutation run in a world of their own.
async fn holds(name: &str) -> usize {
    let mut wrong = Vec::new();
    World::scenario(name, async |world| {
        let table = Table::read(name, world.namespace());
        wrong.extend(table.wrong(world, &table.cases).await);
    })
    .await;
    let table = Table::read(name, "none");
    if !table.without_mutation.is_empty() {
        let world = format!("{name}-unmutated");
        World::scenario_without_mutation(&world, async |world| {
            let table = Table::read(name, world.namespace());
            wrong.extend(table.wrong(world, &table.without_mutation).await);
        })
        .await;
    }
    let all = table.cases.len() + table.without_mutation.len();
    println!("{name}: {} of {all}", all - wrong.len());
    assert!(wrong.is_empty(), "{name}: {} of {all}\n{}", all - wrong.len(), wrong.join("\n"));
    all
}

#[tokio::test]
async fn nobody_votes_but_as_themselves_and_nobody_asks_in_anothers_name() {
    // As many as ever were tried: one that is dropped from the table is missed here.
    assert_eq!(holds("approvals").await, 45);
}

#[tokio::test]
async fn whoever_could_act_as_the_service_account_that_asked_has_no_vote() {
    holds("accounts").await;
}

#[tokio::test]
async fn votes_on_a_settled_approval_change_no_more() {
    holds("settled").await;
}

#[tokio::test]
async fn what_allows_more_needs_the_verb_raise() {
    holds("budgets").await;
}

#[tokio::test]
async fn what_was_stopped_goes_on_only_by_the_verb_release() {
    holds("killswitches").await;
}
