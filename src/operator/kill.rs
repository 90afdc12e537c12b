//! Whether runs of a namespace must stand still: the kill switches, and whether they can be read at all.
//!
//! Architecture invariant: no switch means go; a list that fails, or a view older than [`STALE`], means stop. (`tests`)
//!
//! Two requests keep a scope's view: a watch tells within milliseconds, a list every [`LOOK_EVERY`] proves that the view is not stale. What the
//! view shows is journaled ([`Kill::to_tell`]): the journal has a switch engaged where runs stand still for it, and released where they do not.
//! What was over before it could be written is not, nor is it journaled that a view is stale.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use reeve_api::KillSwitch;
use reeve_core::class::Class;
use reeve_core::journal::KillSeen;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{classify, classify_watch, patient};
use crate::context::Context;
use crate::error::Error;
use crate::scope::Scope;
use crate::telemetry::{Event as _, WatchFailed};

mod record;

pub(crate) use record::Record;

/// As metrics and log lines name them.
const SWITCHES: &str = "KillSwitch";
/// Between two lists.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// The longest wait for a list.
const LIST_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a reason, as the schema allows for `spec.reason`.
const MAX_REASON: usize = 1_024;
/// Without a successful answer for this long, the switches count as engaged.
const STALE: Duration = Duration::from_secs(10);

/// The switches as last seen, shared by all runs.
pub(crate) struct Kill {
    own: String,
    view: Mutex<View>,
    /// Counts changes of the view.
    changed: watch::Sender<u64>,
    counts: Mutex<BTreeMap<String, Counts>>,
    /// What the journal has of them.
    pub(crate) record: Record,
    /// UIDs of switches of which the journal is being told.
    telling: Mutex<BTreeSet<String>>,
}

#[derive(Default)]
struct View {
    scopes: BTreeMap<Scope, Seen>,
}

/// What is known of one scope.
#[derive(Default)]
struct Seen {
    /// Last successful answer of the server. None: never.
    fresh_at: Option<Instant>,
    /// The highest resource version that was seen; an older list says nothing about what is newer.
    version: u64,
    /// That of the last list that was taken in; what was not in it and is not newer is gone.
    listed: u64,
    switches: BTreeMap<String, Switch>,
}

/// One switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    /// Its UID.
    pub(crate) uid: String,
    namespace: String,
    name: String,
    /// None: it cannot be read, which counts as engaged.
    engaged: Option<bool>,
    reason: String,
    /// What this was read from; older news says nothing.
    version: u64,
    /// Since when this process has seen it engaged.
    since: Option<Instant>,
}

/// What an engaged switch stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Model requests that were cut off.
    pub(crate) model_requests: u32,
    /// Tool calls whose processes were killed.
    pub(crate) tool_calls: u32,
}

/// What a run was doing when it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Asking a model.
    ModelRequest,
    /// Calling a tool.
    ToolCall,
}

impl Kill {
    /// Nothing is known yet, so everything stands still. `own` is the operator's namespace, whose switches stop every run.
    pub(crate) fn new(own: &str, scopes: &[Scope]) -> Kill {
        let scopes = scopes.iter().map(|scope| (scope.clone(), Seen::default())).collect();
        Kill {
            own: own.to_owned(),
            view: Mutex::new(View { scopes }),
            changed: watch::channel(0).0,
            counts: Mutex::default(),
            record: Record::default(),
            telling: Mutex::default(),
        }
    }

    /// Why runs of this namespace must stand still; None where they may go on.
    pub(crate) fn stops(&self, namespace: &str) -> Option<String> {
        self.lock().stops(&self.own, namespace, Instant::now())
    }

    /// Waits until runs of this namespace must stand still.
    pub(crate) async fn engaged(&self, namespace: &str) {
        let mut changed = self.changed.subscribe();
        loop {
            if self.stops(namespace).is_some() {
                return;
            }
            // A view grows stale without a change: look again by then.
            tokio::select! {
                biased;
                _ = changed.changed() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    /// Rings at each change of the view.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Counts what was cut off, for each switch that did it.
    pub(crate) fn count(&self, namespace: &str, what: Stopped) {
        let stopping: Vec<String> = self.lock().engaged(&self.own, namespace).map(|switch| switch.uid.clone()).collect();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for uid in stopping {
            let counts = counts.entry(uid).or_default();
            match what {
                Stopped::ModelRequest => counts.model_requests += 1,
                Stopped::ToolCall => counts.tool_calls += 1,
            }
        }
    }

    /// What a switch has stopped since it was engaged.
    pub(crate) fn counts(&self, uid: &str) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned().unwrap_or_default()
    }

    /// Starts the count of a switch anew: it was released.
    fn forget_counts(&self, uid: &str) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the view, and rings where that changes what is stopped.
    fn change(&self, scope: &Scope, with: impl FnOnce(&mut Seen) -> bool) {
        let changed = with(self.lock().scopes.entry(scope.clone()).or_default());
        if changed {
            self.ring();
        }
    }

    /// Since when this process has seen the switch of this UID engaged; None where it has not.
    pub(crate) fn engaged_since(&self, uid: &str) -> Option<Instant> {
        self.lock().scopes.values().find_map(|seen| seen.switches.get(uid)).and_then(|switch| switch.since)
    }

    /// Waits until the journal has what runs see of the switch of this UID, as the controller sees it too, so long at most. False: it has not,
    /// as where the journal refuses, or where one of the two views is late.
    pub(crate) async fn journaled(&self, uid: &str, engaged: bool, within: Duration) -> bool {
        let mut changed = self.changed.subscribe();
        let is_so = || match engaged {
            true => self.engaged_since(uid).is_some() && self.record.has(uid),
            false => self.engaged_since(uid).is_none() && !self.record.may_have(uid),
        };
        let journaled = async {
            while !is_so() {
                // Its sender lives as long as this.
                let _ = changed.changed().await;
            }
        };
        tokio::time::timeout(within, journaled).await.is_ok()
    }

    /// Whether more was told of this switch than a list of this version can show.
    fn knows_newer(&self, uid: &str, listed: u64) -> bool {
        self.lock().scopes.values().filter_map(|seen| seen.switches.get(uid)).any(|switch| switch.version > listed)
    }

    /// The switch of this UID is gone.
    fn forget(&self, uid: &str) {
        self.forget_counts(uid);
        let was_there = self.lock().scopes.values_mut().filter_map(|seen| seen.switches.remove(uid)).count() > 0;
        if self.record.deleted(uid) || was_there {
            self.ring();
        }
    }

    fn ring(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// What the journal is to have of switches, and has not.
    fn untold(&self) -> Vec<KillSeen> {
        let view = self.lock();
        let there = view.scopes.values().flat_map(|seen| seen.switches.values());
        let untold = there.filter(|switch| match switch.stops() {
            true => !self.record.has(&switch.uid),
            false => self.record.may_have(&switch.uid),
        });
        let mut untold: Vec<KillSeen> = untold.map(Switch::seen).collect();
        untold.extend(self.record.released_by_deletion());
        untold
    }

    fn telling(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the journal is to be told of switches, and says which. Whoever takes them tells it, with [`Kill::tell`].
    pub(crate) async fn to_tell(&self) -> Vec<KillSeen> {
        let mut changed = self.changed.subscribe();
        loop {
            let untold: Vec<KillSeen> = self.untold().into_iter().filter(|seen| self.telling().insert(seen.uid.clone())).collect();
            if !untold.is_empty() {
                return untold;
            }
            // Its sender lives as long as this.
            let _ = changed.changed().await;
        }
    }

    /// Journals what is to be told of the switch of this UID, as it is by now.
    pub(crate) async fn tell(&self, context: &Context, uid: &str) -> Result<(), Error> {
        while let Some(seen) = self.untold().into_iter().find(|seen| seen.uid == uid) {
            let released = !seen.engaged;
            self.record.write(context, seen).await?;
            if released {
                self.forget_counts(uid);
            }
        }
        self.telling().remove(uid);
        // What came after the last look is looked at now, and who waits for the row has it.
        self.ring();
        Ok(())
    }
}

impl Switch {
    /// What cannot be read counts as engaged.
    fn stops(&self) -> bool {
        self.engaged != Some(false)
    }

    /// What the journal is to have of it.
    fn seen(&self) -> KillSeen {
        let Switch { uid, namespace, name, reason, .. } = self.clone();
        let reason = if self.engaged.is_none() { unreadable(&reason) } else { reason };
        KillSeen { namespace, name, uid, engaged: self.stops(), reason }
    }
}

impl View {
    fn stops(&self, own: &str, namespace: &str, now: Instant) -> Option<String> {
        if let Some(switch) = self.engaged(own, namespace).next() {
            let Switch { namespace, name, engaged, reason, .. } = switch;
            return Some(match engaged {
                Some(_) => format!("KillSwitch {namespace}/{name} is engaged: {reason}"),
                None => format!("KillSwitch {namespace}/{name} cannot be read, which counts as engaged: {reason}"),
            });
        }
        let relevant = self.scopes.iter().filter(|(scope, _)| scope.covers(namespace) || scope.covers(own));
        for (scope, seen) in relevant {
            let stale = seen.fresh_at.is_none_or(|at| now.duration_since(at) > STALE);
            if stale {
                let which = match scope {
                    Scope::All => "the kill switches".to_owned(),
                    Scope::Namespace(namespace) => format!("the kill switches of namespace {namespace}"),
                };
                return Some(format!("{which} cannot be read, which counts as engaged."));
            }
        }
        None
    }

    fn engaged<'a>(&'a self, own: &'a str, namespace: &'a str) -> impl Iterator<Item = &'a Switch> {
        let all = self.scopes.values().flat_map(|seen| seen.switches.values());
        all.filter(move |switch| switch.stops() && (switch.namespace == own || switch.namespace == namespace))
    }
}

impl Seen {
    /// Takes in one object, unless something newer is known of it. Whether that changes what is stopped.
    fn put(&mut self, object: &DeserializeGuard<KillSwitch>, now: Instant) -> bool {
        let Some(uid) = object.uid() else { return false };
        let (engaged, reason) = match &object.0 {
            // Whatever still holds it: it stops nothing any more.
            Ok(switch) if switch.metadata.deletion_timestamp.is_some() => (Some(false), record::DELETED.to_owned()),
            Ok(switch) => (Some(switch.spec.engaged), switch.spec.reason.clone()),
            Err(invalid) => (None, invalid.error.clone()),
        };
        let version = version(object.resource_version().as_deref());
        let before = self.switches.get(&uid);
        if before.map_or((1..=self.listed).contains(&version), |before| before.version > version) {
            return false;
        }
        let since = if engaged == Some(false) { None } else { before.and_then(|before| before.since).or(Some(now)) };
        let changed = before.is_none_or(|before| before.engaged != engaged || before.reason != reason);
        self.version = self.version.max(version);
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        self.switches.insert(uid.clone(), Switch { uid, namespace, name, engaged, reason, version, since });
        changed
    }

    /// Takes in a whole list, unless the watch has told something newer. Whether that changes what is stopped.
    fn replace(&mut self, objects: &[DeserializeGuard<KillSwitch>], listed: u64, now: Instant) -> bool {
        let was_stale = self.fresh_at.is_none_or(|at| now.duration_since(at) > STALE);
        let rewound = listed < self.listed;
        if rewound {
            // Lists of one scope come one after the other, so the server has gone back in time: restored from a copy, its versions say nothing
            // about what was seen before.
            *self = Seen::default();
        }
        self.fresh_at = Some(now);
        if listed < self.version {
            return was_stale;
        }
        self.version = listed;
        self.listed = 0;
        let there: BTreeSet<String> = objects.iter().filter_map(|object| object.uid()).collect();
        let before = self.switches.len();
        self.switches.retain(|uid, _| there.contains(uid));
        let gone = self.switches.len() != before;
        // Each is taken in, whatever the ones before changed.
        let changed = objects.iter().filter(|object| self.put(object, now)).count() > 0;
        self.listed = listed;
        rewound || was_stale || gone || changed
    }
}

/// Why a switch counts as engaged that cannot be read: no longer than a reason may be.
fn unreadable(why: &str) -> String {
    let mut text = format!("it cannot be read: {why}");
    text.truncate(text.floor_char_boundary(MAX_REASON));
    text
}

/// Resource versions of one resource can be compared as numbers (Kubernetes API concepts, "Resource versions", since 1.35; of etcd always).
fn version(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Keeps the view of a scope until it is dropped.
pub(crate) fn keep(kill: Arc<Kill>, client: &Client, scope: &Scope) -> BoxFuture<'static, ()> {
    let api = scope.api::<DeserializeGuard<KillSwitch>>(client);
    let (watched, listed) = (watch_switches(Arc::clone(&kill), api.clone(), scope.clone()), list_switches(kill, api, scope.clone()));
    Box::pin(async move {
        futures::future::join(watched, listed).await;
    })
}

async fn watch_switches(kill: Arc<Kill>, api: Api<DeserializeGuard<KillSwitch>>, scope: Scope) {
    let mut listing = Vec::new();
    let mut events = std::pin::pin!(patient(watcher(api, watcher::Config::default())));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listing.clear(),
            Ok(Event::InitApply(object)) => listing.push(object),
            // What is missing from a relist is taken away by the next list; until then it counts.
            Ok(Event::InitDone) => {
                let fresh = std::mem::take(&mut listing);
                let now = Instant::now();
                kill.change(&scope, |seen| {
                    let was_stale = seen.fresh_at.is_none_or(|at| now.duration_since(at) > STALE);
                    seen.fresh_at = Some(now);
                    fresh.iter().filter(|object| seen.put(object, now)).count() > 0 || was_stale
                });
            }
            Ok(Event::Apply(object)) => kill.change(&scope, |seen| seen.put(&object, Instant::now())),
            Ok(Event::Delete(object)) => {
                let uid = object.uid().unwrap_or_default();
                kill.change(&scope, |seen| {
                    seen.version = seen.version.max(version(object.resource_version().as_deref()));
                    seen.switches.remove(&uid).is_some()
                });
                kill.forget(&uid);
            }
            Err(error) => WatchFailed { kind: SWITCHES, class: classify_watch(&error), error: &error.to_string() }.emit(),
        }
    }
}

/// Looks once at the switches of these scopes, so that who starts does not tell every run to stand still for want of a first look. Without an
/// answer nothing is known, and everything stands still.
pub(crate) async fn look_first(kill: &Kill, client: &Client, scopes: &[Scope]) {
    let looks = scopes.iter().map(|scope| async move { look(kill, &scope.api(client), scope).await });
    futures::future::join_all(looks).await;
}

async fn list_switches(kill: Arc<Kill>, api: Api<DeserializeGuard<KillSwitch>>, scope: Scope) {
    // The first look is that of the start.
    let mut tick = tokio::time::interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        look(&kill, &api, &scope).await;
    }
}

async fn look(kill: &Kill, api: &Api<DeserializeGuard<KillSwitch>>, scope: &Scope) {
    let asked = Instant::now();
    // What is journaled only from here on may be newer than the list.
    let recorded = kill.record.uids(scope);
    match tokio::time::timeout(LIST_PATIENCE, api.list(&ListParams::default())).await {
        Ok(Ok(list)) => {
            let listed = version(list.metadata.resource_version.as_deref());
            kill.change(scope, |seen| seen.replace(&list.items, listed, asked));
            let there: BTreeSet<String> = list.items.iter().filter_map(ResourceExt::uid).collect();
            recorded.difference(&there).filter(|uid| !kill.knows_newer(uid, listed)).for_each(|uid| kill.forget(uid));
        }
        Ok(Err(error)) => WatchFailed { kind: SWITCHES, class: classify(&error), error: &error.to_string() }.emit(),
        Err(_) => WatchFailed { kind: SWITCHES, class: Class::Transient, error: "no answer in time" }.emit(),
    }
}

#[cfg(test)]
mod tests;
