//! The ConfigMaps that keep every root, in the operator's namespace.
//!
//! They are named `<lease>-journal-anchors-<log>-<number>`, so that a journal that was begun anew has ConfigMaps of its own and those of the
//! one before stay. Each holds up to [`LINES`] roots, a line of JSON ([`PostedRoot`]) each, by size; a full one is made immutable. A line has
//! some 0.4 KiB and 80 bytes more for each doubling of the heads (its proof): 2 KiB at a million of them, so a full ConfigMap stays under a
//! quarter of the 1 MiB that Kubernetes allows, and what is written to etcd for one root stays small.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use reeve_api::FIELD_MANAGER;
use reeve_api::label::JOURNAL_ANCHORS;
use reeve_core::Digest;
use reeve_core::journal::PostedRoot;
use serde_json::json;

use crate::config::Config;
use crate::error::Error;

/// Roots of one ConfigMap.
const LINES: usize = 128;

/// Roots found in ConfigMaps, by log and size.
#[derive(Debug, Default)]
pub(super) struct Posted(BTreeMap<Digest, BTreeMap<u64, Digest>>);

impl Posted {
    pub(super) fn root(&self, log: &Digest, size: u64) -> Option<Digest> {
        self.0.get(log)?.get(&size).copied()
    }

    pub(super) fn last(&self, log: &Digest) -> Option<(u64, Digest)> {
        self.0.get(log)?.last_key_value().map(|(size, root)| (*size, *root))
    }
}

/// Writes roots to ConfigMaps.
pub(super) struct Board {
    api: Api<ConfigMap>,
    prefix: String,
    /// The last ConfigMap of each log: its number and how many lines it has.
    last: BTreeMap<Digest, (u32, usize)>,
}

impl Board {
    /// Finds the ConfigMaps and reads what they hold.
    pub(super) async fn read(client: &Client, config: &Config) -> Result<(Board, Posted), Error> {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), &config.namespace);
        let labelled = ListParams::default().labels(&format!("{JOURNAL_ANCHORS}={}", config.lease_name));
        let (mut posted, mut last) = (Posted::default(), BTreeMap::new());
        for map in api.list(&labelled).await? {
            let name = map.name_any();
            let number = name.rsplit_once('-').and_then(|(_, number)| number.parse::<u32>().ok());
            let unreadable = |key: &str, why: &dyn std::fmt::Display| {
                Error::Config(format!(
                    "ConfigMap {}/{name}, {key}: it is no root of a journal: {why}. Somebody changed it: save it, then bring it back or delete it",
                    config.namespace
                ))
            };
            let number = number.ok_or_else(|| unreadable("name", &"it does not end with a number"))?;
            for (key, line) in map.data.iter().flatten() {
                let root: PostedRoot = serde_json::from_str(line).map_err(|error| unreadable(key, &error))?;
                let lines = map.data.as_ref().map_or(0, BTreeMap::len);
                let newest = last.entry(root.log).or_insert((number, lines));
                if number > newest.0 {
                    *newest = (number, lines);
                }
                posted.0.entry(root.log).or_default().insert(root.size, root.root);
            }
        }
        Ok((Board { api, prefix: format!("{}-journal-anchors", config.lease_name), last }, posted))
    }

    /// Writes the first of these roots, as many as go to one ConfigMap; how many that were.
    pub(super) async fn post(&mut self, roots: &[PostedRoot]) -> Result<usize, Error> {
        let Some(first) = roots.first() else { return Ok(0) };
        let (number, held) = match self.last.get(&first.log) {
            Some((number, held)) if *held < LINES => (*number, *held),
            Some((number, _)) => (number + 1, 0),
            None => (1, 0),
        };
        let roots: Vec<&PostedRoot> = roots.iter().take_while(|root| root.log == first.log).take(LINES - held).collect();
        let mut data = BTreeMap::new();
        for root in &roots {
            let line = serde_json::to_string(root).map_err(|error| Error::bug(error.to_string()))?;
            data.insert(format!("{:012}", root.size), line);
        }
        let full = held + roots.len() == LINES;
        let log: String = first.log.hex().chars().take(10).collect();
        self.write(&format!("{}-{log}-{number:05}", self.prefix), data, full).await?;
        self.last.insert(first.log, (number, held + roots.len()));
        Ok(roots.len())
    }

    async fn write(&self, name: &str, data: BTreeMap<String, String>, full: bool) -> Result<(), Error> {
        // A line that is there already has the same text: it comes from the same row.
        let immutable = full.then_some(true);
        let patch = Patch::Merge(json!({ "data": data, "immutable": immutable }));
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match self.api.patch(name, &parameters, &patch).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error.into()),
        }
        let labels = [
            ("app.kubernetes.io/part-of", "reeve"),
            ("app.kubernetes.io/component", "journal-anchors"),
            (JOURNAL_ANCHORS, self.prefix.strip_suffix("-journal-anchors").unwrap_or(&self.prefix)),
        ];
        let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
        let map = ConfigMap { metadata, data: Some(data), immutable, ..ConfigMap::default() };
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.api.create(&parameters, &map).await {
            Ok(_) => Ok(()),
            // The client retries a POST by itself: the first try made it.
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
                self.api.patch(name, &parameters, &patch).await?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
