//! Waiting for what comes, and looking at what came.

use std::fmt::Debug;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as KubeEvent, Pod};
use kube::Resource;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::runtime::wait::await_condition;
use reeve_api::{AgentRun, AgentRunPhase, Condition, Goal, GoalPhase, RunArtifact};
use reeve_core::Digest;
use reeve_core::journal::Event;
use reeve_store::Artifacts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Person, Rows, World, deadline, reeve};

/// An object that a condition holds for.
pub trait Until: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug + Send + 'static {}

impl<K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug + Send + 'static> Until for K {}

/// How a run or a goal ended.
#[derive(Clone, Debug)]
pub struct Ended<K> {
    /// Whether it reached what it was there for.
    pub succeeded: bool,
    /// Reason of condition Ready.
    pub reason: String,
    /// Message of condition Ready.
    pub message: String,
    /// The object.
    pub object: K,
}

/// Waits by watch until the condition holds; past the deadline says what was seen last.
pub(crate) async fn wait<K: Until>(person: &Person, name: &str, what: &str, condition: impl Fn(Option<&K>) -> bool) -> Option<K>
where
    K::DynamicType: Default,
{
    let api = person.api::<K>();
    let waits = await_condition(api.clone(), name, |object: Option<&K>| condition(object));
    match tokio::time::timeout(deadline(), waits).await {
        Ok(object) => object.unwrap_or_else(|error| panic!("waiting for {name}: {error}")),
        Err(_) => {
            let seen = api.get_opt(name).await;
            let seen = seen.map_or_else(|error| error.to_string(), |object| serde_json::to_string_pretty(&object).unwrap());
            panic!("{} {name}: not {what} after {:?}; it is\n{seen}", K::kind(&K::DynamicType::default()), deadline());
        }
    }
}

/// Condition Ready.
pub(crate) fn ready(conditions: &[Condition]) -> (String, String) {
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map(|ready| (ready.reason.clone(), ready.message.clone())).unwrap_or_default()
}

impl Person {
    /// Waits by watch until the object is there and the condition holds.
    pub async fn wait<K: Until>(&self, name: &str, what: &str, condition: impl Fn(&K) -> bool) -> K
    where
        K::DynamicType: Default,
    {
        wait::<K>(self, name, what, |object| object.is_some_and(&condition)).await.unwrap()
    }

    /// Waits by watch until there is no such object.
    pub async fn gone<K: Until>(&self, name: &str)
    where
        K::DynamicType: Default,
    {
        wait::<K>(self, name, "gone", |object| object.is_none()).await;
    }

    /// Has the operator look at an object now: it does not watch what objects refer to, and would come by itself within a minute.
    pub async fn look_again<K: Until>(&self, name: &str)
    where
        K::DynamicType: Default,
    {
        let touched = serde_json::json!({"metadata": {"annotations": {"reeve.dev/test-looked-at": jiff::Timestamp::now().to_string()}}});
        self.patch::<K>(name, touched).await.unwrap();
    }

    /// Waits until condition Ready of the run has this reason; gives its message.
    pub async fn run_is(&self, name: &str, reason: &str) -> String {
        let run = self
            .wait::<AgentRun>(name, reason, |run| run.status.as_ref().is_some_and(|status| ready(&status.conditions).0 == reason))
            .await;
        ready(&run.status.unwrap().conditions).1
    }

    /// Waits for the run's end.
    pub async fn run_ended(&self, name: &str) -> Ended<AgentRun> {
        let ended = |run: &AgentRun| run.status.as_ref().and_then(|status| status.phase).is_some_and(AgentRunPhase::is_final);
        let run = self.wait::<AgentRun>(name, "ended", ended).await;
        let status = run.status.clone().unwrap();
        let (reason, message) = ready(&status.conditions);
        Ended { succeeded: status.phase == Some(AgentRunPhase::Succeeded), reason, message, object: run }
    }

    /// Waits for the Goal's end.
    pub async fn goal_ended(&self, name: &str) -> Ended<Goal> {
        let ended = |goal: &Goal| goal.status.as_ref().and_then(|status| status.phase).is_some_and(GoalPhase::is_final);
        let goal = self.wait::<Goal>(name, "ended", ended).await;
        let status = goal.status.clone().unwrap();
        let (reason, message) = ready(&status.conditions);
        Ended { succeeded: status.phase == Some(GoalPhase::Succeeded), reason, message, object: goal }
    }

    /// Waits for the Goal's end, which must be a good one.
    pub async fn reached(&self, name: &str) -> Goal {
        let ended = self.goal_ended(name).await;
        assert!(ended.succeeded, "goal {name} ended {}: {}", ended.reason, ended.message);
        ended.object
    }
}

impl World {
    /// Waits for the run's end, which must be a good one.
    pub async fn succeeded(&self, name: &str) -> AgentRun {
        let ended = self.run_ended(name).await;
        assert!(ended.succeeded, "run {name} ended {}: {}\n{}", ended.reason, ended.message, self.journal(name).await);
        ended.object
    }

    /// Waits for the run's end, which must have this reason; gives the message.
    pub async fn failed(&self, name: &str, reason: &str) -> String {
        let ended = self.run_ended(name).await;
        assert!(
            !ended.succeeded && ended.reason == reason,
            "run {name} ended {} instead of {reason}: {}\n{}",
            ended.reason,
            ended.message,
            self.journal(name).await
        );
        ended.message
    }

    /// UID of a run.
    pub async fn uid(&self, run: &str) -> String {
        self.api::<AgentRun>().get(run).await.unwrap().metadata.uid.unwrap()
    }

    /// The run's rows.
    pub async fn journal(&self, run: &str) -> Rows {
        let uid = self.uid(run).await;
        self.rows_of(&uid).await
    }

    /// The rows of a stream.
    pub(crate) async fn rows_of(&self, stream: &str) -> Rows {
        let export = reeve(["journal", "export", "--database", &self.database()]).await;
        assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
        Rows::of(&String::from_utf8(export.stdout).unwrap(), stream)
    }

    /// `reeve journal verify`, which must find nothing; gives what it says.
    pub async fn verify(&self) -> String {
        let verified = reeve(["journal", "verify", "--database", &self.database()]).await;
        let said = format!("{}{}", String::from_utf8_lossy(&verified.stdout), String::from_utf8_lossy(&verified.stderr));
        assert!(verified.status.success(), "the journal does not verify: {said}");
        said
    }

    /// An artifact's text, by its name in a status.
    pub async fn artifact(&self, artifacts: &[RunArtifact], name: &str) -> String {
        let digest: Digest = artifacts
            .iter()
            .find(|artifact| artifact.name == name)
            .unwrap_or_else(|| panic!("no {name} in {artifacts:?}"))
            .digest
            .parse()
            .unwrap();
        let store = Artifacts::open_read_only(&self.data().join("artifacts")).unwrap();
        String::from_utf8(store.get(&digest).await.unwrap()).unwrap()
    }

    /// What the run changed, as `git diff` from what it began with.
    pub async fn patch_of(&self, run: &AgentRun) -> String {
        let checkpoint = run.status.as_ref().and_then(|status| status.checkpoint.clone()).expect("a run that finished has a checkpoint");
        self.artifact(&checkpoint.artifacts, "patch").await
    }

    /// All Jobs of the namespace.
    pub async fn jobs(&self) -> Vec<Job> {
        self.api::<Job>().list(&ListParams::default()).await.unwrap().items
    }

    /// All Pods of the namespace.
    pub async fn pods(&self) -> Vec<Pod> {
        self.api::<Pod>().list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until the Pod of the run's sandbox has ended or is gone.
    pub async fn sandbox_ended(&self, rows: &Rows) {
        let ready = rows.events().into_iter().find_map(|event| if let Event::SandboxReady(ready) = event { Some(ready) } else { None });
        let pod = ready.unwrap_or_else(|| panic!("the run had no sandbox\n{rows}")).pod;
        let ended = |pod: Option<&Pod>| {
            pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref()).is_none_or(|phase| phase == "Succeeded" || phase == "Failed")
        };
        wait::<Pod>(self, &pod, "ended", ended).await;
    }

    /// The Pod of the only run of the namespace.
    pub async fn pod(&self) -> Pod {
        let pods = self.pods().await;
        let [pod] = pods.as_slice() else { panic!("there are {} Pods", pods.len()) };
        pod.clone()
    }
}

/// What a failed test shows of its namespace.
pub(crate) async fn summary(person: &Person) -> String {
    let mut lines = Vec::new();
    let all = ListParams::default();
    for run in person.api::<AgentRun>().list(&all).await.map(|list| list.items).unwrap_or_default() {
        let status = run.status.unwrap_or_default();
        lines.push(format!("AgentRun {:?} {:?} {:?}", run.metadata.name, status.phase, ready(&status.conditions)));
    }
    for goal in person.api::<Goal>().list(&all).await.map(|list| list.items).unwrap_or_default() {
        let status = goal.status.unwrap_or_default();
        lines.push(format!("Goal {:?} {:?} {:?}", goal.metadata.name, status.phase, ready(&status.conditions)));
    }
    for pod in person.api::<Pod>().list(&all).await.map(|list| list.items).unwrap_or_default() {
        let status = pod.status.unwrap_or_default();
        let states: Vec<String> = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .flatten()
            .map(|container| format!("{}: {}", container.name, serde_json::to_string(&container.state).unwrap_or_default()))
            .collect();
        lines.push(format!("Pod {:?} {:?} {:?} {}", pod.metadata.name, status.phase, status.reason, states.join("; ")));
    }
    for event in person.api::<KubeEvent>().list(&all).await.map(|list| list.items).unwrap_or_default() {
        if event.type_.as_deref() == Some("Warning") {
            lines.push(format!("Event {:?} {:?}: {}", event.involved_object.name, event.reason, event.message.unwrap_or_default()));
        }
    }
    lines.join("\n")
}
