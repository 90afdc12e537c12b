//! Heads and roots saved outside the database: files of several forms, and what a cluster holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::{Api, Client};
use reeve_api::label::JOURNAL_ANCHORS;
use reeve_core::Digest;
use reeve_core::journal::sign::{KeyId, Signature};
use reeve_core::journal::{Head, PostedRoot, SavedHead, SavedRoot, Seq, SignatureOf, Stream, merkle};
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::refused;
use crate::exit::Failure;

/// Objects in one answer of the API server.
const PAGE: u32 = 500;

/// What was saved.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    pub(super) heads: Vec<SavedHead>,
    roots: Vec<PostedRoot>,
}

/// A head as people save it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Anchor {
    /// A run's UID, or `operator`.
    stream: Stream,
    seq: Seq,
    hash: Digest,
    key_id: Option<KeyId>,
    signature: Option<Signature>,
}

/// A root as a line of the operator's log has it: without the proof that it extends the one before.
#[derive(Deserialize)]
struct LoggedRoot {
    log: Digest,
    size: u64,
    root: Digest,
    key_id: KeyId,
    signature: Signature,
}

/// Head of an AgentRun's status.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    seq: Seq,
    hash: Digest,
    key_id: Option<KeyId>,
    signature: Option<Signature>,
}

impl Saved {
    /// What is in this file: a JSON or YAML list of `{stream, seq, hash}` or of roots, roots one JSON object a line as a witness or the
    /// operator's log keeps them, or what `kubectl get -o json` or `-o yaml` says of AgentRuns or of the ConfigMaps of a journal.
    pub(super) fn read(file: &Path) -> Result<Saved, Failure> {
        let text = std::fs::read_to_string(file).map_err(Failure::reading(file.display()))?;
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Saved::parse(&text, &name).map_err(|why| {
            Failure::unusable(format!(
                "{}: expected heads {{stream, seq, hash}}, AgentRuns, or the ConfigMaps of a journal: {why}",
                file.display()
            ))
        })
    }

    fn parse(text: &str, file: &str) -> Result<Saved, String> {
        let mut saved = Saved::default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        if lines.len() > 1 && lines.iter().all(|line| line.starts_with('{') && line.ends_with('}')) {
            for line in lines {
                saved.add(serde_json::from_str(line).map_err(|error| error.to_string())?, file)?;
            }
        } else {
            // JSON is YAML.
            saved.add(serde_saphyr::from_str(text).map_err(|error| error.to_string())?, file)?;
        }
        // A file that lost its lines must not pass for one that was met.
        if saved.heads.is_empty() && saved.roots.is_empty() { Err("it is empty".to_owned()) } else { Ok(saved) }
    }

    fn add(&mut self, value: Value, file: &str) -> Result<(), String> {
        let why = |error: serde_json::Error| error.to_string();
        let kind = value.get("kind").and_then(Value::as_str).map(str::to_owned);
        match (kind.as_deref(), value) {
            (_, Value::Array(items)) => items.into_iter().try_for_each(|item| self.add(item, file)),
            (Some("AgentRun"), run) => self.add_run(&run),
            (Some("ConfigMap"), map) => {
                let name = map.pointer("/metadata/name").and_then(Value::as_str).unwrap_or(file).to_owned();
                let data: BTreeMap<String, String> = serde_json::from_value(map.get("data").cloned().unwrap_or_default()).map_err(why)?;
                self.add_map(&name, &data)
            }
            (Some(_), mut list) => match list.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => items.into_iter().try_for_each(|item| self.add(item, file)),
                Some(_) | None => Err("an object of another kind".to_owned()),
            },
            (None, line) if line.get("root").is_some() && line.get("key_id").is_some() => {
                let LoggedRoot { log, size, root, key_id, signature } = serde_json::from_value(line).map_err(why)?;
                let time = String::new();
                self.roots.push(PostedRoot { log, size, root, key_id, signature, before: size, proof: Vec::new(), time });
                Ok(())
            }
            (None, root) if root.get("root").is_some() => {
                self.roots.push(serde_json::from_value(root).map_err(why)?);
                Ok(())
            }
            (None, head) => {
                let Anchor { stream, seq, hash, key_id, signature } = serde_json::from_value(head).map_err(why)?;
                let signature = key_id.zip(signature).map(|(key_id, signature)| SignatureOf { key_id, signature });
                self.heads.push(SavedHead { stream, head: Head { seq, hash }, signature, from: Arc::from(file) });
                Ok(())
            }
        }
    }

    fn add_run(&mut self, run: &Value) -> Result<(), String> {
        self.heads.extend(RunHead::of(run)?.map(|run| run.head));
        Ok(())
    }

    fn add_map(&mut self, name: &str, data: &BTreeMap<String, String>) -> Result<(), String> {
        for (key, line) in data {
            self.roots.push(serde_json::from_str(line).map_err(|error| format!("ConfigMap {name}, {key}: {error}"))?);
        }
        Ok(())
    }

    /// What the cluster holds: the status of every AgentRun (of a namespace), and the ConfigMaps of every operator's journal.
    pub(super) async fn from_cluster(client: &Client, namespace: Option<&str>) -> Result<Saved, Failure> {
        let mut saved = Saved::default();
        let runs = agent_runs(client, namespace).await.map_err(refused("listing AgentRuns"))?;
        runs.iter().try_for_each(|run| saved.add_run(run)).map_err(Failure::no)?;
        let maps = root_maps(client).await.map_err(refused("listing the ConfigMaps of journals"))?;
        saved.merge(Saved::of_maps(maps)?);
        if saved.heads.is_empty() && saved.roots.is_empty() {
            return Err(Failure::no("the cluster holds no head of any journal: no AgentRun has one, and no ConfigMap"));
        }
        Ok(saved)
    }

    /// What these ConfigMaps hold.
    pub(crate) fn of_maps(maps: Vec<ConfigMap>) -> Result<Saved, Failure> {
        let mut saved = Saved::default();
        for map in maps {
            let name = map.metadata.name.unwrap_or_default();
            saved.add_map(&name, &map.data.unwrap_or_default()).map_err(Failure::no)?;
        }
        Ok(saved)
    }

    pub(super) fn merge(&mut self, other: Saved) {
        self.heads.extend(other.heads);
        self.roots.extend(other.roots);
    }

    /// The roots, each proved to extend the one before in its log.
    pub(crate) fn roots(&mut self) -> Result<Vec<SavedRoot>, Failure> {
        let mut roots = std::mem::take(&mut self.roots);
        // One that was kept in two places; of these, the one that comes with its proof.
        roots.sort_by_key(|root| (root.log, root.size, root.root, root.before == root.size));
        roots.dedup_by_key(|root| (root.log, root.size, root.root));
        check_proofs(&roots)?;
        Ok(roots.into_iter().map(saved_root).collect())
    }
}

/// The head that an AgentRun's status shows.
#[derive(Debug)]
pub(crate) struct RunHead {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) head: SavedHead,
}

impl RunHead {
    /// What this AgentRun shows; one without rows has no head yet.
    pub(crate) fn of(run: &Value) -> Result<Option<RunHead>, String> {
        let text = |path: &str| run.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let from = format!("status of AgentRun {namespace}/{name}");
        let Some(head) = run.pointer("/status/journal") else { return Ok(None) };
        let shown: Shown = serde_json::from_value(head.clone()).map_err(|error| format!("{from}: {error}"))?;
        let Shown { seq, hash, key_id, signature } = shown;
        let signature = key_id.zip(signature).map(|(key_id, signature)| SignatureOf { key_id, signature });
        let stream = Stream::run(&text("/metadata/uid"));
        Ok(Some(RunHead { namespace, name, head: SavedHead { stream, head: Head { seq, hash }, signature, from: Arc::from(from) } }))
    }
}

/// The ConfigMaps of every operator's journal.
pub(crate) async fn root_maps(client: &Client) -> Result<Vec<ConfigMap>, kube::Error> {
    let maps: Api<ConfigMap> = Api::all(client.clone());
    Ok(maps.list(&ListParams::default().labels(JOURNAL_ANCHORS)).await?.items)
}

/// Every AgentRun (of a namespace), as the server has it.
pub(crate) async fn agent_runs(client: &Client, namespace: Option<&str>) -> Result<Vec<Value>, kube::Error> {
    let kind = kube::discovery::ApiResource::erase::<reeve_api::AgentRun>(&());
    let runs: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    let mut all = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = runs.list(&page).await?;
        for run in &list.items {
            all.push(serde_json::to_value(run).map_err(kube::Error::SerdeError)?);
        }
        match list.metadata.continue_ {
            Some(more) if !more.is_empty() => page = page.continue_token(&more),
            Some(_) | None => return Ok(all),
        }
    }
}

fn saved_root(posted: PostedRoot) -> SavedRoot {
    let PostedRoot { log, size, root, key_id, signature, .. } = posted;
    SavedRoot { log, size, root, signature: SignatureOf { key_id, signature }, from: Arc::from("what keeps the roots") }
}

/// Each root that says to follow one that is here is proved to: RFC 9162 consistency. Needs no journal.
fn check_proofs(roots: &[PostedRoot]) -> Result<(), Failure> {
    for pair in roots.windows(2) {
        let [before, after] = pair else { continue };
        if before.log != after.log {
            continue;
        }
        if before.size == after.size {
            let both = format!("{} and {}", before.root, after.root);
            return Err(Failure::no(format!(
                "not verified: two roots of {} signed heads were kept, {both}: the log was forked",
                after.size
            )));
        }
        let proved =
            after.before != before.size || merkle::is_consistent((before.size, before.root), (after.size, after.root), &after.proof);
        if !proved {
            return Err(Failure::no(format!(
                "not verified: the root of {} signed heads is not proved to extend the one of {}: its proof does not fit",
                after.size, before.size
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot parse has failed")]

    use super::*;

    const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn anchors_are_json_or_yaml_or_what_kubectl_says_of_runs() {
        let yaml = Saved::parse(&format!("- stream: 0b8e\n  seq: 7\n  hash: {HASH}\n"), "heads").unwrap();
        let json = Saved::parse(&format!(r#"[{{"stream": "0b8e", "seq": 7, "hash": "{HASH}"}}]"#), "heads").unwrap();
        assert_eq!(yaml.heads, json.heads);
        assert_eq!(yaml.heads[0].head.seq, Seq(7));
        let run = format!(
            r#"{{"kind": "AgentRun", "metadata": {{"namespace": "a", "name": "b", "uid": "0b8e"}}, "status": {{"journal": {{"seq": 7, "hash": "{HASH}"}}}}}}"#
        );
        let list = Saved::parse(&format!(r#"{{"kind": "List", "items": [{run}]}}"#), "runs").unwrap();
        assert_eq!((&list.heads[0].stream, list.heads[0].head), (&yaml.heads[0].stream, yaml.heads[0].head));
        assert_eq!(&*list.heads[0].from, "status of AgentRun a/b");
    }

    #[test]
    fn a_line_of_the_operators_log_is_a_root_and_the_same_root_from_two_places_is_one() {
        use reeve_core::journal::SignedLog;
        use reeve_core::journal::sign::Signer;
        let signer = Signer::from_seed(&[1; 32]);
        let mut signed = SignedLog::default();
        let log = Digest::of(b"row");
        signed.apply(log, &signed.begin(&signer, &[]).unwrap().unwrap()).unwrap();
        let (anchored, proof) = signed.anchor(&signer, &[(Stream::run("a"), Head { seq: Seq(1), hash: log })]).unwrap();
        let (key_id, tree) = (anchored.key_id, anchored.tree);
        let logged = serde_json::json!({ "timestamp": "2026-11-26T01:01:09Z", "level": "INFO", "message": "journal anchored", "log": log,
            "size": tree.size, "root": tree.root, "key_id": key_id, "signature": tree.signature, "target": "reeve_operator" });
        let time = "2026-11-26T01:01:09Z".to_owned();
        let posted = PostedRoot { log, size: tree.size, root: tree.root, key_id, signature: tree.signature, before: 0, proof, time };
        let posted = serde_json::to_string(&posted).unwrap();
        let roots = |text: &str| Saved::parse(text, "roots").unwrap().roots().unwrap();
        assert_eq!(roots(&logged.to_string()), roots(&posted));
        assert_eq!(roots(&format!("{logged}\n{posted}\n")), roots(&posted));
    }

    #[test]
    fn an_anchor_file_that_says_nothing_or_something_else_is_refused() {
        let extra = format!("- {{stream: a, seq: 1, hash: \"{HASH}\", extra: 1}}");
        for text in ["", "[]", "{}", "- stream: a\n  seq: 1\n", &extra, "kind: List\nitems: []\n", "kind: Pod\n"] {
            assert!(Saved::parse(text, "heads").is_err(), "{text}");
        }
    }
}
