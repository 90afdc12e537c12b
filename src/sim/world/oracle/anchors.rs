//! What was signed and posted, held to the journal as somebody outside holds it.

use std::sync::Arc;

use reeve_api::label::JOURNAL_ANCHORS;
use reeve_core::Digest;
use reeve_core::journal::sign::KeyId;
use reeve_core::journal::{Expected, Head, PostedRoot, SavedHead, SavedRoot, Seq, SignatureOf, Stream, Verifier};
use serde_json::Value;

use crate::world::sim::{Shared, Sim};

/// What of a signed world an outsider cannot check at its end, or finds missing: every root that was posted is the journal's, by a key that he
/// knows; every status shows a head of the journal; the last word of each run that has ended is under a signature, and the root of all is
/// posted. Nothing where the journal is not signed.
///
/// # Errors
/// No runtime to read the journal in.
pub(crate) fn unanchored(shared: &Shared) -> Result<Vec<String>, String> {
    let Some(keys) = &shared.keys else { return Ok(Vec::new()) };
    let (roots, heads) = {
        let sim = shared.lock();
        match (roots(&sim), heads(&sim)) {
            (Ok(roots), Ok(heads)) => (roots, heads),
            (Err(why), _) | (_, Err(why)) => return Ok(vec![why]),
        }
    };
    let (ended, last) = (heads.iter().filter(|(ended, _)| *ended).count(), roots.last().map(|saved| (saved.size, saved.root)));
    let expected = Expected {
        heads: heads.into_iter().map(|(_, head)| head).collect(),
        roots,
        keys: vec![*keys.active().public()],
        ..Expected::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    let verified = match runtime.block_on(shared.journal.open().verify_against(Verifier::expecting(expected))) {
        Ok(verified) => verified,
        Err(why) => return Ok(vec![format!("what was saved outside does not fit the journal: {why}")]),
    };
    let mut wrong = Vec::new();
    match verified.signed {
        None => wrong.push("the journal has a key, and nothing of it is signed".to_owned()),
        Some(signed) if signed.heads > 0 && last != Some((signed.heads, signed.root)) => {
            wrong.push(format!("the root of {} signed heads is not posted; the last one is {last:?}", signed.heads));
        }
        Some(signed) if ended as u64 > signed.heads => {
            wrong.push(format!("{ended} runs have ended, and {} heads are signed", signed.heads));
        }
        Some(_) => {}
    }
    Ok(wrong)
}

/// Every root in a ConfigMap, by size.
fn roots(sim: &Sim) -> Result<Vec<SavedRoot>, String> {
    let mut roots = Vec::new();
    for (key, map) in sim.api.objects().filter(|(_, object)| object["metadata"]["labels"][JOURNAL_ANCHORS].is_string()) {
        for line in map["data"].as_object().into_iter().flat_map(|data| data.values()).filter_map(Value::as_str) {
            let PostedRoot { log, size, root, key_id, signature, .. } =
                serde_json::from_str(line).map_err(|error| format!("{key} holds no root: {error}"))?;
            roots.push(SavedRoot { log, size, root, signature: SignatureOf { key_id, signature }, from: Arc::from(key) });
        }
    }
    roots.sort_by_key(|saved| saved.size);
    Ok(roots)
}

/// The head that each run's status shows, and whether the run has ended.
fn heads(sim: &Sim) -> Result<Vec<(bool, SavedHead)>, String> {
    let mut heads = Vec::new();
    for (key, run) in sim.api.objects().filter(|(key, _)| key.starts_with("reeve.dev/agentruns/")) {
        let shown = &run["status"]["journal"];
        let (Some(seq), Some(hash)) = (shown["seq"].as_u64(), shown["hash"].as_str()) else { continue };
        let unsigned = || format!("{key} shows a head that nobody signed: {shown}");
        let key_id = KeyId::from(shown["keyId"].as_str().ok_or_else(unsigned)?.to_owned());
        let signature = shown["signature"].as_str().and_then(|text| text.parse().ok()).ok_or_else(unsigned)?;
        let hash: Digest = hash.parse().map_err(|error| format!("{key} shows no hash: {error}"))?;
        let ended = matches!(run["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let stream = Stream::run(run["metadata"]["uid"].as_str().unwrap_or_default());
        let head = Head { seq: Seq(seq), hash };
        heads.push((ended, SavedHead { stream, head, signature: Some(SignatureOf { key_id, signature }), from: Arc::from(key) }));
    }
    Ok(heads)
}
