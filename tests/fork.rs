//! A run goes on from a row of another one.

use reeve_api::AgentRun;
use reeve_core::journal::{Event, ForkedFrom};
use reeve_tests::{FakeModel, Rows, World, call, finish, reeve, repository, workspace};
use serde_json::{Value, json};

/// Writes two files, each with a commit. Asked again for the third answer, and a third time for the last, it goes another way.
async fn model() -> FakeModel {
    let write = |name: &str| call("fs.write", json!({"path": name, "content": format!("{name}\n")}));
    let commit = |message: &str| call("git.commit", json!({"message": message}));
    FakeModel::playing([
        write("one.txt"),
        commit("One"),
        write("two.txt").then(write("three.txt")),
        commit("Two or three"),
        finish("Done.").then(finish("Done another way.")).then(write("four.txt")),
        commit("Four"),
        finish("Done in a third way."),
    ])
    .await
}

fn forked_from(rows: &Rows) -> ForkedFrom {
    let Event::RunStarted(started) = rows.events()[0].clone() else { panic!("{rows}") };
    started.forked_from.unwrap_or_else(|| panic!("it is no fork\n{rows}"))
}

/// Runs `reeve journal`, which must say yes.
async fn journal<const N: usize>(arguments: [&str; N]) -> String {
    let output = reeve(arguments).await;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[tokio::test]
async fn a_fork_goes_on_in_the_workspace_of_the_checkpoint_and_a_fork_of_it_when_both_parents_are_gone() {
    World::scenario("fork", async |world| {
        let model = model().await;
        world.agents_ask(&model).await;
        let operator = world.operator().await;
        world.run("first", json!({"workspace": workspace(&[("old.txt", "old\n")])})).await;
        let first = world.succeeded("first").await;
        let patch = world.patch_of(&first).await;
        assert!(patch.contains("+one.txt") && patch.contains("+two.txt"), "{patch}");
        let parent = world.journal("first").await;
        let kept = parent.seq_of("checkpoint");

        world.fork("second", &parent.place("first", kept)).await;
        let second = world.succeeded("second").await;
        let rows = world.journal("second").await;
        let from = forked_from(&rows);
        assert_eq!((from.seq.0, from.hash, from.kept_at.0), (kept, parent.0[usize::try_from(kept).unwrap() - 1].hash, kept));
        let Some(Event::Checkpoint(taken)) = parent.events().into_iter().nth(usize::try_from(kept).unwrap() - 1) else {
            panic!("{parent}")
        };
        let loaded =
            rows.events().into_iter().find_map(|event| if let Event::WorkspaceLoaded(loaded) = event { Some(loaded) } else { None });
        let loaded = loaded.unwrap();
        assert_eq!(
            (loaded.digest, loaded.base_commit, loaded.head_commit),
            (taken.workspace.bundle.digest, taken.workspace.base_commit, taken.workspace.head_commit),
            "the workspace is the one that was kept"
        );
        let patch = world.patch_of(&second).await;
        assert!(patch.contains("+one.txt") && patch.contains("+three.txt") && !patch.contains("two.txt"), "{patch}");
        let usage = second.status.clone().unwrap().usage.unwrap();
        assert_eq!((usage.model_answers, usage.tool_calls), (3, 3), "what its parent used is its parent's");
        let asked = &model.asked()[5];
        let told = asked["messages"].to_string();
        assert!(told.contains("one.txt") && !told.contains("two.txt"), "it has its parent's conversation up to there: {told}");

        // Its own parent and that one's parent are gone; their rows and workspaces are not.
        let own = rows.seq_of("checkpoint");
        world.delete::<AgentRun>("first").await;
        world.delete::<AgentRun>("second").await;
        world.gone::<AgentRun>("second").await;
        world.fork("third", &rows.place("second", own)).await;
        let third = world.succeeded("third").await;
        let patch = world.patch_of(&third).await;
        let all = ["one", "three", "four"].map(|name| format!("+{name}.txt"));
        assert!(all.iter().all(|line| patch.contains(line)) && !patch.contains("two.txt"), "{patch}");
        assert!(operator.stop().await.success());

        let (database, run) = (world.database(), format!("{}/third", world.namespace()));
        let verified = world.verify().await;
        assert!(verified.contains("2 go on from the very row that the parent has"), "{verified}");
        journal(["journal", "verify", "--database", &database, "--run", &run]).await;
        let artifacts = world.data().join("artifacts");
        let artifacts = artifacts.to_str().unwrap();
        journal(["journal", "replay", "--all", "--database", &database, "--artifacts", artifacts]).await;
        journal(["journal", "replay", "--run", &run, "--database", &database, "--artifacts", artifacts]).await;
        let policy = repository().join("policies/default.cedar");
        let policy = policy.to_str().unwrap();
        journal(["journal", "what-if", "--policy", policy, "--run", &run, "--database", &database, "--artifacts", artifacts]).await;

        let export = world.folder().join("journal.jsonl");
        std::fs::write(&export, reeve(["journal", "export", "--database", &database]).await.stdout).unwrap();
        let export = export.to_str().unwrap();
        let verified = journal(["journal", "verify", "--file", export]).await;
        assert!(verified.contains("2 go on from the very row that the parent has"), "{verified}");
        journal(["journal", "replay", "--all", "--file", export, "--artifacts", artifacts]).await;
        journal(["journal", "what-if", "--policy", policy, "--all", "--file", export, "--artifacts", artifacts]).await;
    })
    .await;
}

#[tokio::test]
async fn an_operator_that_dies_as_a_fork_begins_goes_on_with_it() {
    World::scenario("fork-crash", async |world| {
        let model = model().await;
        world.agents_ask(&model).await;
        let operator = world.operator().await;
        world.run("first", json!({})).await;
        world.succeeded("first").await;
        let parent = world.journal("first").await;
        operator.stop().await;
        for point in ["journal.run.started.after@1", "effect.import.after@1"] {
            let name = format!("at-{}", &point[..6].replace('.', "-"));
            let dying = world.operator_that_dies_at(point).await;
            world.fork(&name, &parent.place("first", parent.seq_of("checkpoint"))).await;
            dying.killed().await;
            let next = world.operator().await;
            let patch = world.patch_of(&world.succeeded(&name).await).await;
            assert!(patch.contains("+one.txt"), "{patch}");
            next.stop().await;
        }
        let verified = world.verify().await;
        assert!(verified.contains("2 go on from the very row that the parent has"), "{verified}");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_forked_is_said_with_what_can_and_nothing_begins() {
    World::scenario("no-fork", async |world| {
        let model = model().await;
        world.agents_ask(&model).await;
        let _operator = world.operator().await;
        world.run("first", json!({})).await;
        world.succeeded("first").await;
        let rows = world.journal("first").await;
        let (kept, asked) = (rows.seq_of("checkpoint"), rows.seq_of("tool.requested"));
        let (wrote, last) = (rows.seq_of("tool.result"), rows.0.last().unwrap().seq.0);
        let other = |field: &str, value: Value| {
            let mut place = rows.place("first", kept);
            place[field] = value;
            place
        };
        let elsewhere = "11111111-2222-4333-8444-555555555555";
        for (name, place, says) in [
            ("beyond", other("seq", json!(last + 1)), format!("expected a row from 1 to {last} of run")),
            (
                "in-a-call",
                rows.place("first", asked),
                format!("cannot be forked after row {asked}: a tool call is in hand there. The nearest row before it is {}", asked - 1),
            ),
            ("not-kept", rows.place("first", wrote), format!("changed since, in row {wrote}. The nearest row before it is {}", asked - 1)),
            ("ended", rows.place("first", last), "it has ended there. The nearest row before it is".to_owned()),
            ("unborn", rows.place("first", 1), "There is no row before it at which it can".to_owned()),
            ("another-row", other("hash", json!(rows.0[0].hash.to_string())), format!("row {kept} of run")),
            (
                "no-such-run",
                other("uid", json!(elsewhere)),
                format!("the journal has no AgentRun \"first\" with UID {elsewhere} in namespace"),
            ),
            ("another-name", other("name", json!("other")), "the journal has no AgentRun \"other\" with UID".to_owned()),
        ] {
            world.fork(name, &place).await;
            let message = world.run_is(name, "ForkInvalid").await;
            assert!(message.contains(&says) && message.contains("kubectl reeve fork"), "{name}: {message}\nexpected {says}");
        }
        let planner = json!({"role": "Planner", "forkOf": rows.place("first", kept)});
        world.put(&json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "AgentRun", "metadata": {"name": "planner"}, "spec": planner})).await;
        let message = world.run_is("planner", "ForkInvalid").await;
        assert!(message.contains("spec.role is Planner, but spec.forkOf names a run of role Coder"), "{message}");

        // The workspace is gone from the artifact store, and put back.
        let Some(Event::Checkpoint(taken)) = rows.events().into_iter().nth(usize::try_from(kept).unwrap() - 1) else { panic!("{rows}") };
        let (digest, away) = (taken.workspace.bundle.digest, world.folder().join("away"));
        let file = world.data().join("artifacts").join(&digest.hex()[..2]).join(&digest.hex()[2..]);
        std::fs::rename(&file, &away).unwrap();
        world.fork("no-workspace", &rows.place("first", kept)).await;
        let message = world.run_is("no-workspace", "ArtifactNotFound").await;
        assert!(message.contains(&format!("as of row {kept}")) && message.contains(&digest.to_string()), "{message}");
        assert_eq!(world.jobs().await.len(), 1, "nothing is started for a fork that cannot begin");
        std::fs::rename(&away, &file).unwrap();
        world.look_again::<AgentRun>("no-workspace").await;
        world.succeeded("no-workspace").await;
    })
    .await;
}
