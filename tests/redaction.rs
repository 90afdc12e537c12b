//! What must never be seen is not: canaries are planted in every Secret that an operator is given, everything that could tell them on does so,
//! and then everything that it wrote is searched for them, in each form that programs write a value in.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event as KubeEvent, Pod};
use kube::api::ListParams;
use reeve_api::{AgentProfile, AgentRun, Approval, Goal, KillSwitch, ModelProvider, RiskBudget};
use reeve_core::journal::Event;
use reeve_tests::{
    FakeModel, Operator, Start, Turn, Until, World, call, calls, finish, priced_models, random_name, reeve, sandbox_image, says, status,
    workspace,
};
use serde_json::{Value, json};

/// A value, and the forms in which it could be written.
struct Canary(&'static str, String);

impl Canary {
    /// With characters that JSON, URLs and base64 each write in their own way.
    fn planted(what: &'static str) -> Canary {
        Canary(what, format!("canary+{}~\"{}>>?=", random_name(), what.replace(' ', "-")))
    }

    fn forms(&self) -> Vec<String> {
        let value = &self.1;
        let percent = |byte: u8| {
            let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        };
        let percent: String = value.bytes().map(percent).collect();
        let json = serde_json::to_string(value).unwrap();
        let mut forms = vec![
            value.clone(),
            json[1..json.len() - 1].to_owned(),
            percent.to_lowercase(),
            percent,
            value.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ];
        // Alone, behind `KEY=` and as a password behind a name: the whole groups of three that nothing else is in.
        for (before, group) in [("", 0), ("KEY=", 8), ("user:", 8)] {
            for encoded in [STANDARD.encode(format!("{before}{value}")), URL_SAFE.encode(format!("{before}{value}"))] {
                forms.push(encoded[group..encoded.len() - 4].to_owned());
            }
        }
        forms
    }

    /// The form in which the text has it.
    fn is_in(&self, text: &str) -> Option<String> {
        self.forms().into_iter().find(|form| text.contains(form.as_str()))
    }
}

/// Everything that was written, by what it is.
struct Seen(Vec<(String, String)>);

impl Seen {
    fn add(&mut self, what: impl Into<String>, bytes: impl AsRef<[u8]>) {
        self.0.push((what.into(), String::from_utf8_lossy(bytes.as_ref()).into_owned()));
    }

    fn hold_none_of(&self, canaries: &[&Canary]) {
        let mut found = Vec::new();
        for (what, text) in &self.0 {
            found.extend(canaries.iter().filter_map(|canary| {
                let form = canary.is_in(text)?;
                let at = text.find(&form)?;
                let start = text.floor_char_boundary(at.saturating_sub(120));
                Some(format!("{what} shows the {} as {form:?}: …{}", canary.0, &text[start..at]))
            }));
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    fn text(&self, what: &str) -> &str {
        self.0.iter().find(|(name, _)| name == what).map(|(_, text)| text.as_str()).unwrap_or_default()
    }
}

/// What the operator wrote of this kind: all of it where it makes the objects, else their status. (The specs are what the test wrote.)
async fn objects<K: Until>(world: &World, seen: &mut Seen, whole: bool)
where
    K::DynamicType: Default,
{
    for object in world.api::<K>().list(&ListParams::default()).await.unwrap().items {
        let value = serde_json::to_value(&object).unwrap();
        let shown = if whole { value.clone() } else { value["status"].clone() };
        seen.add(format!("{} {}", K::kind(&K::DynamicType::default()), value["metadata"]["name"]), shown.to_string());
    }
}

fn files(seen: &mut Seen, folder: &Path, skip: &[String]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{}{}", path.parent().unwrap().file_name().unwrap().display(), path.file_name().unwrap().display());
        if path.is_dir() {
            files(seen, &path, skip);
        } else if !skip.contains(&name) {
            seen.add(format!("file {}", path.display()), std::fs::read(&path).unwrap());
        }
    }
}

fn provider(name: &str, url: &str) -> Value {
    json!({
        "apiVersion": "reeve.dev/v1alpha1", "kind": "ModelProvider", "metadata": {"name": name},
        "spec": {"kind": "openai-chat", "baseURL": url, "secretRef": {"name": name, "key": "key"}, "models": priced_models()},
    })
}

/// Answers that tell the key on in every field that a model writes, and have tools print it.
fn tells_all(key: &str, other: &str, signing: &str) -> Vec<Turn> {
    let echo = json!({"error": {"message": format!("bad header Bearer {key}"), "type": key, "code": STANDARD.encode(key)}}).to_string();
    let printing = calls([
        ("fs.read", json!({"path": "config.env"})),
        ("shell.run", json!({"argv": ["base64", "-w0", "config.env"]})),
        ("shell.run", json!({"argv": ["cat", "large.txt"]})),
        ("fs.read", json!({"path": format!("{key}.txt")})),
        ("fs.read", json!({key: "config.env"})),
        ("fs.write", json!({"path": "leak.txt", "content": key})),
        ("fs.write", json!({"path": "other.txt", "content": format!("{} {other} {signing}", STANDARD.encode(key))})),
        ("fs.read", json!(format!("{{\"path\": \"{key}"))),
    ]);
    vec![
        status(500, &echo).then(printing),
        says(&format!("The key is {key}, or {}; the other is {other}.", STANDARD.encode(format!("user:{key}")))),
        // A body that is kept beside the journal.
        call("fs.write", json!({"path": "kept.txt", "content": format!("{}{key}", "all work and no play\n".repeat(15_000))})),
        call("fs.write", json!({"path": "good.txt", "content": "good\n"})),
        call("git.commit", json!({"message": format!("Add {key}")})),
        call("git.commit", json!({"message": "Add a file"})),
        finish(&format!("Done with {key}.")),
    ]
}

async fn collect(world: &World, operators: &[&Operator], workspaces: &[String]) -> Seen {
    let mut seen = Seen(Vec::new());
    for (number, operator) in operators.iter().enumerate() {
        seen.add(format!("log of operator {}", number + 1), operator.said());
    }
    objects::<AgentRun>(world, &mut seen, false).await;
    objects::<ModelProvider>(world, &mut seen, false).await;
    objects::<AgentProfile>(world, &mut seen, false).await;
    objects::<RiskBudget>(world, &mut seen, false).await;
    objects::<KillSwitch>(world, &mut seen, false).await;
    objects::<Goal>(world, &mut seen, false).await;
    objects::<Approval>(world, &mut seen, true).await;
    objects::<Job>(world, &mut seen, true).await;
    objects::<Pod>(world, &mut seen, true).await;
    objects::<KubeEvent>(world, &mut seen, true).await;
    objects::<ConfigMap>(world, &mut seen, true).await;
    let database = world.database();
    for (what, arguments) in [
        ("export", ["journal", "export", "--database", &database]),
        ("timeline", ["journal", "show", "--database", &database]),
        ("check", ["journal", "verify", "--database", &database]),
    ] {
        let output = reeve(arguments).await;
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
        seen.add(what, [output.stdout, output.stderr].concat());
    }
    files(&mut seen, world.data(), workspaces);
    seen
}

#[tokio::test]
async fn no_secret_that_an_operator_was_given_is_in_anything_that_it_writes() {
    World::scenario("canaries", async |world| {
        let [key, refused, elsewhere, witness] = ["key", "refused key", "key for another host", "witness"].map(Canary::planted);
        let pem = std::fs::read_to_string(world.keys().join("first.pem")).unwrap();
        let signing = Canary("signing key", pem.lines().nth(1).unwrap().to_owned());
        let model = FakeModel::lanes([
            ("tell all", tells_all(&key.1, &elsewhere.1, &signing.1)),
            ("be refused", vec![status(401, &json!({"error": {"message": format!("Incorrect key {}", refused.1)}}).to_string())]),
        ])
        .await;
        for (name, value, host) in
            [("told", &key.1, model.host()), ("refused", &refused.1, model.host()), ("elsewhere", &elsewhere.1, "other.example")]
        {
            world.secret(name, Some(host), json!({"key": value})).await;
            world.put(&provider(name, &model.url)).await;
        }
        let log = "debug".to_owned();
        let url = format!("http://user:{0}@127.0.0.1:9/hooks/{0}?token={0}", witness.1.replace(['"', '>', '?', '~', '+', '='], "-"));
        let witness = Canary("witness", witness.1.replace(['"', '>', '?', '~', '+', '='], "-"));
        let start = |crash_at: Option<&str>| Start {
            crash_at: crash_at.map(str::to_owned),
            log: Some(log.clone()),
            witness: Some(url.clone()),
            ..Start::default()
        };

        world.agents_ask_in_order(&["told"]).await;
        // Dies with what the first tool printed in hand: the next operator writes it before it asks any model.
        let first = world.operator_with(start(Some("journal.tool.result.before@1"))).await;
        let large = format!("{}{}\n", "a line like any other\n".repeat(1_500), key.1);
        let files = [("config.env", format!("KEY={}\nOTHER={}\n", key.1, elsewhere.1)), ("large.txt", large)];
        let inline: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let objective = format!("tell all: {}", key.1);
        world.run("tells", json!({"objective": objective, "workspace": workspace(&inline)})).await;
        first.killed().await;
        let second = world.operator_with(start(None)).await;
        world.succeeded("tells").await;

        let route = json!([{"providerRef": {"name": "refused"}, "model": "any"}]);
        world
            .put(&json!({
                "apiVersion": "reeve.dev/v1alpha1", "kind": "AgentProfile", "metadata": {"name": "refused"},
                "spec": {"routes": {"planner": route, "coder": route}, "sandbox": {"image": sandbox_image()}},
            }))
            .await;
        world.run("refused", json!({"objective": "be refused", "profileRef": {"name": "refused"}})).await;
        world.failed("refused", "ModelFailed").await;
        world
            .wait::<ModelProvider>("elsewhere", "refused", |provider| {
                provider.status.as_ref().is_some_and(|status| status.conditions.iter().any(|one| one.reason == "SecretNotForHost"))
            })
            .await;
        second.says("could not be anchored").await;
        let mut served = Vec::new();
        for path in ["/metrics", "/readyz", "/healthz"] {
            served.push((path, second.serves(path).await));
        }
        assert!(second.stop().await.success());

        let rows = world.journal("tells").await;
        let first_row = rows.0[0].event().unwrap();
        let Event::RunStarted(started) = first_row else { panic!("{first_row:?}") };
        let workspaces = [started.spec.workspace.digest.hex()];
        assert!(rows.0.iter().any(|row| row.kept().unwrap().is_some()), "a body was kept beside the journal\n{rows}");
        let mut seen = collect(world, &[&first, &second], &workspaces).await;
        for (path, answer) in served {
            seen.add(path, answer);
        }
        for (number, asked) in model.asked().into_iter().enumerate() {
            seen.add(format!("request {number} to the model"), asked.to_string());
        }
        let archive = world.folder().join("archive.jsonl");
        let run = format!("{}/tells", world.namespace());
        let archived =
            reeve(["journal", "archive", "--database", &world.database(), "--run", &run, "--to", archive.to_str().unwrap()]).await;
        assert!(archived.status.success(), "{}", String::from_utf8_lossy(&archived.stderr));
        seen.add("archive", std::fs::read(&archive).unwrap());

        seen.hold_none_of(&[&key, &refused, &elsewhere, &witness, &signing]);
        // What was searched is what was to be searched: the masks are there.
        assert!(seen.text("log of operator 2").contains("could not be anchored"));
        for what in ["export", "archive", "AgentRun \"tells\"", "AgentRun \"refused\""] {
            assert!(seen.text(what).contains("[redacted]"), "{what}: {}", seen.text(what));
        }
        let authorizations = model.authorizations();
        assert!(authorizations.iter().flatten().any(|header| header.ends_with(&key.1)), "the key reached the door that it is for");
    })
    .await;
}

/// A planner that tells the key on in its plan, a coder of that plan, and an acceptance that prints it, once on its way to fail.
#[tokio::test]
async fn what_a_plan_tells_on_is_in_no_task_no_approval_and_no_fork() {
    World::scenario("canary-goal", async |world| {
        let key = Canary::planted("key");
        let leak = json!([{"name": "leak", "description": format!("Use {}, or {}.", key.1, STANDARD.encode(&key.1))}]);
        let model = FakeModel::lanes([
            (
                "Task leak",
                vec![
                    call("fs.write", json!({"path": "good.txt", "content": "good\n"})),
                    call("git.commit", json!({"message": "Add a file"})),
                    finish(&format!("Done with {}.", key.1)).then(finish(&format!("Done otherwise with {}.", key.1))),
                ],
            ),
            ("", vec![call("finish", json!({"summary": format!("With {}.", key.1), "tasks": leak}))]),
        ])
        .await;
        world.secret("told", Some(model.host()), json!({"key": key.1})).await;
        world.put(&provider("told", &model.url)).await;
        world.agents_ask_in_order(&["told"]).await;
        let operator = world.operator_with(Start { log: Some("debug".to_owned()), ..Start::default() }).await;
        let config = format!("KEY={}\n", key.1);
        let goal = |shell: &str| {
            json!({
                "objective": "Tell all.",
                "workspace": workspace(&[("config.env", &config)]),
                "acceptance": {"commands": [{"argv": ["sh", "-c", shell]}]},
            })
        };
        world.goal("told", goal("cat config.env && base64 config.env >&2")).await;
        world.merged("told").await;
        world.goal("fails", goal("cat config.env >&2; exit 3")).await;
        let ended = world.goal_ended("fails").await;
        assert_eq!(ended.reason, "AcceptanceFailed", "{}", ended.message);

        let parent = world.journal("told-task-leak").await;
        world.fork("fork", &parent.place("told-task-leak", parent.seq_of("checkpoint"))).await;
        world.succeeded("fork").await;
        assert!(operator.stop().await.success());

        let rows = world.journal("told-planner").await;
        let Event::RunStarted(started) = rows.events()[0].clone() else { panic!("{rows}") };
        let mut seen = collect(world, &[&operator], &[started.spec.workspace.digest.hex()]).await;
        for mut run in world.api::<AgentRun>().list(&ListParams::default()).await.unwrap().items {
            // The files are the test's own.
            run.spec.workspace = None;
            seen.add(format!("spec of {}", run.metadata.name.as_deref().unwrap_or_default()), serde_json::to_string(&run.spec).unwrap());
        }
        seen.hold_none_of(&[&key]);
        for what in ["export", "spec of told-task-leak"] {
            assert!(seen.text(what).contains("[redacted]"), "{what}: {}", seen.text(what));
        }
    })
    .await;
}
