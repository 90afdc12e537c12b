//! Heads of the journal that are signed, and kept where the holder of the database cannot reach.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use reeve_api::AgentRun;
use reeve_core::journal::{Event, PostedRoot, Row, merkle};
use reeve_tests::{FakeModel, Start, World, finish, reeve, signing_key};
use serde_json::{Value, json};

/// The public key of what signs, as the operator gives it.
async fn public_key(world: &World, name: &str) -> String {
    let output = reeve(["journal", "public-key", "--journal-key-dir", world.keys().to_str().unwrap()]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    save(world, name, &String::from_utf8(output.stdout).unwrap())
}

/// A file of the outsider's.
fn save(world: &World, name: &str, text: &str) -> String {
    let path = world.folder().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn list(items: &impl serde::Serialize) -> String {
    json!({"kind": "List", "items": items}).to_string()
}

async fn maps(world: &World) -> Vec<ConfigMap> {
    world.api::<ConfigMap>().list(&ListParams::default().labels("reeve.dev/journal-anchors")).await.unwrap().items
}

/// The roots that the ConfigMaps hold, by size.
fn roots(maps: &[ConfigMap]) -> Vec<PostedRoot> {
    let mut roots: Vec<PostedRoot> =
        maps.iter().flat_map(|map| map.data.iter().flatten()).map(|(_, line)| serde_json::from_str(line).unwrap()).collect();
    roots.sort_by_key(|root| root.size);
    roots
}

/// What `verify` answers as JSON, and whether it says yes.
async fn verified<const N: usize>(arguments: [&str; N]) -> (bool, Value) {
    let output = reeve(arguments).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(2), "it could not be tried: {said}");
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")))
}

async fn ends_well(world: &World, name: &str) {
    let operator = world.operator().await;
    world.run(name, json!({})).await;
    world.succeeded(name).await;
    // What is left to be anchored is, at the end.
    assert!(operator.stop().await.success());
}

#[tokio::test]
async fn an_outsider_verifies_an_export_with_the_public_key_and_a_rotation_keeps_both_keys_good() {
    World::scenario("anchors", async |world| {
        let model = FakeModel::lanes([("", vec![finish("Nothing to do.")])]).await;
        world.agents_ask(&model).await;
        ends_well(world, "one").await;
        let first = public_key(world, "first.pub").await;
        let before = roots(&maps(world).await);
        assert!(!before.is_empty(), "the run's phases are anchored");

        std::fs::write(world.keys().join("second.pem"), signing_key()).unwrap();
        std::fs::write(world.keys().join("active"), "second").unwrap();
        ends_well(world, "two").await;
        let second = public_key(world, "second.pub").await;

        let export = reeve(["journal", "export", "--database", &world.database()]).await;
        let export = save(world, "journal.jsonl", &String::from_utf8(export.stdout).unwrap());
        let runs = save(world, "runs.json", &list(&world.api::<AgentRun>().list(&ListParams::default()).await.unwrap().items));
        let kept = maps(world).await;
        let anchors = save(world, "roots.json", &list(&kept));
        let roots = roots(&kept);
        assert!(roots.len() > before.len() && roots.starts_with(&before), "every root is kept");
        for pair in roots.windows(2) {
            let (old, new) = (&pair[0], &pair[1]);
            assert_eq!(new.before, old.size);
            assert!(merkle::is_consistent((old.size, old.root), (new.size, new.root), &new.proof), "{old:?} to {new:?}");
        }
        for key in [&first, &second] {
            let arguments =
                ["journal", "verify", "--file", &export, "--public-key", key, "--status", &runs, "--anchor", &anchors, "-o", "json"];
            let (yes, said) = verified(arguments).await;
            assert!(yes, "{said}");
            assert_eq!(said["anchorsMet"], json!(2 + roots.len()), "the heads of both runs, and each root: {said}");
            assert_eq!(said["signed"]["keys"].as_array().unwrap().len(), 2, "{said}");
        }
        let (yes, said) = verified([
            "journal",
            "verify",
            "--file",
            &export,
            "--public-key",
            &first,
            "--run",
            &format!("{}/one", world.namespace()),
            "-o",
            "json",
        ])
        .await;
        assert!(yes, "{said}");
        let from_cluster =
            ["journal", "verify", "--database", &world.database(), "--status", "from-cluster", "-n", world.namespace(), "-o", "json"];
        let (yes, said) = verified(from_cluster).await;
        assert!(yes && said["anchorsMet"] == json!(2 + roots.len()), "{said}");

        // A run that was deleted with all that is chained to it, by somebody who holds the export and no key.
        let text = std::fs::read_to_string(&export).unwrap();
        let begins_two = |line: &str| {
            let row: Row = serde_json::from_str(line).unwrap();
            matches!(row.event().unwrap(), Event::RunStarted(started) if started.name == "two")
        };
        let tail = text.lines().position(begins_two).unwrap();
        let cut: String = text.lines().take(tail).flat_map(|line| [line, "\n"]).collect();
        let cut = save(world, "cut.jsonl", &cut);
        let (yes, said) = verified(["journal", "verify", "--file", &cut, "--public-key", &first, "--status", &runs, "-o", "json"]).await;
        assert!(!yes && said["error"].as_str().unwrap().contains(&format!("status of AgentRun {}/two", world.namespace())), "{said}");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_journaled_that_cannot_be_signed() {
    World::scenario("unsigned", async |world| {
        let model = FakeModel::lanes([("", vec![finish("Nothing to do.")])]).await;
        world.agents_ask(&model).await;
        let keyless = world.folder().join("no-keys");
        std::fs::create_dir(&keyless).unwrap();
        let operator = world.operator_with(Start { keys: Some(keyless.clone()), ..Start::default() }).await;
        assert!(!operator.ended().await.success());
        operator.says("no file NAME.pem is there").await;
        assert!(!std::path::Path::new(&world.database()).exists(), "the journal was not touched");

        ends_well(world, "one").await;
        let older = std::fs::read(world.database()).unwrap();
        // Another key, and nothing that vouches for it.
        std::fs::write(keyless.join("other.pem"), signing_key()).unwrap();
        let operator = world.operator_with(Start { keys: Some(keyless), ..Start::default() }).await;
        assert!(!operator.ended().await.success());
        operator.says("only it can vouch for key").await;

        // A journal brought back from a copy that is older than what the cluster has of it.
        ends_well(world, "two").await;
        std::fs::write(world.database(), older).unwrap();
        let operator = world.operator().await;
        assert!(!operator.ended().await.success());
        operator.says("it was restored from an older copy, cut, or written anew").await;
    })
    .await;
}
