//! One life of the operator: a runtime, and everything that lives in it.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use reeve_core::journal::Epoch;
use reeve_operator::web::Readiness;
use reeve_operator::{Chance, Config, Leading, LoopbackAddress, Surroundings, lead};
use reeve_store::Place;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::chance::between;
use super::sandbox::Host;
use super::sim::{End, Shared};
use super::{admission, network};

/// Namespace of the operator.
pub(crate) const NAMESPACE: &str = "reeve-system";
/// Its ServiceAccount.
pub(crate) const ACCOUNT: &str = "reeve";

/// The longest that a kubelet waits before it starts a container anew.
const LONGEST_PAUSE_MS: u64 = 300_000;

/// An operator that lives, and the time that it lives in.
pub(crate) struct Life {
    runtime: Runtime,
    shared: Arc<Shared>,
}

/// Why waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woke {
    /// It was time, or what was waited for is there.
    InTime,
    /// The operator is dead.
    Dead,
}

impl Life {
    /// Starts an operator at this moment, under this epoch.
    pub(crate) fn begin(shared: &Arc<Shared>, at_ms: u64, epoch: u64) -> std::io::Result<Life> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let (world, life) = (Arc::clone(shared), Arc::clone(shared));
        runtime.block_on(async move {
            let clock = {
                let mut sim = world.lock();
                sim.paced_from(at_ms);
                sim.forget_wire();
                sim.kubelet.look();
                sim.end = End::None;
                network::clock(&sim)
            };
            tokio::spawn(Arc::clone(&world).carry());
            let (seed, watches) = {
                let sim = world.lock();
                (sim.seed, sim.watches.clone())
            };
            let surroundings = Surroundings { clock, chance: Chance::Seeded(seed ^ epoch), streams: Arc::new(Host(Arc::clone(&world))) };
            let leading = Leading {
                config: config(watches),
                surroundings,
                client: Client::new(network::Line(Arc::clone(&world)), NAMESPACE),
                journal: world.journal.open(),
                artifacts: world.artifacts.clone(),
                epoch: Epoch(epoch),
                keys: world.keys.clone(),
                readiness: Readiness::new("starts"),
            };
            tokio::spawn(async move {
                let ended = Box::pin(lead(leading, CancellationToken::new())).await;
                let mut sim = world.lock();
                let why = ended.err().map_or_else(|| "nothing was left to do".to_owned(), |error| error.to_string());
                sim.tale.tell(format!("operator  ends: {why}"));
                sim.gave_up = true;
                world.kill(&mut sim);
            });
        });
        Ok(Life { runtime, shared: life })
    }

    /// Lets it live until then, or until it holds.
    pub(crate) fn live(&self, until_ms: u64, holds: impl Fn(&Shared) -> bool) -> Woke {
        let shared = Arc::clone(&self.shared);
        self.runtime.block_on(async move {
            let deadline = shared.instant_of(until_ms);
            loop {
                if holds(&shared) {
                    return Woke::InTime;
                }
                tokio::select! {
                    biased;
                    () = shared.ended.notified() => return Woke::Dead,
                    () = shared.changed.notified() => {}
                    () = tokio::time::sleep_until(deadline) => return Woke::InTime,
                }
            }
        })
    }

    /// Does something in its time, as somebody from outside.
    pub(crate) fn meanwhile<T>(&self, act: impl FnOnce(&mut super::sim::Sim) -> T) -> T {
        let shared = Arc::clone(&self.shared);
        self.runtime.block_on(async move {
            let done = {
                let mut sim = shared.lock();
                let done = act(&mut sim);
                sim.spread();
                done
            };
            shared.rung.notify_one();
            done
        })
    }
}

impl Shared {
    /// A moment of the world on the clock of the runtime that lives.
    pub(crate) fn instant_of(&self, ms: u64) -> Instant {
        let left = ms.saturating_sub(self.lock().now_ms());
        Instant::now() + Duration::from_millis(left)
    }
}

/// How long a cluster takes to start an operator anew, milliseconds, that has given up so many times in a row.
pub(crate) fn restart_ms(seed: u64, life: u64, gave_up: u32) -> u64 {
    // As a kubelet does: at once, then after 10 s, and twice as long each time.
    let pause = match gave_up.checked_sub(2) {
        Some(times) => 10_000_u64.checked_shl(times).map_or(LONGEST_PAUSE_MS, |ms| ms.min(LONGEST_PAUSE_MS)),
        None => 0,
    };
    pause + between(seed, &format!("restart {life}"), 500, 4_000)
}

fn config(watch_namespaces: Vec<String>) -> Config {
    Config {
        namespace: NAMESPACE.to_owned(),
        watch_namespaces,
        artifacts: reeve_store::ArtifactsPlace::Folder(std::path::PathBuf::new()),
        journal: Place::File(std::path::PathBuf::new()),
        replicas: 1,
        journal_key_dir: std::path::PathBuf::new(),
        witness: None,
        lease_name: "reeve".to_owned(),
        identity: "operator".to_owned(),
        sandbox_installer_image: "reeve:simulated".to_owned(),
        sandbox_pull_policy: "IfNotPresent".to_owned(),
        http_address: std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0)),
        read_api_address: LoopbackAddress::default(),
        max_concurrent_runs: 10,
        approval_policy: admission::POLICY.to_owned(),
        approval_binding: admission::POLICY.to_owned(),
        decision_policy: "reeve-approval-decision".to_owned(),
        decision_binding: "reeve-approval-decision".to_owned(),
    }
}
