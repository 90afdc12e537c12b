//! A namespace of a real cluster with an operator of its own.

mod bucket;
mod cluster;
mod gates;
mod inside;
mod journal;
mod model;
mod operator;
mod outcome;
mod person;
mod postgres;
mod setup;

use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use bucket::Bucket;
pub use cluster::{Cluster, OPERATOR, deadline, reeve, reeve_in, repository, run_to_end, sandbox_image};
pub use gates::{OwnAdmission, budget};
pub use journal::Rows;
pub use model::{FakeModel, Gate, Turn, call, calls, ci_written, finish, one_line_written, says, status};
pub use operator::{Operator, Start, Unflushed};
pub use outcome::{Ended, Until};
pub use person::{Person, yaml, yaml_all};
pub use postgres::Database;
pub use setup::{priced_models, signing_key};

use operator::{Log, Site};

/// Lines of each operator's log that a failed test shows.
const SHOWN_LINES: usize = 120;

/// A namespace with all that a test did in it. Speaks as the admin of the cluster.
pub struct World {
    admin: Person,
    cluster: Cluster,
    site: Site,
    logs: Mutex<Vec<Log>>,
    /// Holds kubeconfig, journal and artifacts.
    folder: TempDir,
}

impl Deref for World {
    type Target = Person;

    fn deref(&self) -> &Person {
        &self.admin
    }
}

impl World {
    /// Runs a test in a world of its own and takes the world away afterwards (unless `KEEP=1`). A failure shows what the operators said.
    pub async fn scenario(name: &str, test: impl AsyncFnOnce(&World)) {
        World::labelled_scenario(name, &[], test).await;
    }

    /// The same on a server as before Kubernetes 1.36: in a namespace in which the chart's mutating policies are not in force.
    pub async fn scenario_without_mutation(name: &str, test: impl AsyncFnOnce(&World)) {
        World::labelled_scenario(name, &[("reeve.dev/test-no-mutation", "true")], test).await;
    }

    async fn labelled_scenario(name: &str, labels: &[(&str, &str)], test: impl AsyncFnOnce(&World)) {
        World::new(name, labels, None).await.plays(test).await;
    }

    /// The same with the journal in a PostgreSQL schema of its own, which operators write as the role that may insert and select.
    pub async fn scenario_on_postgres(name: &str, test: impl AsyncFnOnce(&World)) {
        let journal = postgres::journal().await;
        World::new(name, &[], Some(journal)).await.plays(test).await;
    }

    /// The same on a server of its own, which the test may kill.
    pub async fn scenario_on_own_postgres(name: &str, test: impl AsyncFnOnce(&World, &Database)) {
        let (database, journal) = Database::with_a_journal().await;
        World::new(name, &[], Some(journal)).await.plays(async |world| test(world, &database).await).await;
    }

    async fn plays(self, test: impl AsyncFnOnce(&World)) {
        let world = self;
        let outcome = AssertUnwindSafe(Box::pin(test(&world))).catch_unwind().await;
        if outcome.is_err() {
            world.explain().await;
        }
        world.leave().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    async fn new(name: &str, labels: &[(&str, &str)], journal: Option<String>) -> World {
        let cluster = Cluster::connect().await;
        let namespace = format!("t-{name}-{}", random_name());
        let admin = Person { client: cluster.client.clone(), namespace: namespace.clone() };
        let folder = tempfile::Builder::new().prefix("reeve-test-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let site = Site { namespace, kubeconfig: at("kubeconfig"), data: at("data"), keys: at("keys"), journal };
        std::fs::create_dir(&site.data).unwrap();
        std::fs::create_dir(&site.keys).unwrap();
        std::fs::write(site.keys.join("first.pem"), setup::signing_key()).unwrap();
        setup::namespace(&admin, labels).await;
        World { admin, cluster, site, logs: Mutex::default(), folder }
    }

    async fn explain(&self) {
        for (number, log) in self.logs.lock().unwrap().iter().enumerate() {
            eprintln!("---- {}: operator {} ----\n{}", self.namespace, number + 1, log.tail(SHOWN_LINES));
        }
        eprintln!("---- {}: objects ----\n{}", self.namespace, outcome::summary(&self.admin).await);
    }

    async fn leave(self) {
        if std::env::var_os("KEEP").is_some_and(|keep| keep == "1") {
            eprintln!("kept: namespace {}, folder {}", self.namespace, self.folder.path().display());
            std::mem::forget(self.folder);
            return;
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if let Err(error) = namespaces.delete(&self.namespace, &DeleteParams::background().grace_period(0)).await {
            eprintln!("namespace {} is left behind: {error}", self.namespace);
        }
    }

    /// Name of the namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// As the admin of the cluster.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The folder of journal and artifacts.
    pub fn data(&self) -> &Path {
        &self.site.data
    }

    /// The folder of the keys that sign the journal.
    pub fn keys(&self) -> &Path {
        &self.site.keys
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The journal's file or URL.
    pub fn database(&self) -> String {
        let file = || self.site.data.join("journal.db").to_str().unwrap().to_owned();
        self.site.journal.clone().unwrap_or_else(file)
    }

    /// Another person, who may do only this here: `(group, resource, verbs)`.
    pub async fn user(&self, name: &str, rules: &[(&str, &str, &[&str])]) -> Person {
        self.grant(name, rules).await;
        let person = self.member(name, &[]).await;
        for rule in rules {
            person.wait_for_right(rule).await;
        }
        person
    }

    /// The same person signed in as a member of these groups too.
    pub async fn member(&self, name: &str, groups: &[&str]) -> Person {
        Person { client: self.cluster.impersonate(name, groups).await, namespace: self.namespace.clone() }
    }

    /// Speaks as the chart's operator, with the rights that the chart gives it here.
    pub async fn as_the_operator(&self) -> Person {
        self.member(OPERATOR, &[]).await
    }

    /// Starts an operator with the rights of the chart's.
    pub async fn operator(&self) -> Operator {
        self.operator_with(Start::default()).await
    }

    /// Starts an operator that dies by SIGKILL at this fail point: `point@n`.
    pub async fn operator_that_dies_at(&self, point: &str) -> Operator {
        self.operator_with(Start { crash_at: Some(point.to_owned()), ..Start::default() }).await
    }

    /// Starts an operator as told.
    pub async fn operator_with(&self, start: Start) -> Operator {
        self.operator_kubeconfig().await;
        let (operator, log) = Operator::start(&self.site, &start).await;
        self.logs.lock().unwrap().push(log);
        operator
    }

    /// A kubeconfig of the chart's operator: with its rights in this namespace.
    pub async fn operator_kubeconfig(&self) -> PathBuf {
        if !self.site.kubeconfig.exists() {
            std::fs::write(&self.site.kubeconfig, self.cluster.operator_kubeconfig().await).unwrap();
        }
        self.site.kubeconfig.clone()
    }

    /// A ModelProvider `model` at the simulation, and an AgentProfile `default` that asks it.
    pub async fn agents_ask(&self, model: &FakeModel) {
        self.put(&setup::provider("model", &model.url)).await;
        self.put(&setup::profile("default", &["model"])).await;
    }

    /// An AgentProfile `default` that asks these ModelProviders in order.
    pub async fn agents_ask_in_order(&self, providers: &[&str]) {
        self.put(&setup::profile("default", providers)).await;
    }

    /// A ModelProvider at this URL.
    pub async fn provider(&self, name: &str, url: &str) {
        self.put(&setup::provider(name, url)).await;
    }

    /// An AgentRun of role Coder with these fields beside or instead of the usual ones.
    pub async fn run(&self, name: &str, fields: Value) {
        self.put(&coder(name, &fields)).await;
    }

    /// A fork as `place` says, which is the value of `spec.forkOf`.
    pub async fn fork(&self, name: &str, place: &Value) {
        let spec = json!({"role": "Coder", "forkOf": place});
        self.put(&json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "AgentRun", "metadata": {"name": name}, "spec": spec})).await;
    }

    /// A Goal with these fields beside or instead of the usual ones.
    pub async fn goal(&self, name: &str, fields: Value) {
        let usual = json!({"objective": "The work is done.", "acceptance": {"commands": [{"argv": ["true"]}]}});
        self.put(&json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "Goal", "metadata": {"name": name}, "spec": merged(usual, &fields)}))
            .await;
    }
}

/// Six letters that no other test has.
pub fn random_name() -> String {
    std::iter::repeat_with(fastrand::lowercase).take(6).collect()
}

/// An AgentRun of role Coder with these fields beside or instead of the usual ones.
pub(crate) fn coder(name: &str, fields: &Value) -> Value {
    let usual = json!({"role": "Coder", "objective": "Do the work."});
    json!({"apiVersion": "reeve.dev/v1alpha1", "kind": "AgentRun", "metadata": {"name": name}, "spec": merged(usual, fields)})
}

/// A workspace of these files, each a path and its text.
pub fn workspace(files: &[(&str, &str)]) -> Value {
    let files: Vec<Value> = files.iter().map(|(path, content)| json!({"path": path, "content": content})).collect();
    json!({"inline": {"files": files}})
}

fn merged(mut base: Value, fields: &Value) -> Value {
    let all = base.as_object_mut().unwrap();
    for (name, value) in fields.as_object().expect("fields are an object") {
        all.insert(name.clone(), value.clone());
    }
    base
}
