//! What is kept beside the journal: bodies that are too large for a row, and runs that were archived.

use std::process::Output;

use reeve_core::journal::Row;
use reeve_tests::{FakeModel, World, call, finish, one_line_written, reeve};
use serde_json::json;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn an_answer_too_large_for_a_row_is_kept_and_replayed_and_verified() {
    World::scenario("large", async |world| {
        let content = "all work and no play\n".repeat(15_000);
        assert!(content.len() > 256 * 1024);
        let model = FakeModel::playing([
            call("fs.write", json!({"path": "large.txt", "content": content})),
            call("git.commit", json!({"message": "Large"})),
            finish("It is there."),
        ])
        .await;
        world.agents_ask(&model).await;
        // Dies when the answer is in the store and no row names it yet: the model is asked once more.
        let first = world.operator_that_dies_at("journal.model.response.kept@1").await;
        world.run("large", json!({})).await;
        first.killed().await;
        let second = world.operator_that_dies_at("journal.tool.requested.after@1").await;
        second.killed().await;
        // What was read before stands in a body that is kept: the run goes on from it.
        let operator = world.operator().await;
        world.succeeded("large").await;
        assert_eq!(model.requests(), 4, "one answer was lost with the first operator");
        assert!(operator.stop().await.success());

        let rows = world.journal("large").await;
        let kept: Vec<&Row> = rows.0.iter().filter(|row| row.kept().unwrap().is_some()).collect();
        let kinds: Vec<&str> = kept.iter().map(|row| row.kind.as_str()).collect();
        assert_eq!(kinds, ["model.response", "tool.requested"], "{rows}");
        let database = world.database();
        let artifacts = world.data().join("artifacts");
        let folder = artifacts.to_str().unwrap();
        let verified = reeve(["journal", "verify", "--database", &database, "--artifacts", folder]).await;
        assert!(
            verified.status.success() && said(&verified).contains("kept: 2 bodies in the artifact store, each is there"),
            "{}",
            said(&verified)
        );

        let export = reeve(["journal", "export", "--database", &database]).await.stdout;
        assert!(export.len() < 256 * 1024, "the export refers to them");
        let file = world.folder().join("large.jsonl");
        std::fs::write(&file, export).unwrap();
        let file = file.to_str().unwrap();
        let unlooked = reeve(["journal", "verify", "--file", file]).await;
        assert!(unlooked.status.success() && said(&unlooked).contains("give --artifacts"), "{}", said(&unlooked));
        let replayed = reeve(["journal", "replay", "--all", "--file", file, "--artifacts", folder]).await;
        assert!(replayed.status.success() && said(&replayed).contains("same"), "{}", said(&replayed));
        let without = reeve(["journal", "replay", "--all", "--file", file]).await;
        assert!(without.status.code() == Some(2) && said(&without).contains("give --artifacts"), "{}", said(&without));
        let policy = reeve_tests::repository().join("policies/default.cedar");
        let judged =
            reeve(["journal", "what-if", "--policy", policy.to_str().unwrap(), "--all", "--file", file, "--artifacts", folder]).await;
        assert!(judged.status.success() && said(&judged).contains("0 would change"), "{}", said(&judged));

        // Nothing of it is garbage.
        let collected = reeve(["artifacts", "gc", "--database", &database, "--artifacts", folder, "--dry-run"]).await;
        assert!(collected.status.success() && said(&collected).contains("would remove 0 artifacts"), "{}", said(&collected));

        let hex = kept[0].kept().unwrap().unwrap().digest.hex();
        std::fs::remove_file(artifacts.join(&hex[..2]).join(&hex[2..])).unwrap();
        let lost = reeve(["journal", "verify", "--file", file, "--artifacts", folder]).await;
        let row = format!("row {} (model.response) names a body", kept[0].gseq);
        assert!(lost.status.code() == Some(1) && said(&lost).contains(&row), "{}", said(&lost));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_was_archived_verifies_from_its_file_and_the_operator_goes_on() {
    World::scenario("archived", async |world| {
        let model = FakeModel::playing(one_line_written()).await;
        world.agents_ask(&model).await;
        let operator = world.operator().await;
        world.run("old", json!({})).await;
        world.run("young", json!({})).await;
        world.succeeded("old").await;
        world.succeeded("young").await;
        let database = world.database();
        let run = format!("{}/old", world.namespace());
        let file = world.folder().join("old.jsonl");
        let file = file.to_str().unwrap();
        let in_use = reeve(["journal", "archive", "--database", &database, "--run", &run, "--to", file]).await;
        assert!(in_use.status.code() == Some(2) && said(&in_use).contains("Stop the operator"), "{}", said(&in_use));
        assert!(operator.stop().await.success());

        let rows = world.journal("old").await;
        let archived = reeve(["journal", "archive", "--database", &database, "--run", &run, "--to", file]).await;
        let told = format!("archived 1 run, {} rows into {file}", rows.0.len());
        assert!(archived.status.success() && said(&archived).contains(&told), "{}", said(&archived));
        assert!(world.journal("old").await.0.is_empty(), "its rows are gone");

        // The row that says so is not signed before an operator was there.
        let unsigned = reeve(["journal", "verify", "--database", &database]).await;
        assert!(unsigned.status.success() && said(&unsigned).contains("is not signed yet"), "{}", said(&unsigned));
        let operator = world.operator().await;
        world.run("later", json!({})).await;
        world.succeeded("later").await;
        assert!(operator.stop().await.success());
        world.succeeded("old").await;

        let status = world.folder().join("runs.json");
        let runs: Vec<reeve_api::AgentRun> = world.api().list(&Default::default()).await.unwrap().items;
        std::fs::write(&status, json!({"kind": "List", "items": runs}).to_string()).unwrap();
        let status = status.to_str().unwrap();
        let without = reeve(["journal", "verify", "--database", &database, "--status", status]).await;
        let expected = format!("archived: {run}");
        let words = said(&without);
        assert!(
            without.status.success() && words.contains(&expected) && words.contains(&format!("not checked: give --archive {file}")),
            "{words}"
        );
        assert!(!words.contains("not signed yet"), "{words}");
        let with = reeve(["journal", "verify", "--database", &database, "--status", status, "--archive", file]).await;
        assert!(with.status.success() && said(&with).contains("checked with the others"), "{}", said(&with));
        let replayed = reeve(["journal", "replay", "--all", "--file", file]).await;
        assert!(replayed.status.success() && said(&replayed).contains("same"), "{}", said(&replayed));

        let text = std::fs::read_to_string(file).unwrap();
        std::fs::write(file, text.replacen("one.txt", "two.txt", 1)).unwrap();
        let changed = reeve(["journal", "verify", "--database", &database, "--archive", file]).await;
        assert!(changed.status.code() == Some(1) && said(&changed).contains("was changed"), "{}", said(&changed));
    })
    .await;
}
