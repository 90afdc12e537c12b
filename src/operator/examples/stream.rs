//! Measures what a call costs on the stream to a real sandbox, and what `kubectl exec` costs for the same read: `hack/bench/run` starts it.
//!
//! Arguments: `NAMESPACE INSTALLER_IMAGE SANDBOX_IMAGE`. Prints a line `FIGURE name value unit vs reference value ratio R` for each figure;
//! the ratio is ours to the reference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that cannot be taken ends in a panic that says why"
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use reeve_api::{AgentRun, label};
use reeve_core::Digest;
use reeve_core::journal::SandboxShape;
use reeve_core::tool::ToolName;
use reeve_core::tool::wire::{Call, Confinement, Hello, Lookup, Network, Packing, Resolve};
use reeve_operator::cluster;
use reeve_operator::sandbox::{CONTAINER, SandboxSpec, Session, job, wait_running, watch_pods};
use serde_json::json;

const CALLS: usize = 1000;
const EXECS: usize = 30;
const FILE: &str = "notes.txt";
const RUN: &str = "stream";
const START: Duration = Duration::from_secs(120);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [namespace, installer, image] = &arguments[..] else { panic!("expected: NAMESPACE INSTALLER_IMAGE SANDBOX_IMAGE") };
    // The first TLS connection would panic without.
    rustls::crypto::ring::default_provider().install_default().expect("this is the first");
    let client = cluster::connect().await.expect("a cluster, by KUBECONFIG");
    let uid = start(&client, namespace, installer, image).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = pods.list(&ListParams::default().labels(&format!("{}={uid}", label::RUN_UID))).await.unwrap();
    let pod = pod.items[0].metadata.name.clone().unwrap();
    let (session, _) = Session::open(&client, namespace, &pod, Hello { epoch: 1, run_uid: uid.clone() }).await.unwrap();
    let packed = workspace();
    session.import_workspace(&packed, Digest::of(&packed), Packing::TarGz, 0).await.unwrap();
    read(&session, "warm-up").await;

    let reference = Times::of(execs(namespace, &pod));
    reference.figure("kubectl_exec", None);
    let mut pings = Vec::new();
    let mut lookups = Vec::new();
    let mut resolves = Vec::new();
    let mut calls = Vec::new();
    for number in 0..CALLS {
        pings.push(timed(session.ping()).await);
        lookups.push(timed(session.lookup(&Lookup { key: "none".to_owned(), wait_ms: 0 })).await);
        let (resolved, called) = read(&session, &number.to_string()).await;
        resolves.push(resolved);
        calls.push(called);
    }
    Times::of(pings).figure("stream_ping", Some(&reference));
    Times::of(lookups).figure("stream_lookup", Some(&reference));
    Times::of(resolves).figure("stream_resolve", Some(&reference));
    Times::of(calls).figure("stream_call", Some(&reference));
    session.shutdown().await.unwrap();
}

/// Starts a sandbox as the operator does. Its run is suspended and in a namespace where no operator works, so that nobody else drives it.
async fn start(client: &Client, namespace: &str, installer: &str, image: &str) -> String {
    let run = json!({
        "apiVersion": "reeve.dev/v1alpha1", "kind": "AgentRun", "metadata": { "name": RUN },
        "spec": { "role": "Coder", "objective": "To be measured.", "suspended": true },
    });
    let runs: Api<AgentRun> = Api::namespaced(client.clone(), namespace);
    let run = runs.create(&PostParams::default(), &serde_json::from_value(run).unwrap()).await.unwrap();
    let shape = SandboxShape {
        image: image.to_owned(),
        cpu: "2".to_owned(),
        memory: "512Mi".to_owned(),
        workspace: "64Mi".to_owned(),
        runtime_class: None,
    };
    let spec =
        SandboxSpec { run: &run, job_name: RUN, shape: &shape, installer_image: installer, pull_policy: "Never", deadline_seconds: 300 };
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let made = jobs.create(&PostParams::default(), &job(&spec).unwrap()).await.unwrap();
    let (pods, watching) = watch_pods(client.clone(), Some(namespace));
    tokio::select! {
        running = wait_running(&pods, client, &made, START) => running.unwrap(),
        () = watching => panic!("the watch on Pods ended"),
    };
    run.metadata.uid.unwrap()
}

/// One small file, as a tar.
fn workspace() -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let text = "A line of a small file.\n".repeat(40);
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, FILE, text.as_bytes()).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

/// `fs.read`: when it was known what it would touch, and when it was done.
async fn read(session: &Session, key: &str) -> (Duration, Duration) {
    let started = Instant::now();
    let resolve = Resolve { key: key.to_owned(), tool: ToolName::FsRead, arguments: json!({ "path": FILE }) };
    let resolved = session.resolve(&resolve).await.unwrap();
    let known = started.elapsed();
    let confinement = Confinement {
        network: Network::None,
        workspace_writable: true,
        timeout_ms: 10_000,
        output_head_bytes: 16_384,
        output_tail_bytes: 16_384,
    };
    let outcome = session.call(&Call { key: key.to_owned(), handle: resolved.handle, confinement }).await.unwrap();
    assert!(outcome.content.contains("A line of a small file."), "{outcome:?}");
    (known, started.elapsed())
}

async fn timed<T, E: std::fmt::Debug>(work: impl Future<Output = Result<T, E>>) -> Duration {
    let started = Instant::now();
    work.await.unwrap();
    started.elapsed()
}

fn execs(namespace: &str, pod: &str) -> Vec<Duration> {
    let one = |_| {
        let started = Instant::now();
        let mut kubectl = Command::new("kubectl");
        kubectl.args(["--namespace", namespace, "exec", pod, "--container", CONTAINER, "--", "cat"]).arg(format!("/workspace/{FILE}"));
        let output = kubectl.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success() && output.stdout.starts_with(b"A line"), "kubectl exec: {}", output.status);
        started.elapsed()
    };
    (0..EXECS).map(one).collect()
}

/// Times in order.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Times {
        times.sort_unstable();
        Times(times)
    }

    fn percentile(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)].as_secs_f64() * 1e3
    }

    fn figure(&self, name: &str, reference: Option<&Times>) {
        for percent in [50, 99] {
            let ours = self.percentile(percent);
            let versus = reference
                .map(|reference| reference.percentile(percent))
                .map_or_else(String::new, |theirs| format!(" vs kubectl_exec_p{percent} {theirs:.3} ratio {:.4}", ours / theirs));
            println!("FIGURE {name}_p{percent}_ms {ours:.3} ms{versus}");
        }
    }
}
