//! Deletions, by UID, with those that happened while nobody watched.
//!
//! A controller is not told of deletions without a finalizer, and a finalizer costs every object two writes: a watch of its own is told. Where
//! watching is refused, a list tells as often as the watch is tried.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};

use super::Kind;
use crate::cluster::{classify, classify_watch, patient};
use crate::context::Context;
use crate::scope::Scope;
use crate::telemetry::{Event as _, WatchFailed};

/// What a kind keeps of its objects.
pub(super) struct Kept {
    /// UIDs that are kept of objects in this scope.
    pub(super) uids: fn(&Context, &Scope) -> BTreeSet<String>,
    /// The object of this UID is gone.
    pub(super) forget: fn(&Arc<Context>, &str),
}

/// Forgets what is deleted in this scope until the context stops.
pub(super) fn forget_deleted<K: Kind>(context: Arc<Context>, scope: &Scope, kept: Kept) -> BoxFuture<'static, ()> {
    let api = scope.api::<PartialObjectMeta<K>>(&context.client);
    let scope = scope.clone();
    Box::pin(async move {
        let stop = context.stop.clone();
        let mut listing = Listing::default();
        let events = watcher(api, watcher::Config::default());
        let deletions = async {
            let mut events = std::pin::pin!(patient(events));
            while let Some(event) = events.next().await {
                let gone = match event {
                    Ok(event) => listing.gone(event, || (kept.uids)(&context, &scope)),
                    Err(error) => {
                        WatchFailed { kind: &K::kind(&()), class: classify_watch(&error), error: &error.to_string() }.emit();
                        // Most go on by themselves, with a list that shows what was missed; this one begins again where it was.
                        if matches!(error, watcher::Error::WatchStartFailed(_)) {
                            gone_by_list::<K>(&context, &scope, &kept).await
                        } else {
                            Vec::new()
                        }
                    }
                };
                gone.iter().for_each(|uid| (kept.forget)(&context, uid));
            }
        };
        tokio::select! {
            biased;
            () = deletions => {}
            () = stop.cancelled() => {}
        }
    })
}

/// UIDs of what a list shows to be gone.
async fn gone_by_list<K: Kind>(context: &Context, scope: &Scope, kept: &Kept) -> Vec<String> {
    let before = (kept.uids)(context, scope);
    if before.is_empty() {
        return Vec::new();
    }
    match scope.api::<K>(&context.client).list_metadata(&ListParams::default()).await {
        Ok(list) => {
            let listed = list.iter().filter_map(ResourceExt::uid).collect();
            before.difference(&listed).cloned().collect()
        }
        Err(error) => {
            WatchFailed { kind: &K::kind(&()), class: classify(&error), error: &error.to_string() }.emit();
            Vec::new()
        }
    }
}

/// A list in the making, and what was kept before it was asked for: what was kept only later says nothing about it.
#[derive(Default)]
struct Listing {
    before: BTreeSet<String>,
    listed: BTreeSet<String>,
}

impl Listing {
    /// UIDs of what is gone, as far as this event tells.
    fn gone<M: ResourceExt>(&mut self, event: Event<M>, kept: impl FnOnce() -> BTreeSet<String>) -> Vec<String> {
        match event {
            Event::Init => {
                *self = Listing { before: kept(), listed: BTreeSet::new() };
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listed.extend(object.uid());
                Vec::new()
            }
            Event::InitDone => {
                let Listing { before, listed } = mem::take(self);
                before.difference(&listed).cloned().collect()
            }
            Event::Apply(_) => Vec::new(),
            Event::Delete(object) => object.uid().into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;
    use kube::core::PartialObjectMetaExt as _;
    use reeve_api::AgentRun;

    use super::*;

    fn object(uid: &str) -> PartialObjectMeta<AgentRun> {
        ObjectMeta { name: Some("same".to_owned()), uid: Some(uid.to_owned()), ..ObjectMeta::default() }.into_response_partial()
    }

    fn kept(uids: &[&str]) -> BTreeSet<String> {
        uids.iter().map(|uid| (*uid).to_owned()).collect()
    }

    #[test]
    fn a_deletion_names_the_object_not_its_name() {
        let mut listing = Listing::default();
        assert_eq!(listing.gone(Event::Delete(object("old")), || kept(&["old", "new"])), ["old"]);
        assert!(listing.gone(Event::Apply(object("new")), || kept(&["new"])).is_empty());
    }

    #[test]
    fn what_was_deleted_while_nobody_watched_is_seen_at_the_next_list() {
        let mut listing = Listing::default();
        assert!(listing.gone(Event::<PartialObjectMeta<AgentRun>>::Init, || kept(&["a", "b"])).is_empty());
        assert!(listing.gone(Event::InitApply(object("b")), || kept(&["a", "b"])).is_empty());
        // c was made and taken up after the list was asked for: it is not forgotten.
        assert_eq!(listing.gone(Event::<PartialObjectMeta<AgentRun>>::InitDone, || kept(&["a", "b", "c"])), ["a"]);
    }

    #[test]
    fn a_list_that_is_begun_again_starts_empty() {
        let mut listing = Listing::default();
        listing.gone(Event::<PartialObjectMeta<AgentRun>>::Init, || kept(&["a", "b"]));
        listing.gone(Event::InitApply(object("a")), || kept(&["a", "b"]));
        listing.gone(Event::<PartialObjectMeta<AgentRun>>::Init, || kept(&["a", "b"]));
        listing.gone(Event::InitApply(object("b")), || kept(&["a", "b"]));
        assert_eq!(listing.gone(Event::<PartialObjectMeta<AgentRun>>::InitDone, || kept(&["a", "b"])), ["a"]);
    }
}
