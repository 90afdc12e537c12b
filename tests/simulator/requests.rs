//! Random requests, most of them sensible.

use std::fmt::{self, Display, Formatter};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

/// The kinds that are asked for, by the paths of their lists.
pub(super) const KINDS: [&str; 5] = [
    "/api/v1/namespaces/{ns}/configmaps",
    "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases",
    "/apis/reeve.dev/v1alpha1/namespaces/{ns}/killswitches",
    "/apis/reeve.dev/v1alpha1/namespaces/{ns}/agentruns",
    "/apis/reeve.dev/v1alpha1/namespaces/{ns}/riskbudgets",
];

/// One request. `$uid`, `$version` and `$past` in its body stand for what the side that sends it last saw of the object.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) content_type: &'static str,
    /// What it is to be answered with.
    pub(super) accept: &'static str,
    pub(super) body: Option<Value>,
    object: String,
}

impl Step {
    /// The path of the object that it is about.
    pub(super) fn object(&self) -> String {
        self.object.clone()
    }
}

impl Display for Step {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}", self.method, self.path)?;
        if let Some(body) = &self.body {
            write!(to, " ({}) {body}", self.content_type)?;
        }
        if self.accept != JSON {
            write!(to, " as {}", self.accept)?;
        }
        Ok(())
    }
}

const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Which object, and what kind it is of.
#[derive(Clone, Copy, Debug)]
struct Place {
    kind: usize,
    name: &'static str,
}

impl Place {
    fn object(self) -> String {
        format!("{}/{}", KINDS[self.kind], self.name)
    }

    fn custom(self) -> bool {
        self.kind >= 2
    }

    fn headed(self, mut object: Value) -> Value {
        let (version, kind) = match self.kind {
            0 => ("v1", "ConfigMap"),
            1 => ("coordination.k8s.io/v1", "Lease"),
            2 => ("reeve.dev/v1alpha1", "KillSwitch"),
            3 => ("reeve.dev/v1alpha1", "AgentRun"),
            _ => ("reeve.dev/v1alpha1", "RiskBudget"),
        };
        object["apiVersion"] = json!(version);
        object["kind"] = json!(kind);
        object["metadata"]["name"] = json!(self.name);
        object
    }

    fn step(self, method: &'static str, below: &str, query: &[String], content_type: &'static str, body: Option<Value>) -> Step {
        let path = if method == "POST" { KINDS[self.kind].to_owned() } else { format!("{}{below}", self.object()) };
        let query: Vec<&str> = query.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let path = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
        Step { method, path, content_type, accept: JSON, body, object: self.object() }
    }
}

fn place() -> impl Strategy<Value = Place> {
    (0..KINDS.len(), select(vec!["a", "b", "c"])).prop_map(|(kind, name)| Place { kind, name })
}

pub(super) fn step() -> BoxedStrategy<Step> {
    place()
        .prop_flat_map(|place| {
            prop_oneof![
                5 => create(place),
                4 => replace(place),
                5 => merge(place),
                3 => json_patch(place),
                7 => apply(place),
                3 => delete(place),
                1 => select(vec![JSON, METADATA]).prop_map(move |accept| Step { accept, ..place.step("GET", "", &[], JSON, None) }),
                2 => list(place),
            ]
        })
        .boxed()
}

fn manager() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just(String::new()), 5 => select(vec!["fieldManager=one".to_owned(), "fieldManager=two".to_owned()])]
}

fn dry_run() -> impl Strategy<Value = String> {
    prop_oneof![9 => Just(String::new()), 1 => Just("dryRun=All".to_owned())]
}

fn create(place: Place) -> BoxedStrategy<Step> {
    (object(place), manager(), dry_run())
        .prop_map(move |(object, manager, dry_run)| place.step("POST", "", &[manager, dry_run], JSON, Some(place.headed(object))))
        .boxed()
}

fn replace(place: Place) -> BoxedStrategy<Step> {
    let version = prop_oneof![6 => Just("$version"), 1 => Just("$past"), 1 => Just("")];
    let uid = prop_oneof![6 => Just(""), 1 => Just("$uid"), 1 => Just("11111111-0000-4000-8000-000000000000")];
    (object(place), manager(), dry_run(), version, uid, below(place))
        .prop_map(move |(mut object, manager, dry_run, version, uid, below)| {
            for (name, value) in [("resourceVersion", version), ("uid", uid)] {
                if !value.is_empty() {
                    object["metadata"][name] = json!(value);
                }
            }
            place.step("PUT", below, &[manager, dry_run], JSON, Some(place.headed(object)))
        })
        .boxed()
}

fn merge(place: Place) -> BoxedStrategy<Step> {
    (patch(place), manager(), dry_run(), below(place))
        .prop_map(move |(patch, manager, dry_run, below)| {
            place.step("PATCH", below, &[manager, dry_run], "application/merge-patch+json", Some(patch))
        })
        .boxed()
}

fn apply(place: Place) -> BoxedStrategy<Step> {
    let force = prop_oneof![Just(String::new()), Just("force=true".to_owned())];
    let manager = prop_oneof![1 => Just(String::new()), 12 => select(vec!["fieldManager=one".to_owned(), "fieldManager=two".to_owned()])];
    let uid = prop_oneof![8 => Just(""), 1 => Just("$uid"), 1 => Just("11111111-0000-4000-8000-000000000000")];
    (object(place), manager, force, dry_run(), below(place), uid)
        .prop_map(move |(mut object, manager, force, dry_run, below, uid)| {
            if !uid.is_empty() {
                object["metadata"]["uid"] = json!(uid);
            }
            place.step("PATCH", below, &[manager, force, dry_run], "application/apply-patch+yaml", Some(place.headed(object)))
        })
        .boxed()
}

fn delete(place: Place) -> BoxedStrategy<Step> {
    let preconditions = prop_oneof![
        6 => Just(json!({})),
        1 => Just(json!({ "uid": "$uid" })),
        1 => Just(json!({ "uid": "11111111-0000-4000-8000-000000000000" })),
        1 => Just(json!({ "resourceVersion": "$version" })),
        1 => Just(json!({ "resourceVersion": "$past" })),
    ];
    // Orphan and Foreground are the garbage collector's business, which works at a time of its own.
    let policy = prop_oneof![3 => Just(""), 1 => Just("Background")];
    (preconditions, policy, dry_run())
        .prop_map(move |(preconditions, policy, dry_run)| {
            let mut options = json!({ "kind": "DeleteOptions", "apiVersion": "v1" });
            if preconditions != json!({}) {
                options["preconditions"] = preconditions;
            }
            if !policy.is_empty() {
                options["propagationPolicy"] = json!(policy);
            }
            place.step("DELETE", "", &[dry_run], JSON, Some(options))
        })
        .boxed()
}

fn list(place: Place) -> BoxedStrategy<Step> {
    // Each namespace has a ConfigMap that no sequence made.
    let narrow = vec!["labelSelector=x%3D1", "labelSelector=y", "fieldSelector=metadata.name%3Da", "fieldSelector=spec.role%3DCoder"];
    let selectors = vec![
        "",
        "limit=1",
        "labelSelector=x%3D1",
        "labelSelector=x%21%3D1",
        "labelSelector=x+in+%281%2C2%29%2Cy",
        "labelSelector=%21y",
        "fieldSelector=metadata.name%3Da",
        "fieldSelector=metadata.name%21%3Da",
        "fieldSelector=spec.engaged%3Dtrue",
        "fieldSelector=spec.role%3DCoder",
        "limit=2&labelSelector=x",
    ];
    (select(if place.kind == 0 { narrow } else { selectors }), select(vec![JSON, JSON, METADATA_LIST]))
        .prop_map(move |(selector, accept)| {
            let path = KINDS[place.kind].to_owned();
            let path = if selector.is_empty() { path } else { format!("{path}?{selector}") };
            Step { method: "GET", path, content_type: JSON, accept, body: None, object: String::new() }
        })
        .boxed()
}

/// The object itself, or its status where it has one.
fn below(place: Place) -> BoxedStrategy<&'static str> {
    if place.custom() { prop_oneof![2 => Just(""), 1 => Just("/status")].boxed() } else { Just("").boxed() }
}

fn json_patch(place: Place) -> BoxedStrategy<Step> {
    let paths: Vec<&str> = match place.kind {
        0 => vec![
            "/data",
            "/data/a",
            "/data/b",
            "/metadata/labels/x",
            "/metadata/finalizers/0",
            "/metadata/finalizers/-",
            "/metadata/labels",
        ],
        1 => vec!["/spec/holderIdentity", "/metadata/labels/x", "/spec/leaseTransitions"],
        2 => vec!["/spec/reason", "/spec/engaged", "/status/stoppedRuns", "/metadata/labels", "/spec/unknown", "/metadata/finalizers/0"],
        3 => vec!["/spec/suspended", "/spec/objective", "/spec/answers/q1", "/spec/limits", "/spec/commands/0"],
        _ => vec!["/spec/limits/tokens", "/spec/limits/costUSD", "/spec/limits", "/metadata/labels/y"],
    };
    let value = select(vec![json!("1"), json!("2"), json!(1), json!(true), json!({}), json!(null), json!({ "x": "1" }), json!("t.io/a")]);
    let operation = (select(vec!["add", "replace", "remove", "test", "copy", "move"]), select(paths.clone()), select(paths), value)
        .prop_map(|(op, path, from, value)| match op {
            "copy" | "move" => json!({ "op": op, "path": path, "from": from }),
            "remove" => json!({ "op": op, "path": path }),
            _ if path.contains("finalizers") && value.is_null() => json!({ "op": op, "path": path, "value": "t.io/b" }),
            _ => json!({ "op": op, "path": path, "value": value }),
        });
    (proptest::collection::vec(operation, 1..3), manager(), below(place))
        .prop_map(move |(operations, manager, below)| {
            place.step("PATCH", below, &[manager], "application/json-patch+json", Some(Value::Array(operations)))
        })
        .boxed()
}

/// A whole object but for its head.
fn object(place: Place) -> BoxedStrategy<Value> {
    let body = match place.kind {
        0 => entries(&[("a", &[json!("1"), json!("2")]), ("b", &[json!("1"), json!("2")]), ("c", &[json!("")])], 1)
            .prop_map(|data| json!({ "data": data }))
            .boxed(),
        1 => lease().prop_map(|spec| json!({ "spec": spec })).boxed(),
        2 => (kill_spec(), kill_status()).prop_map(|(spec, status)| with_status(spec, status)).boxed(),
        3 => (run_spec(), run_status()).prop_map(|(spec, status)| with_status(spec, status)).boxed(),
        _ => (budget_spec(), Just(json!({}))).prop_map(|(spec, status)| with_status(spec, status)).boxed(),
    };
    (body, metadata())
        .prop_map(|(mut body, metadata)| {
            body["metadata"] = metadata;
            body
        })
        .boxed()
}

/// A part of an object, with nulls that take away.
fn patch(place: Place) -> BoxedStrategy<Value> {
    let cut = prop_oneof![3 => Just(None), 1 => select(vec!["metadata", "spec", "status", "data"]).prop_map(Some)];
    let nulled = select(vec!["", "", "labels", "annotations", "finalizers"]);
    let pinned = prop_oneof![8 => Just(""), 1 => Just("$version"), 1 => Just("$past")];
    (object(place), cut, nulled, pinned)
        .prop_map(|(mut object, cut, nulled, pinned)| {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                if !nulled.is_empty() {
                    metadata.insert(nulled.to_owned(), Value::Null);
                }
                if !pinned.is_empty() {
                    metadata.insert("resourceVersion".to_owned(), json!(pinned));
                }
            }
            if let (Some(cut), Some(object)) = (cut, object.as_object_mut()) {
                object.remove(cut);
            }
            object
        })
        .boxed()
}

fn with_status(spec: Value, status: Value) -> Value {
    if status == json!({}) { json!({ "spec": spec }) } else { json!({ "spec": spec, "status": status }) }
}

fn metadata() -> BoxedStrategy<Value> {
    let labels = entries(&[("x", &[json!("1"), json!("2")]), ("y", &[json!("1"), json!("not valid!")])], 1);
    let finalizers = prop_oneof![6 => Just(Vec::new()), 2 => subsequence(vec!["t.io/a", "t.io/b"], 1..=2)];
    let annotations = entries(&[("t.io/n", &[json!("1"), json!("2")])], 2);
    (labels, finalizers, annotations)
        .prop_map(|(labels, finalizers, annotations)| {
            let mut metadata = json!({});
            if labels != json!({}) {
                metadata["labels"] = labels;
            }
            if !finalizers.is_empty() {
                metadata["finalizers"] = json!(finalizers);
            }
            if annotations != json!({}) {
                metadata["annotations"] = annotations;
            }
            metadata
        })
        .boxed()
}

/// A map of some of these entries, each with one of its values, the first one most often. One of `rare` times an entry is there.
fn entries(table: &[(&'static str, &[Value])], rare: u32) -> BoxedStrategy<Value> {
    let one = |(name, values): &(&'static str, &[Value])| {
        let (name, first, all) = (*name, values[0].clone(), values.to_vec());
        let value = prop_oneof![3 => Just(first), 2 => select(all)].prop_map(Some);
        prop_oneof![rare => Just(None), 1 => value].prop_map(move |value| value.map(|value| (name.to_owned(), value)))
    };
    let all: Vec<_> = table.iter().map(one).collect();
    all.prop_map(|all| Value::Object(all.into_iter().flatten().collect::<Map<String, Value>>())).boxed()
}

/// A map that has `must`, most often with its first value, and some of the others.
fn mostly(must: &[(&'static str, &[Value])], others: &[(&'static str, &[Value])]) -> BoxedStrategy<Value> {
    let one = |(name, values): &(&'static str, &[Value])| {
        let (name, first, all) = (*name, values[0].clone(), values.to_vec());
        prop_oneof![10 => Just(Some(first)), 3 => select(all).prop_map(Some), 1 => Just(None)]
            .prop_map(move |value| value.map(|value| (name.to_owned(), value)))
    };
    let must: Vec<_> = must.iter().map(one).collect();
    (must, entries(others, 3))
        .prop_map(|(must, others)| {
            let mut map: Map<String, Value> = must.into_iter().flatten().collect();
            map.extend(others.as_object().cloned().unwrap_or_default());
            Value::Object(map)
        })
        .boxed()
}

fn lease() -> BoxedStrategy<Value> {
    mostly(
        &[("holderIdentity", &[json!("one"), json!("two")]), ("leaseDurationSeconds", &[json!(10), json!(0), json!(-1)])],
        &[("leaseTransitions", &[json!(0), json!(1), json!(-1)]), ("renewTime", &[json!("2026-01-01T00:00:00.000000Z")])],
    )
}

fn kill_spec() -> BoxedStrategy<Value> {
    mostly(
        &[("engaged", &[json!(true), json!(false), json!("x"), json!(null)]), ("reason", &[json!("r1"), json!("r2"), json!(""), json!(3)])],
        &[("unknown", &[json!(1)])],
    )
}

fn kill_status() -> BoxedStrategy<Value> {
    let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status, "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z" });
    let conditions = [
        json!([condition("Ready", "True")]),
        json!([condition("Ready", "False")]),
        json!([condition("Ready", "True"), condition("Other", "True")]),
        json!([condition("Other", "True"), condition("Ready", "True")]),
        json!([condition("Ready", "True"), condition("Ready", "False")]),
        json!([condition("Ready", "Nope")]),
        json!([{ "type": "Ready" }]),
        json!([]),
    ];
    entries(
        &[
            ("conditions", &conditions),
            ("stoppedRuns", &[json!(1), json!(2), json!("x"), json!(null), json!(5_000_000_000_i64)]),
            ("engagedAt", &[json!("2026-01-01T00:00:00Z"), json!("yesterday"), json!(null)]),
        ],
        2,
    )
}

fn run_spec() -> BoxedStrategy<Value> {
    mostly(
        &[
            ("role", &[json!("Coder"), json!("Planner"), json!("Merge"), json!("Nope")]),
            ("objective", &[json!("x"), json!("y"), json!("")]),
        ],
        &[
            ("suspended", &[json!(true), json!(false)]),
            ("answers", &[json!({ "q1": "1" }), json!({ "q1": "2" }), json!({ "q1": "1", "q2": "1" }), json!({})]),
            ("limits", &[json!({ "steps": 5 }), json!({ "steps": 0 }), json!({ "steps": null, "seconds": 10 }), json!({})]),
            ("autonomyLevel", &[json!(1), json!(2), json!(3), json!("1")]),
            ("profileRef", &[json!({ "name": "p" }), json!({ "name": "P!" }), json!({})]),
            ("commands", &[json!([{ "argv": ["true"] }]), json!([]), json!([{}])]),
            ("workspace", &[json!({ "inline": { "files": [{ "path": "a", "content": "b" }] } }), json!({ "inline": null }), json!({})]),
        ],
    )
}

fn run_status() -> BoxedStrategy<Value> {
    entries(&[("phase", &[json!("Running"), json!("Nope")]), ("observedGeneration", &[json!(1), json!(2)])], 4)
}

fn budget_spec() -> BoxedStrategy<Value> {
    let limits = entries(
        &[
            ("tokens", &[json!(5), json!(6), json!(-1), json!(null)]),
            ("costUSD", &[json!("1.5"), json!("2"), json!("much"), json!(null)]),
            ("toolCalls", &[json!(5), json!(1.5)]),
        ],
        1,
    );
    (limits, entries(&[("extra", &[json!(1)])], 9))
        .prop_map(|(limits, extra)| {
            let mut spec = json!({ "limits": limits });
            if extra != json!({}) {
                spec["extra"] = json!(1);
            }
            spec
        })
        .boxed()
}
