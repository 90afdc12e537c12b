//! The operator: controllers, the run loop, and all that touches the cluster.
//!
//! | room | what is in it |
//! |---|---|
//! | `controllers/` | one file a kind: observe → validate → plan → apply → status |
//! | `run/` | drives a run: `reeve_core::run::next` says the step, `run/driver.rs` does it |
//! | `sandbox/` | the Job, its Pod, the one stream to it |
//! | `anchors/` | the journal's keys; signed heads and roots, put where the holder of the database cannot reach |
//! | `cluster/` | the Lease, writes to the API server, backoff |
//! | `web/` | health and metrics; on loopback, the read API |
//!
//! Architecture invariant: nothing that a restart needs is kept in memory; a run goes on from its rows. (`tests/crash.rs` kills the process
//! at every point that matters.)
//!
//! Architecture invariant: an effect is preceded by its durable intent, written under the epoch of the Lease that this process holds.
#![forbid(unsafe_code)]

mod admission;
mod anchors;
mod claim;
pub mod cluster;
mod config;
mod context;
mod controllers;
mod error;
mod gone;
mod health;
mod kill;
mod policies;
mod providers;
mod run;
pub mod sandbox;
mod scope;
mod secrets;
mod surroundings;
pub mod telemetry;
pub mod web;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use kube::Client;
use reeve_store::{Artifacts, Journal, Place};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

pub use anchors::{Keys, WitnessUrl};
pub use config::{Config, LoopbackAddress, READ_API_PORT};
pub use error::Error;
pub use secrets::{MaskedLog, masked};
pub use surroundings::{ByteStream, Chance, Clock, Streams, Surroundings};

use crate::claim::Claim;
use crate::cluster::{Backoff, Held, LeaseConfig, acquire};
use crate::context::Context;
use crate::scope::Scope;
use crate::telemetry::{EpochTaken, Event as _};
use crate::web::Readiness;

/// How long work in hand may take to stop, before the process ends anyway. Whatever is cut is taken up again from the journal.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the operator until `stop` fires or leadership is lost.
///
/// # Errors
/// [`Error::Config`], [`Error::Store`] and [`Error::Lease`] at start, where going on could only do harm; [`Error::Fenced`] when another
/// operator took over, so that the process ends with an exit code that is not 0 and is started anew.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Error> {
    config.check().map_err(Error::Config)?;
    // First of all, so that nothing that goes wrong with them can show them.
    secrets::learn_own(config.witness.iter().flat_map(WitnessUrl::secrets));
    if let Place::Postgres(url) = &config.journal {
        secrets::learn_own(url.password());
    }
    telemetry::check().map_err(|error| Error::bug(error.to_string()))?;
    // Before the journal is touched: nothing is written that could not be signed.
    let keys = Keys::read(&config.journal_key_dir).map_err(Error::Config)?;
    let journal = Journal::open_at(&config.journal).await?;
    let artifacts = Artifacts::open_at(&config.artifacts).await?;
    let readiness = Readiness::new("waits for the Lease");
    let cannot = |address| move |error| Error::Config(format!("cannot serve on {address}: {error}"));
    let probes = web::serve_probes(config.http_address, readiness.clone(), stop.clone());
    let probes = probes.await.map_err(cannot(config.http_address))?;
    let read_api = web::serve_read_api(config.read_api_address, journal.clone(), artifacts.clone(), stop.clone());
    let read_api = read_api.await.map_err(cannot(config.read_api_address.get()))?;
    let client = cluster::connect().await.map_err(|error| Error::Config(format!("no way to the API server: {error}")))?;
    if config.replicas > 1 {
        // One that stands by does its work: it takes over. A rollout does not wait for it to lead.
        readiness.ready();
    }
    let held = tokio::select! {
        biased;
        held = take_leadership(&config, &client, &journal) => held?,
        () = stop.cancelled() => return Ok(()),
    };
    readiness.not_ready("takes up what the journal holds");
    let lost = held.lost();
    // Ends all work: when the process is asked to stop, when the Lease is lost, when a write is fenced.
    let work = stop.child_token();
    let leading = Leading {
        config,
        surroundings: Surroundings::real(client.clone()),
        client,
        journal: journal.clone(),
        artifacts,
        epoch: held.epoch(),
        keys: Some(keys),
        readiness: readiness.clone(),
    };
    let outcome = tokio::select! {
        biased;
        () = lost.cancelled() => Err(Error::Fenced("the Lease is lost".to_owned())),
        outcome = lead(leading, work.clone()) => outcome,
    };
    readiness.not_ready("stops");
    work.cancel();
    held.release().await;
    journal.close().await;
    probes.abort();
    read_api.abort();
    match outcome {
        Err(error) => Err(error),
        Ok(()) if stop.is_cancelled() => Ok(()),
        Ok(()) => Err(Error::Fenced("another operator has taken over".to_owned())),
    }
}

/// Waits for the Lease, and for an epoch that is ours alone.
async fn take_leadership(config: &Config, client: &Client, journal: &Journal) -> Result<Held, Error> {
    let lease = LeaseConfig::new(&config.namespace, &config.lease_name, &config.identity);
    let mut floor = journal.highest_epoch().await?;
    loop {
        let held = acquire(client.clone(), lease.clone(), floor).await?;
        match claim::claim(journal, held.epoch(), &config.identity, Surroundings::real(client.clone()).clock.now()).await? {
            Claim::Ours => return Ok(held),
            Claim::Taken(highest) => {
                EpochTaken { epoch: held.epoch().0, highest: highest.0 }.emit();
                floor = highest;
                held.release().await;
            }
        }
    }
}

/// What an operator has once it leads.
pub struct Leading {
    /// Its settings. Addresses and the Lease are not looked at any more.
    pub config: Config,
    /// Time of day, chance, and the way to sandboxes.
    pub surroundings: Surroundings,
    /// The API server.
    pub client: Client,
    /// The journal, open to write.
    pub journal: Journal,
    /// The artifact store, open to write.
    pub artifacts: Artifacts,
    /// Epoch of the Lease that is held.
    pub epoch: reeve_core::journal::Epoch,
    /// The keys that sign the journal. [`run`] always has them; None, nothing is signed: for a simulated world that does not look at that.
    pub keys: Option<Keys>,
    /// Told once everything is known that work needs.
    pub readiness: Readiness,
}

/// Does the work of an operator that leads, until `stop` fires.
///
/// Dropping the future does not end the tasks that it has started; the end of their runtime does.
///
/// # Errors
/// [`Error`] where what is in force cannot be read at the start.
pub async fn lead(leading: Leading, stop: CancellationToken) -> Result<(), Error> {
    let Leading { config, surroundings, client, journal, artifacts, epoch, keys, readiness } = leading;
    let scopes: Vec<Scope> = match config.watch_namespaces.as_slice() {
        [] => vec![Scope::All],
        some => some.iter().cloned().map(Scope::Namespace).collect(),
    };
    let own = Scope::Namespace(config.namespace.clone());
    let mut work: Vec<BoxFuture<'static, ()>> = Vec::new();
    let mut pods = BTreeMap::new();
    for scope in &scopes {
        let (store, watch) = sandbox::watch_pods(
            client.clone(),
            match scope {
                Scope::All => None,
                Scope::Namespace(namespace) => Some(namespace.as_str()),
            },
        );
        pods.insert(scope.clone(), store);
        work.push(watch);
    }
    let mut judged_by = scopes.clone();
    let elsewhere = !scopes.contains(&Scope::All) && !scopes.contains(&own);
    if elsewhere {
        judged_by.push(own.clone());
    }
    let kill = Arc::new(kill::Kill::new(&config.namespace, &judged_by));
    work.extend(judged_by.iter().map(|scope| kill::keep(Arc::clone(&kill), &client, scope)));
    let anchors = match keys {
        Some(keys) => Some(Arc::new(anchors::Anchors::open(&client, &config, &journal, epoch, keys, surroundings.clock.now()).await?)),
        None => None,
    };
    let places = Arc::new(Semaphore::new(config.max_concurrent_runs));
    let context = Arc::new(Context {
        config,
        surroundings,
        client,
        pods,
        journal,
        artifacts,
        epoch,
        policies: policies::Policies::default(),
        providers: providers::Providers::default(),
        secrets: secrets::Secrets::default(),
        backoff: Backoff::default(),
        runs: run::Registry::default(),
        places,
        references: Notify::new(),
        kill,
        budgets: tokio::sync::watch::channel(0).0,
        known_budgets: controllers::Budgets::default(),
        own_stream: tokio::sync::Mutex::default(),
        anchors,
        readiness: readiness.clone(),
        stop: stop.clone(),
    });
    work.extend(context.anchors.clone().map(|anchors| anchors::keep(Arc::clone(&context), anchors)));
    let past = controllers::Past::read(&context).await?;
    controllers::ensure_default(&context, &past).await?;
    if elsewhere {
        work.extend(controllers::everywhere(&context, &own));
    }
    controllers::load(&context, &past, &judged_by).await?;
    controllers::load_budgets(&context, &scopes).await?;
    controllers::load_switches(&context, past, &judged_by);
    kill::look_first(&context.kill, &context.client, &judged_by).await;
    work.push(Box::pin(controllers::journal_switches(Arc::clone(&context))));
    for scope in &scopes {
        work.extend(controllers::all(&context, scope));
    }
    readiness.ready();
    work.push(Box::pin(health::watch(Arc::clone(&context))));
    let all = futures::future::join_all(work);
    tokio::select! {
        biased;
        _ = all => {}
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => {}
    }
    Ok(())
}
