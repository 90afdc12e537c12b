//! Artifacts in S3: what the operator keeps there, it and everybody else reads back.

use std::process::Output;

use reeve_api::PolicySet;
use reeve_core::Digest;
use reeve_core::journal::Row;
use reeve_tests::{Bucket, FakeModel, Start, World, call, finish, one_line_written, reeve_in};
use serde_json::json;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn in_bucket(bucket: &Bucket) -> Start {
    Start { environment: bucket.environment_of_an_operator(), ..Start::default() }
}

fn name_of(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}/{}", &hex[..2], &hex[2..])
}

#[tokio::test]
async fn what_was_kept_in_a_bucket_outlives_the_operator_and_is_forked_replayed_and_verified() {
    World::scenario("bucket", async |world| {
        let bucket = Bucket::start().await;
        let content = "all work and no play\n".repeat(15_000);
        let model = FakeModel::playing([
            call("fs.write", json!({"path": "large.txt", "content": content})),
            call("git.commit", json!({"message": "Large"})),
            finish("It is there.").then(finish("It is still there.")),
        ])
        .await;
        world.agents_ask(&model).await;
        // Dies when the answer is in the bucket and no row names it yet, and then when a row has just named what is there.
        let first = world.operator_with(Start { crash_at: Some("journal.model.response.kept@1".to_owned()), ..in_bucket(&bucket) }).await;
        world.run("large", json!({})).await;
        first.killed().await;
        let second = world.operator_with(Start { crash_at: Some("journal.tool.requested.after@1".to_owned()), ..in_bucket(&bucket) }).await;
        second.killed().await;
        let third = world.operator_with(in_bucket(&bucket)).await;
        world.succeeded("large").await;
        third.kill9().await;

        // Another operator goes on from what they left: the fork's workspace comes out of the bucket.
        let fourth = world.operator_with(in_bucket(&bucket)).await;
        let rows = world.journal("large").await;
        world.fork("fork", &rows.place("large", rows.seq_of("checkpoint"))).await;
        world.succeeded("fork").await;
        assert!(fourth.stop().await.success());
        assert!(!fourth.has_said(bucket.secret()));
        assert!(!world.data().join("artifacts").exists(), "nothing went into a folder");

        let database = world.database();
        let (url, environment) = (bucket.url(), bucket.environment());
        let verify = ["journal", "verify", "--database", &database, "--artifacts", &url];
        let verified = reeve_in(&environment, verify).await;
        assert!(verified.status.success() && said(&verified).contains("each is there, and what its row names"), "{}", said(&verified));
        let replay = ["journal", "replay", "--all", "--database", &database, "--artifacts", &url];
        let replayed = reeve_in(&environment, replay).await;
        assert!(replayed.status.success() && said(&replayed).contains("same"), "{}", said(&replayed));
        let policy = reeve_tests::repository().join("policies/default.cedar");
        let what_if = ["journal", "what-if", "--policy", policy.to_str().unwrap(), "--all", "--database", &database];
        let judged = reeve_in(&bucket.environment_of_an_operator(), what_if).await;
        assert!(judged.status.success() && said(&judged).contains("0 would change"), "{}", said(&judged));

        // A month later what rows name is still there, and only that.
        bucket.ages(30);
        let collected = reeve_in(&environment, ["artifacts", "gc", "--database", &database, "--artifacts", &url]).await;
        assert!(collected.status.success(), "{}", said(&collected));
        for output in [reeve_in(&environment, verify).await, reeve_in(&environment, replay).await] {
            assert!(output.status.success(), "{}", said(&output));
        }
        assert!(!bucket.keys().iter().any(|key| key.starts_with("doomed/")), "{:?}", bucket.keys());

        let kept: Vec<&Row> = rows.0.iter().filter(|row| row.kept().unwrap().is_some()).collect();
        bucket.loses(&name_of(&kept[0].kept().unwrap().unwrap().digest));
        let lost = reeve_in(&environment, verify).await;
        let row = format!("row {} (model.response) names a body", kept[0].gseq);
        assert!(lost.status.code() == Some(1) && said(&lost).contains(&row), "{}", said(&lost));
    })
    .await;
}

#[tokio::test]
async fn a_bucket_that_refuses_writes_holds_a_run_up_and_says_why() {
    World::scenario("refused", async |world| {
        let bucket = Bucket::start().await;
        let model = FakeModel::playing(one_line_written()).await;
        world.agents_ask(&model).await;

        let mut wrong = in_bucket(&bucket);
        wrong.environment.push(("AWS_SECRET_ACCESS_KEY".to_owned(), "another-secret".to_owned()));
        let refused = world.operator_with(wrong).await;
        refused.says("403 SignatureDoesNotMatch").await;
        assert!(!refused.ended().await.success());

        let operator = world.operator_with(in_bucket(&bucket)).await;
        // What is in force is kept there too: an operator that cannot keep it does not begin.
        let in_force = |set: &PolicySet| set.status.as_ref().is_some_and(|status| status.active_digest.is_some());
        world.wait::<PolicySet>("default", "in force", in_force).await;
        bucket.refuses_writes();
        world.run("held-up", json!({})).await;
        world.run_is("held-up", "ArtifactUnwritable").await;
        bucket.works();
        world.succeeded("held-up").await;
        assert!(operator.stop().await.success());
        for operator in [&refused, &operator] {
            assert!(!operator.has_said(bucket.secret()) && !operator.has_said("another-secret"));
        }
    })
    .await;
}
