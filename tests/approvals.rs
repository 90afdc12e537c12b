//! Nothing risky happens without a key that a person turned: who, for what exactly, and once.

use reeve_api::{AgentRun, Approval, ApprovalPhase, Goal, RiskBudget};
use reeve_core::journal::{Event, Observation};
use reeve_tests::{FakeModel, Start, Turn, World, call, ci_written, finish, one_line_written};
use serde_json::{Value, json};

/// A Goal whose work is one line, done without a planner.
fn one_line() -> Value {
    json!({
        "objective": "one.txt says one.",
        "tasks": [{"name": "write", "description": "Write one.txt."}],
        "acceptance": {"commands": [{"argv": ["grep", "-q", "one", "one.txt"]}]},
    })
}

async fn writes_one_line(world: &World) -> FakeModel {
    let model = FakeModel::playing(one_line_written()).await;
    world.agents_ask(&model).await;
    model
}

/// Every write waits for so many people.
async fn writes_need(world: &World, people: u32) {
    let cedar = format!(
        "@id(\"rest\") permit (principal, action, resource);\n@id(\"writes-need-people\") forbid (principal, action, resource == Tool::\"fs.write\") when {{ context.keys.human < {people} }};"
    );
    world
        .put(&json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "PolicySet", "metadata": {"name": "people"}, "spec": {"cedar": cedar}}))
        .await;
    world
        .wait::<reeve_api::PolicySet>("people", "active", |set| set.status.as_ref().is_some_and(|status| status.active_digest.is_some()))
        .await;
}

fn writes(times: usize) -> Vec<Turn> {
    let write = || call("fs.write", json!({"path": "a.txt", "content": "a\n"}));
    let list = || call("fs.list", json!({"path": "."}));
    let mut turns: Vec<Turn> = (0..times).flat_map(|_| [write(), list()]).collect();
    turns.extend([call("git.commit", json!({"message": "a"})), finish("Done.")]);
    turns
}

fn name(approval: &Approval) -> &str {
    approval.metadata.name.as_deref().unwrap()
}

async fn suspend(world: &World, run: &str, suspended: bool) {
    world.patch::<AgentRun>(run, json!({"spec": {"suspended": suspended}})).await.unwrap();
}

#[tokio::test]
async fn a_merge_waits_for_somebody_else_and_is_done_when_they_approve() {
    World::scenario("merge", async |world| {
        writes_one_line(world).await;
        let _operator = world.operator().await;
        let owner = world
            .user("owner", &[("reeve.dev", "goals", &["create", "get", "patch"]), ("reeve.dev", "approvals", &["approve", "get", "patch"])])
            .await;
        let mut goal = json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "Goal", "metadata": {"name": "one"}, "spec": one_line()});
        // Server-side apply would need more rights than a creation.
        goal["metadata"]["namespace"] = json!(world.namespace());
        owner.create(&goal).await.unwrap();
        let approval = world.asks("one-merge").await;
        assert!(approval.spec.delta.contains("+one"), "people see what would be merged: {}", approval.spec.delta);
        assert_eq!(approval.spec.requested_by, "owner");
        let goal = world.api::<Goal>().get("one").await.unwrap().status.unwrap();
        assert!(goal.artifacts.is_empty() && goal.merged.is_none() && goal.proposed.len() == 2, "proposed, not merged: {goal:?}");
        let refused = owner.votes(&approval, "owner", "Approve").await.unwrap_err();
        assert!(refused.contains("the requester has no vote"), "{refused}");
        let stranger = world.user("stranger", &[("reeve.dev", "approvals", &["get", "patch"])]).await;
        let refused = stranger.votes(&approval, "stranger", "Approve").await.unwrap_err();
        assert!(refused.contains("verb approve"), "{refused}");
        let alice = world.approver("alice").await;
        alice.decides(&approval, "Approve").await.unwrap();
        let goal = world.reached("one").await.status.unwrap();
        assert_eq!(goal.merged.as_ref().unwrap().approved_by, ["alice"]);
        let used = world.approval_is(name(&approval), ApprovalPhase::Consumed).await;
        let late = alice.votes(&used, "alice", "Deny").await.unwrap_err();
        assert!(late.contains("no longer count"), "{late}");
        let merge = world.journal("one-merge").await;
        merge.assert_order(&[
            "policy.decision",
            "approval.requested",
            "approval.created",
            "approval.vote",
            "approval.settled",
            "approval.consumed",
            "policy.decision",
            "tool.result",
            "run.finished",
        ]);
        let bundle = goal.artifacts.iter().find(|artifact| artifact.name == "bundle").unwrap();
        assert_eq!(world.result_of("one").await.as_deref(), Some(bundle.digest.as_str()), "the Goal's result points at what was approved");
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn one_deny_is_no_and_says_who_and_why() {
    World::scenario("deny", async |world| {
        writes_one_line(world).await;
        let _operator = world.operator().await;
        world.goal("one", one_line()).await;
        let approval = world.asks("one-merge").await;
        world.approver("alice").await.votes(&approval, "alice", "Deny").await.unwrap();
        let ended = world.goal_ended("one").await;
        assert_eq!((ended.succeeded, ended.reason.as_str()), (false, "MergeRefused"), "{}", ended.message);
        assert!(ended.message.contains("Denied by alice: read it"), "{}", ended.message);
        world.approval_is(name(&approval), ApprovalPhase::Denied).await;
        assert_eq!(world.result_of("one").await, None);
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn no_answer_in_time_is_no() {
    World::scenario("expiry", async |world| {
        writes_one_line(world).await;
        let _operator = world.operator().await;
        let mut goal = one_line();
        goal["approval"] = json!({"timeoutSeconds": 1});
        world.goal("one", goal).await;
        let ended = world.goal_ended("one").await;
        assert_eq!(ended.reason, "MergeRefused", "{}", ended.message);
        assert!(ended.message.contains("expired"), "{}", ended.message);
        world.approval_is("one-merge-s1c0", ApprovalPhase::Expired).await;
    })
    .await;
}

#[tokio::test]
async fn a_call_that_policy_grants_with_two_keys_waits_for_two_people() {
    World::scenario("two-keys", async |world| {
        world.agents_ask(&FakeModel::playing(writes(1)).await).await;
        let _operator = world.operator().await;
        writes_need(world, 2).await;
        world.run("asks", json!({})).await;
        let approval = world.asks("asks").await;
        assert_eq!(approval.spec.quorum, 2);
        assert!(approval.spec.delta.contains("makes: a.txt") && approval.spec.delta.contains("+a"), "{}", approval.spec.delta);
        world.approver("alice").await.votes(&approval, "alice", "Approve").await.unwrap();
        world
            .wait::<Approval>(name(&approval), "one short", |found| found.status.as_ref().is_some_and(|status| status.missing == Some(1)))
            .await;
        world.approver("bob").await.votes(&approval, "bob", "Approve").await.unwrap();
        let run = world.succeeded("asks").await;
        assert!(world.patch_of(&run).await.contains("+a"));
    })
    .await;
}

#[tokio::test]
async fn an_approve_may_become_a_deny_until_it_is_used() {
    World::scenario("second-thoughts", async |world| {
        world.agents_ask(&FakeModel::playing(writes(1)).await).await;
        let _operator = world.operator().await;
        writes_need(world, 2).await;
        world.run("asks", json!({})).await;
        let approval = world.asks("asks").await;
        let alice = world.approver("alice").await;
        alice.votes(&approval, "alice", "Approve").await.unwrap();
        world
            .wait::<Approval>(name(&approval), "one short", |found| found.status.as_ref().is_some_and(|status| status.missing == Some(1)))
            .await;
        alice.votes(&approval, "alice", "Deny").await.unwrap();
        world.approver("bob").await.votes(&approval, "bob", "Approve").await.ok();
        world.succeeded("asks").await;
        let rows = world.journal("asks").await;
        assert_eq!(rows.results()[0].observation, Observation::Denied, "{rows}");
        assert!(rows.told(0).contains("Denied by alice"), "{}", rows.told(0));
    })
    .await;
}

#[tokio::test]
async fn the_same_call_again_needs_another_approval() {
    World::scenario("replay", async |world| {
        world.agents_ask(&FakeModel::playing(writes(2)).await).await;
        let _operator = world.operator().await;
        writes_need(world, 1).await;
        world.run("asks", json!({})).await;
        let alice = world.approver("alice").await;
        let first = world.asks("asks").await;
        alice.votes(&first, "alice", "Approve").await.unwrap();
        world.approval_is(name(&first), ApprovalPhase::Consumed).await;
        let second = world
            .wait::<Approval>("asks-s3c0", "Pending", |found| {
                found.status.as_ref().is_some_and(|status| status.phase == Some(ApprovalPhase::Pending))
            })
            .await;
        assert_ne!(first.spec.digest, second.spec.digest, "the same call under another key is another action");
        alice.votes(&second, "alice", "Deny").await.unwrap();
        world.succeeded("asks").await;
        let rows = world.journal("asks").await;
        assert!(matches!(rows.results()[0].observation, Observation::Ran { .. }), "{rows}");
        assert_eq!(rows.results()[2].observation, Observation::Denied, "{rows}");
    })
    .await;
}

#[tokio::test]
async fn what_changed_by_one_byte_after_it_was_approved_is_not_done() {
    World::scenario("one-byte", async |world| {
        writes_one_line(world).await;
        let _operator = world.operator().await;
        world.goal("one", one_line()).await;
        let approval = world.asks("one-merge").await;
        // Votes are heard while it stands still; they are used when it goes on.
        suspend(world, "one-merge", true).await;
        world.approver("alice").await.votes(&approval, "alice", "Approve").await.unwrap();
        world.approval_is(name(&approval), ApprovalPhase::Approved).await;
        let goal = world.api::<Goal>().get("one").await.unwrap().status.unwrap();
        let patch = goal.proposed.iter().find(|artifact| artifact.name == "patch").unwrap();
        world.flip_a_byte(&patch.digest);
        suspend(world, "one-merge", false).await;
        let ended = world.goal_ended("one").await;
        assert_eq!(ended.reason, "MergeRefused", "{}", ended.message);
        assert!(ended.message.contains("What was approved is not what is there"), "{}", ended.message);
        world.approval_is(name(&approval), ApprovalPhase::Superseded).await;
        assert_eq!(world.result_of("one").await, None);
    })
    .await;
}

#[tokio::test]
async fn a_program_that_changed_after_it_was_approved_is_not_run() {
    World::scenario("one-byte-call", async |world| {
        let cedar = "@id(\"rest\") permit (principal, action, resource);\n@id(\"tests-need-a-person\") forbid (principal, action, resource == Tool::\"tests.run\") when { context.keys.human < 1 };";
        let model = FakeModel::playing([call("tests.run", json!({"argv": ["./check.sh"]})), finish("Done.")]).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.put(&json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "PolicySet", "metadata": {"name": "people"}, "spec": {"cedar": cedar}})).await;
        world.wait::<reeve_api::PolicySet>("people", "active", |set| set.status.as_ref().is_some_and(|status| status.active_digest.is_some())).await;
        let script = json!({"inline": {"files": [{"path": "check.sh", "content": "#!/bin/sh\nexit 0\n", "executable": true}]}});
        world.run("asks", json!({"workspace": script})).await;
        let approval = world.asks("asks").await;
        assert!(approval.spec.delta.contains("$ ./check.sh"), "{}", approval.spec.delta);
        suspend(world, "asks", true).await;
        world.approver("alice").await.votes(&approval, "alice", "Approve").await.unwrap();
        world.approval_is(name(&approval), ApprovalPhase::Approved).await;
        world.exec(&["sh", "-c", "printf '#' >> /workspace/check.sh"]).await;
        suspend(world, "asks", false).await;
        world.run_ended("asks").await;
        let rows = world.journal("asks").await;
        assert_eq!(rows.results()[0].observation, Observation::Refused, "{rows}");
        assert!(rows.told(0).contains("changed since it was approved"), "{}", rows.told(0));
    })
    .await;
}

#[tokio::test]
async fn an_approval_that_is_not_used_in_time_is_not_used() {
    World::scenario("late", async |world| {
        writes_one_line(world).await;
        let _operator = world.operator().await;
        let mut goal = one_line();
        goal["approval"] = json!({"timeoutSeconds": 25});
        world.goal("one", goal).await;
        let approval = world.asks("one-merge").await;
        suspend(world, "one-merge", true).await;
        world.approver("alice").await.votes(&approval, "alice", "Approve").await.unwrap();
        world.approval_is(name(&approval), ApprovalPhase::Approved).await;
        world.until(approval.spec.expires_at.0).await;
        suspend(world, "one-merge", false).await;
        let ended = world.goal_ended("one").await;
        assert!(ended.reason == "MergeRefused" && ended.message.contains("expired"), "{}: {}", ended.reason, ended.message);
        world.approval_is(name(&approval), ApprovalPhase::Expired).await;
    })
    .await;
}

#[tokio::test]
async fn an_approved_call_that_stood_still_past_its_time_is_not_begun() {
    World::scenario("stood-still", async |world| {
        world.agents_ask(&FakeModel::playing(writes(1)).await).await;
        let _operator = world.operator().await;
        writes_need(world, 1).await;
        world.budget("default", json!({"toolCalls": 0, "tokens": 1_000_000})).await;
        world.run("asks", json!({"approval": {"timeoutSeconds": 20}})).await;
        let approval = world.asks("asks").await;
        world.approver("alice").await.votes(&approval, "alice", "Approve").await.unwrap();
        world.approval_is(name(&approval), ApprovalPhase::Consumed).await;
        world.run_is("asks", "BudgetExhausted").await;
        world.until(approval.spec.expires_at.0).await;
        world.patch::<RiskBudget>("default", json!({"spec": {"limits": {"toolCalls": 10}}})).await.unwrap();
        world.succeeded("asks").await;
        let rows = world.journal("asks").await;
        assert_eq!(rows.results()[0].observation, Observation::Refused, "{rows}");
        assert!(rows.told(0).contains("had not begun by then"), "{}", rows.told(0));
        world.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_approval_means_no() {
    World::scenario("deleted", async |world| {
        writes_one_line(world).await;
        let _operator = world.operator().await;
        world.goal("one", one_line()).await;
        let approval = world.asks("one-merge").await;
        world.delete::<Approval>(name(&approval)).await;
        let ended = world.goal_ended("one").await;
        assert!(ended.reason == "MergeRefused" && ended.message.contains("deleted"), "{}: {}", ended.reason, ended.message);
    })
    .await;
}

#[tokio::test]
async fn an_approval_made_anew_under_its_name_does_not_count() {
    World::scenario("made-anew", async |world| {
        writes_one_line(world).await;
        let operator = world.operator().await;
        world.goal("one", one_line()).await;
        let approval = world.asks("one-merge").await;
        // While nobody watches, somebody with the operator's own token makes it anew, and it is approved.
        operator.kill9().await;
        world.delete::<Approval>(name(&approval)).await;
        let mut again = approval.clone();
        again.metadata.uid = None;
        again.metadata.resource_version = None;
        again.status = None;
        let again = world.as_the_operator().await.create(&serde_json::to_value(&again).unwrap()).await;
        again.unwrap();
        world.approver("alice").await.votes(&approval, "alice", "Approve").await.unwrap();
        let _operator = world.operator().await;
        let ended = world.goal_ended("one").await;
        assert!(
            ended.reason == "MergeRefused" && ended.message.contains("another was made under its name"),
            "{}: {}",
            ended.reason,
            ended.message
        );
        assert_eq!(world.result_of("one").await, None);
    })
    .await;
}

#[tokio::test]
async fn who_sits_on_the_name_of_an_approval_only_has_another_one_asked_for() {
    World::scenario("squatter", async |world| {
        writes_one_line(world).await;
        let squatter = json!({
            "apiVersion": "reeve.dev/v1alpha1", "kind": "Approval", "metadata": {"name": "one-merge-s1c0"},
            "spec": {
                "subject": {"kind": "AgentRun", "name": "one-merge", "uid": "u", "action": "merge", "key": "u/1/0"},
                "digest": format!("sha256:{}", "0".repeat(64)), "delta": "nothing", "requestedBy": "owner", "quorum": 1,
                "expiresAt": "2030-01-01T00:00:00Z",
            },
        });
        world.as_the_operator().await.create(&squatter).await.unwrap();
        let _operator = world.operator().await;
        world.goal("one", one_line()).await;
        let second = world
            .wait::<Approval>("one-merge-s1c0-a2", "Pending", |found| {
                found.status.as_ref().is_some_and(|status| status.phase == Some(ApprovalPhase::Pending))
            })
            .await;
        world.approver("alice").await.votes(&second, "alice", "Approve").await.unwrap();
        world.reached("one").await;
    })
    .await;
}

/// What is done to the admission policies while an approval is pending, before anybody votes.
async fn counts_nothing_after(scenario: &str, disturb: impl AsyncFnOnce(&reeve_tests::OwnAdmission)) {
    World::scenario(scenario, async |world| {
        writes_one_line(world).await;
        let own = world.own_admission().await;
        let start = Start { admission: Some(own.name.clone()), ..Start::default() };
        let operator = world.operator_with(start.clone()).await;
        world.goal("one", one_line()).await;
        let first = world.asks("one-merge").await;
        disturb(&own).await;
        world.approver("alice").await.votes(&first, "alice", "Approve").await.unwrap();
        world.approval_is(name(&first), ApprovalPhase::Superseded).await;
        assert_eq!(world.result_of("one").await, None, "a vote that nothing proves does not count");
        drop(operator);
        let rows = world.journal("one-merge").await;
        assert_eq!(rows.count("approval.vote"), 0, "{rows}");
        world.verify().await;
        own.remove().await;
    })
    .await;
}

#[tokio::test]
async fn no_vote_counts_after_the_policy_was_deleted() {
    counts_nothing_after("no-policy", async |own| {
        own.policies().delete(&own.name, &Default::default()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn no_vote_counts_after_the_policy_was_edited_and_restored() {
    counts_nothing_after("edited-policy", async |own| {
        use kube::api::{Patch, PatchParams};
        for policy in ["Ignore", "Fail"] {
            let patch = Patch::Merge(json!({"spec": {"failurePolicy": policy}}));
            own.policies().patch(&own.name, &PatchParams::default(), &patch).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn no_vote_counts_after_the_binding_was_deleted_and_restored() {
    counts_nothing_after("restored-binding", async |own| {
        let mut binding = own.bindings().get(&own.name).await.unwrap();
        own.bindings().delete(&own.name, &Default::default()).await.unwrap();
        binding.metadata = kube::core::ObjectMeta { name: Some(own.name.clone()), ..Default::default() };
        own.bindings().create(&Default::default(), &binding).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_protected_path_is_written_when_a_person_approves_it() {
    World::scenario("protected", async |world| {
        let model = FakeModel::playing(ci_written()).await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("ci", json!({})).await;
        let approval = world.asks("ci").await;
        world.approver("alice").await.votes(&approval, "alice", "Approve").await.unwrap();
        let run = world.succeeded("ci").await;
        assert!(world.patch_of(&run).await.contains("+on: push"));
        let consumed = world
            .journal("ci")
            .await
            .events()
            .into_iter()
            .any(|event| matches!(event, Event::ApprovalConsumed(used) if used.by == ["alice"]));
        assert!(consumed);
    })
    .await;
}
