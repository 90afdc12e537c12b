//! One round: runs that go on, an operator that is killed, and what is found afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use reeve_api::{AgentRun, AgentRunPhase, RiskBudget};
use reeve_core::journal::{Observation, ToolEnded};
use reeve_tests::{FakeModel, Rows, Turn, World, call, calls, deadline, finish, reeve};
use serde_json::{Value, json};

/// Runs that are under way at any time: a kill hits them at different places.
const AT_ONCE: usize = 3;
/// Lines that each run adds to a file. A line that stands there twice was added twice.
const LINES: [&str; 6] = ["one", "two", "three", "four", "five", "six"];
/// Calls of a run that its sandbox carries out: the lines and the commit.
const CALLS: usize = LINES.len() + 1;
/// Checkpoints that a run takes, each of another step: after its commit, and at its end.
const CHECKPOINTS: usize = 2;
/// Answers that a run needs.
const ANSWERS: usize = 5;

/// Between two looks for what no status tells.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// When the operators of a round are killed, each counted from its own start.
pub(crate) struct Killings {
    pub(crate) waits: Vec<Duration>,
}

/// What a round came to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    kills: usize,
    /// Of them, of an operator that led.
    leading: usize,
    runs: usize,
    calls: usize,
    rows: usize,
    /// Answers that were asked for again: a crash may pay twice for one, and says so in the journal.
    asked_again: usize,
    pub(crate) lost: usize,
    pub(crate) repeated: usize,
    pub(crate) verified: usize,
    rounds: usize,
    /// What is not as it has to be, for a person.
    pub(crate) wrong: Vec<String>,
}

impl Found {
    pub(crate) const HEADER: &str = "round  kills  leading  runs  calls  rows  asked again  lost  repeated  verified";

    pub(crate) fn line(&self, name: &str) -> String {
        format!(
            "{name:>5}  {:>5}  {:>7}  {:>4}  {:>5}  {:>4}  {:>11}  {:>4}  {:>8}  {:>8}",
            self.kills,
            self.leading,
            self.runs,
            self.calls,
            self.rows,
            self.asked_again,
            self.lost,
            self.repeated,
            format!("{}/{}", self.verified, self.rounds.max(1)),
        )
    }

    pub(crate) fn add(&mut self, other: Found) {
        self.kills += other.kills;
        self.leading += other.leading;
        self.runs += other.runs;
        self.calls += other.calls;
        self.rows += other.rows;
        self.asked_again += other.asked_again;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.verified += other.verified;
        self.rounds += other.rounds.max(1);
        self.wrong.extend(other.wrong);
    }

    pub(crate) fn holds(&self) -> bool {
        self.wrong.is_empty() && self.lost == 0 && self.repeated == 0 && self.verified == self.rounds
    }

    fn lost(&mut self, what: String) {
        self.lost += 1;
        self.wrong.push(format!("lost: {what}"));
    }

    fn repeated(&mut self, what: String) {
        self.repeated += 1;
        self.wrong.push(format!("repeated: {what}"));
    }

    /// A thing that has to be there once.
    fn once(&mut self, count: usize, what: &str) {
        match count {
            0 => self.lost(format!("no {what}")),
            1 => {}
            more => self.repeated(format!("{more} times {what}")),
        }
    }
}

/// A tool call that leaves a trace, and goes on for a while after it: a kill finds it under way.
fn adds(line: &str) -> (&'static str, Value) {
    let script = format!("import time\nopen('lines.txt', 'a').write({line:?} + '\\n')\ntime.sleep(0.2)");
    ("shell.run", json!({"argv": ["python3", "-c", script]}))
}

fn turns() -> Vec<Turn> {
    vec![
        calls([adds(LINES[0])]),
        calls([adds(LINES[1]), adds(LINES[2])]),
        calls([adds(LINES[3]), adds(LINES[4]), adds(LINES[5])]),
        call("git.commit", json!({"message": "Six lines"})),
        finish("Six lines are there."),
    ]
}

impl Killings {
    pub(crate) async fn play(self, world: &World) -> Found {
        let mut found = Found { rounds: 1, ..Found::default() };
        let model = FakeModel::playing(turns()).await;
        world.agents_ask(&model).await;
        // A budget binds the runs that begin while it is in force.
        let operator = world.operator().await;
        world.budget("default", json!({"toolCalls": 100_000})).await;
        operator.kill9().await;
        let mut before = String::new();
        for wait in self.waits {
            let operator = world.operator().await;
            keep_busy(world, &mut found.runs).await;
            operator.killed_after(wait).await;
            found.kills += 1;
            found.leading += usize::from(operator.has_said("leading"));
            before = grown(world, before, &mut found).await;
        }
        let operator = world.operator().await;
        for number in 1..=found.runs {
            let ended = world.run_ended(&name(number)).await;
            if !ended.succeeded {
                found.lost(format!("{} ended {}: {}", name(number), ended.reason, ended.message));
            }
        }
        let calls = i64::try_from(found.runs * CALLS).unwrap();
        let settled = |budget: &RiskBudget| {
            let balance = budget.status.as_ref().and_then(|status| status.tool_calls.as_ref());
            balance.is_some_and(|balance| balance.reserved == 0 && balance.used == calls)
        };
        world.wait::<RiskBudget>("default", &format!("charged with {calls} tool calls, each once"), settled).await;
        root_is_posted(world).await;
        assert!(operator.stop().await.success(), "the last operator ends well");
        before = grown(world, before, &mut found).await;
        found.rows = before.lines().count();
        found.asked_again = model.requests().saturating_sub(found.runs * ANSWERS);
        for number in 1..=found.runs {
            look_at(world, &name(number), &before, &mut found).await;
        }
        one_job_each(world, &mut found).await;
        verify(world, &mut found).await;
        if found.verified == 0 {
            found.wrong.push(format!("what the last operator said:\n{}", operator.said()));
        }
        found
    }
}

fn name(number: usize) -> String {
    format!("run-{number}")
}

/// Applies runs until so many are under way.
async fn keep_busy(world: &World, runs: &mut usize) {
    let all = world.api::<AgentRun>().list(&ListParams::default()).await.unwrap().items;
    let is_final = |run: &&AgentRun| run.status.as_ref().and_then(|status| status.phase).is_some_and(AgentRunPhase::is_final);
    let open = all.len() - all.iter().filter(is_final).count();
    for _ in open..AT_ONCE {
        *runs += 1;
        world.run(&name(*runs), json!({})).await;
    }
}

/// The journal's export, which has to begin with what it was before: a row that was there is there for ever, and the same.
async fn grown(world: &World, before: String, found: &mut Found) -> String {
    let export = reeve(["journal", "export", "--database", &world.database()]).await;
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    let export = String::from_utf8(export.stdout).unwrap();
    if !export.starts_with(&before) {
        found.lost(format!("rows that were there before a kill, of {}", before.lines().count()));
    }
    export
}

/// What one run left: its rows, and the file that its calls wrote.
async fn look_at(world: &World, run: &str, export: &str, found: &mut Found) {
    let object = world.api::<AgentRun>().get(run).await.unwrap();
    let rows = Rows::of(export, object.metadata.uid.as_deref().unwrap());
    for kind in ["run.started", "sandbox.requested", "sandbox.ready", "workspace.loaded", "run.finished"] {
        found.once(rows.count(kind), &format!("{kind} of {run}"));
    }
    let checkpoints = rows.checkpoints();
    if checkpoints.len() < CHECKPOINTS {
        found.lost(format!("{run} has {} of {CHECKPOINTS} checkpoints", checkpoints.len()));
    }
    if checkpoints.len() > CHECKPOINTS {
        found.repeated(format!("{run} has {} checkpoints, and {CHECKPOINTS} are due", checkpoints.len()));
    }
    for step in checkpoints.iter().collect::<BTreeSet<_>>() {
        found.once(checkpoints.iter().filter(|other| *other == step).count(), &format!("checkpoint of step {step} of {run}"));
    }
    let mut results: BTreeMap<String, Vec<ToolEnded>> = BTreeMap::new();
    for ended in rows.results() {
        results.entry(ended.key.clone()).or_default().push(ended);
    }
    found.calls += results.len();
    if results.len() < CALLS {
        found.lost(format!("{run} has {} of {CALLS} results", results.len()));
    }
    for (key, ended) in results {
        found.once(ended.len(), &format!("result of call {key} of {run}"));
        if !ended.iter().all(|ended| matches!(ended.observation, Observation::Ran { exit_code: None | Some(0), .. })) {
            found.lost(format!("the outcome of call {key} of {run}: {ended:?}"));
        }
    }
    if !rows.epochs().is_sorted() {
        found.wrong.push(format!("the epochs of {run} fall: {:?}", rows.epochs()));
    }
    if object.status.as_ref().is_some_and(|status| status.checkpoint.is_some()) {
        let patch = world.patch_of(&object).await;
        for line in LINES {
            found.once(patch.lines().filter(|added| *added == format!("+{line}")).count(), &format!("line {line:?} of {run}"));
        }
    } else {
        found.lost(format!("{run} has no checkpoint"));
    }
}

/// Waits until a root is posted. Those that were killed within seconds of their start never came to it, and who is asked to end has three seconds.
async fn root_is_posted(world: &World) {
    let posted = async {
        let mut looks = tokio::time::interval(LOOK_AGAIN);
        while maps(world).await.is_empty() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(deadline(), posted).await.expect("a root is posted");
}

async fn maps(world: &World) -> Vec<ConfigMap> {
    world.api::<ConfigMap>().list(&ListParams::default().labels("reeve.dev/journal-anchors")).await.unwrap().items
}

/// No run had a second sandbox.
async fn one_job_each(world: &World, found: &mut Found) {
    let mut owners = BTreeSet::new();
    for job in world.jobs().await {
        let owner = job.metadata.owner_references.unwrap_or_default().into_iter().map(|owner| owner.name).collect::<String>();
        if !owners.insert(owner.clone()) {
            found.repeated(format!("a second Job of {owner}"));
        }
    }
}

/// With the public key, the heads in each AgentRun's status and the roots in the ConfigMaps.
async fn verify(world: &World, found: &mut Found) {
    let save = |name: &str, text: String| {
        let path = world.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let list = |items: Value| json!({"kind": "List", "items": items}).to_string();
    let keys = world.keys().to_str().unwrap().to_owned();
    let key = reeve(["journal", "public-key", "--journal-key-dir", &keys]).await;
    let key = save("reeve.pub", String::from_utf8(key.stdout).unwrap());
    let runs = world.api::<AgentRun>().list(&ListParams::default()).await.unwrap().items;
    let runs = save("runs.json", list(serde_json::to_value(runs).unwrap()));
    let roots = save("roots.json", list(serde_json::to_value(maps(world).await).unwrap()));
    let database = world.database();
    let arguments = ["journal", "verify", "--database", &database, "--public-key", &key, "--status", &runs, "--anchor", &roots];
    let verified = reeve(arguments).await;
    if verified.status.success() {
        found.verified += 1;
    } else {
        let (out, error) = (String::from_utf8_lossy(&verified.stdout), String::from_utf8_lossy(&verified.stderr));
        found.wrong.push(format!("the journal does not verify: {out}{error}"));
    }
}
