//! The simulator's API server is held to the real one: the same random sequences of requests go to both, and codes and bodies must agree.
//!
//! `REEVE_SIMULATOR_SEED=n` tries other sequences, `REEVE_SIMULATOR_CASES=n` more or fewer of them. A failure prints the shortest sequence
//! that shows the difference.

mod normal;
mod requests;
mod sides;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::core::ObjectMeta;
use kube::runtime::wait::await_condition;
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use reeve_tests::{Cluster, deadline, random_name};
use tokio::runtime::Handle;

use requests::{Step, step};
use sides::{JUDGED, LABEL, Model, ROOT_CA, Real, Simulated};

/// As many namespaces are worked in at once: the cluster answers several requests in the time of one.
const WORKERS: u32 = 8;
const CASES: u32 = 200;
const STEPS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulated_server_answers_as_the_real_one_does() {
    let cluster = Cluster::connect().await;
    let model = Arc::new(Model::of(&cluster.client).await);
    let (seed, cases) = (number("REEVE_SIMULATOR_SEED", 1), number("REEVE_SIMULATOR_CASES", CASES.into()));
    let workers = (0..WORKERS).map(|worker| {
        let (cluster, model, handle) = (cluster.clone(), Arc::clone(&model), Handle::current());
        let cases = u32::try_from(cases).unwrap() / WORKERS + u32::from(u64::from(worker) < cases % u64::from(WORKERS));
        tokio::task::spawn_blocking(move || work(&handle, &cluster, &model, seed * u64::from(WORKERS) + u64::from(worker), cases))
    });
    let mut failed = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        failed.extend(worker.await.unwrap().err());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Runs sequences in a namespace of its own.
fn work(handle: &Handle, cluster: &Cluster, model: &Model, seed: u64, cases: u32) -> Result<(), String> {
    // In every other namespace the chart's admission policies have their say.
    let namespace = format!("{}{}", if seed.is_multiple_of(2) { JUDGED } else { "reeve-simulator-" }, random_name());
    handle.block_on(make_namespace(cluster, &namespace));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, max_shrink_iters: 400, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let run = runner
        .run(&vec(step(), 1..=STEPS), |steps| handle.block_on(compare(cluster, model, &namespace, &steps)).map_err(TestCaseError::fail));
    handle.block_on(async {
        let namespaces = Api::<Namespace>::all(cluster.client.clone());
        namespaces.delete(&namespace, &DeleteParams::background()).await.unwrap();
    });
    run.map_err(|error| format!("seed {seed}: {error}"))
}

async fn make_namespace(cluster: &Cluster, name: &str) {
    let judged = if name.starts_with(JUDGED) { "true" } else { "false" };
    let labels = [(LABEL.to_owned(), judged.to_owned())].into();
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::<Namespace>::all(cluster.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let made =
        await_condition(Api::<ConfigMap>::namespaced(cluster.client.clone(), name), ROOT_CA, |map: Option<&ConfigMap>| map.is_some());
    tokio::time::timeout(deadline(), made).await.expect("the ConfigMap of the root CA").unwrap();
}

/// Sends the steps to both servers; the first difference is the error.
async fn compare(cluster: &Cluster, model: &Model, namespace: &str, steps: &[Step]) -> Result<(), String> {
    let mut real = Real::new(cluster.client.clone(), namespace).await;
    let mut simulated = Simulated::new(model, namespace);
    let outcome = compare_steps(&mut real, &mut simulated, steps).await;
    real.clear().await;
    outcome
}

async fn compare_steps(real: &mut Real, simulated: &mut Simulated, steps: &[Step]) -> Result<(), String> {
    for (at, step) in steps.iter().enumerate() {
        let (wanted, found) = (real.send(step).await, simulated.send(step));
        if wanted != found {
            let before: String = steps.iter().take(at).map(|step| format!("  {step}\n")).collect();
            return Err(format!("{before}> {step}\nreal:      {} {}\nsimulated: {} {}", wanted.0, wanted.1, found.0, found.1));
        }
    }
    for events in simulated.events() {
        let wanted = real.events(events.path, events.seen.len()).await;
        if wanted != events.seen {
            let steps: String = steps.iter().map(|step| format!("  {step}\n")).collect();
            return Err(format!("{steps}watch of {}\nreal:      {wanted:#?}\nsimulated: {:#?}", events.path, events.seen));
        }
    }
    Ok(())
}
