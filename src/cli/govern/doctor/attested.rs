//! Whether the journal is signed by a key that somebody trusts, and whether it has what the cluster keeps of it: the roots in ConfigMaps, the
//! heads in the status of AgentRuns.
//!
//! It reads the operator's own stream and, of a run, the one row that its status names. That every other row is well is for `reeve journal
//! verify` to say.

use std::collections::BTreeMap;

use kube::Client;
use reeve_core::Digest;
use reeve_core::journal::sign::PublicKey;
use reeve_core::journal::{Event, Head, Row, SavedHead, SavedRoot, Seq, SignatureOf, SignedLog, Stream};

use super::report::{Area, Check, Level, UNREAD};
use crate::cluster::said;
use crate::exit::Failure;
use crate::journal::{RunHead, Saved, agent_runs, root_maps};
use crate::output::count;
use crate::read_api::{ReadApi, ReadError};
use crate::trace::parse;

/// Rows of runs that are asked for, one answer each. Heads that were anchored need none.
const ASKED_AT_MOST: usize = 200;

const SIGNATURES: &str = "journal signatures";
const ROOTS: &str = "journal roots";
const HEADS: &str = "journal heads";

/// Looks at the signatures, the roots and the heads.
pub(super) async fn look(api: &mut ReadApi, client: &Client, namespace: &str, keys: &[PublicKey]) -> Vec<Check> {
    let unread = |why: String| vec![check((Level::Warn, format!("{UNREAD}{why}")), SIGNATURES)];
    let own = match own_rows(api).await {
        Ok(rows) => rows,
        Err(error) if error.is_missing() => {
            return unread("this operator does not show its own rows: it is of an older release".to_owned());
        }
        Err(error) => return unread(error.to_string()),
    };
    let attested = match Attested::of(&own) {
        Ok(attested) => attested,
        Err(why) => return vec![check((Level::Fail, format!("{why}: run reeve journal verify")), SIGNATURES)],
    };
    let roots = match root_maps(client).await {
        Ok(maps) => match Saved::of_maps(maps).and_then(|mut saved| saved.roots()) {
            Ok(roots) => attested.roots(&roots),
            Err(Failure::No(why) | Failure::Unusable(why)) => (Level::Fail, why),
            Err(Failure::OutputClosed) => (Level::Warn, format!("{UNREAD}the output was closed")),
        },
        Err(error) => (Level::Warn, format!("{UNREAD}{}: who may list ConfigMaps in all namespaces can", said(&error))),
    };
    vec![check(attested.trusted(keys), SIGNATURES), check(roots, ROOTS), check(heads(api, client, namespace, &attested).await, HEADS)]
}

fn check((level, message): (Level, String), name: &str) -> Check {
    Check::new(level, Area::Operator, name, message)
}

/// Every row of the operator's own stream.
async fn own_rows(api: &mut ReadApi) -> Result<Vec<Row>, ReadError> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let from = rows.last().map_or(1, |row| row.seq.0 + 1);
        let more = parse(&api.get(&format!("journal/operator?from={from}")).await?).map_err(ReadError::Broken)?;
        if more.is_empty() {
            return Ok(rows);
        }
        rows.extend(more);
    }
}

/// Compares what the statuses of AgentRuns show.
async fn heads(api: &mut ReadApi, client: &Client, namespace: &str, attested: &Attested) -> (Level, String) {
    let (runs, place) = match agent_runs(client, None).await {
        Ok(runs) => (runs, "all namespaces".to_owned()),
        // Somebody who may look at their own namespace only.
        Err(refused) => match agent_runs(client, Some(namespace)).await {
            Ok(runs) => (runs, format!("namespace {namespace}")),
            Err(_) => return (Level::Warn, format!("{UNREAD}{}: who may list AgentRuns can", said(&refused))),
        },
    };
    let mut tally = Tally::default();
    for run in &runs {
        let shown = match RunHead::of(run) {
            Ok(Some(shown)) => shown,
            Ok(None) => continue,
            Err(why) => return (Level::Fail, why),
        };
        tally.unsigned += usize::from(shown.head.signature.is_none());
        match attested.place(&shown.head) {
            Place::Met => tally.met += 1,
            Place::OfOthers => tally.of_others += 1,
            Place::Wrong(why) => return (Level::Fail, format!("{}: {why}", shown.head.from)),
            Place::Row if tally.asked == ASKED_AT_MOST => tally.left += 1,
            Place::Row => {
                tally.asked += 1;
                match row_of(api, &shown).await {
                    Ok(rows) => match is_row(&shown.head, &rows) {
                        Ok(()) => tally.met += 1,
                        Err(why) => return (Level::Fail, format!("{}: {why}", shown.head.from)),
                    },
                    // Whose it is, only a signature says.
                    Err(error) if error.is_missing() && shown.head.signature.is_none() => tally.of_others += 1,
                    Err(error) if error.is_missing() => {
                        let why = "the journal has no such run: it was deleted, or the journal was restored from an older copy";
                        return (Level::Fail, format!("{}: it is signed by a key of this journal, but {why}", shown.head.from));
                    }
                    Err(error) => return (Level::Warn, format!("{UNREAD}{}: {error}", shown.head.from)),
                }
            }
        }
    }
    tally.said(&place)
}

async fn row_of(api: &mut ReadApi, shown: &RunHead) -> Result<Vec<Row>, ReadError> {
    let RunHead { namespace, name, head } = shown;
    let path = format!("namespaces/{namespace}/runs/{name}/journal?from={}&uid={}", head.head.seq.0, head.stream.as_str());
    parse(&api.get(&path).await?).map_err(ReadError::Broken)
}

/// Whether the first of these rows, which begin at the head's place, is the head.
fn is_row(saved: &SavedHead, rows: &[Row]) -> Result<(), String> {
    let Head { seq, hash } = saved.head;
    let Some(row) = rows.first() else { return Err(format!("it stands at row {}, but the journal ends before: its tail was cut", seq.0)) };
    let computed = row.computed_hash().map_err(|error| error.to_string())?;
    if (row.seq, row.hash, computed) == (seq, hash, hash) {
        return Ok(());
    }
    Err(format!("it has {hash} at row {}, but the journal {computed} at row {}: it was written anew", seq.0, row.seq.0))
}

#[derive(Debug, Default)]
struct Tally {
    met: usize,
    unsigned: usize,
    of_others: usize,
    asked: usize,
    left: usize,
}

impl Tally {
    fn said(&self, place: &str) -> (Level, String) {
        let Tally { met, unsigned, of_others, asked: _, left } = *self;
        let mut said = format!("{} in the status of AgentRuns ({place}) met", count(met as u64, "head"));
        if of_others > 0 {
            said.push_str(&format!(", {of_others} of other operators left alone"));
        }
        if unsigned > 0 {
            said.push_str(&format!(", {unsigned} not signed: an operator signs them when it writes the status next"));
        }
        if left > 0 {
            said.push_str(&format!("; {left} were not asked for: reeve journal verify --status from-cluster looks at all"));
        }
        (if unsigned + left > 0 { Level::Warn } else { Level::Ok }, said)
    }
}

/// Where a head that was saved is to be found.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// It is one that was anchored, or the end of a run that was archived.
    Met,
    /// In its run's row.
    Row,
    /// In another operator's journal.
    OfOthers,
    /// It cannot be.
    Wrong(String),
}

/// What the operator's own stream says: each signature in it is good.
#[derive(Debug, Default)]
struct Attested {
    log: SignedLog,
    /// By size.
    roots: BTreeMap<u64, Digest>,
    anchored: BTreeMap<(Stream, Seq), Digest>,
    archived: BTreeMap<Stream, Head>,
}

impl Attested {
    fn of(rows: &[Row]) -> Result<Attested, String> {
        let mut attested = Attested::default();
        for row in rows {
            let wrong = |why: String| format!("row {} ({}): {why}", row.gseq, row.kind);
            let computed = row.computed_hash().map_err(|error| wrong(error.to_string()))?;
            if computed != row.hash {
                return Err(wrong(format!("it was changed: its hash is {}, its content hashes to {computed}", row.hash)));
            }
            if row.kept().map_err(|error| wrong(error.to_string()))?.is_some() {
                continue;
            }
            let event = row.event().map_err(|error| wrong(error.to_string()))?;
            attested.log.apply(row.hash, &event).map_err(wrong)?;
            if let Event::JournalAnchored(anchored) = event {
                attested.log.check(&anchored).map_err(wrong)?;
                attested.roots.insert(anchored.tree.size, anchored.tree.root);
                attested.anchored.extend(anchored.heads.into_iter().map(|head| ((head.stream, head.seq), head.hash)));
            } else if let Event::RunArchived(archived) = event {
                attested.archived.insert(archived.run.clone(), archived.head);
            }
        }
        Ok(attested)
    }

    fn trusted(&self, keys: &[PublicKey]) -> (Level, String) {
        let Some(active) = self.log.active() else {
            return (Level::Fail, "the journal has no key: whoever holds the database can write it anew unseen".to_owned());
        };
        let heads = count(self.log.tree().size(), "head");
        if keys.is_empty() {
            return (
                Level::Warn,
                format!(
                    "{heads} signed by {active}, which nobody vouched for: give --public-key FILE, saved when Reeve was installed \
                     (reeve journal public-key in the operator's Pod prints it)"
                ),
            );
        }
        if keys.iter().any(|key| self.log.key(&key.id()).is_some()) {
            return (Level::Ok, format!("{heads} signed by {active}, which follows from the key given; every signature is good"));
        }
        let given: Vec<String> = keys.iter().map(|key| key.id().to_string()).collect();
        let why = format!("{heads} signed by {active}, which does not follow from {}, which was given", given.join(", "));
        (Level::Fail, format!("{why}: the journal was exchanged, or the key is of another operator"))
    }

    fn roots(&self, saved: &[SavedRoot]) -> (Level, String) {
        let Some(log) = self.log.id() else { return (Level::Warn, "nothing is signed that a ConfigMap could keep".to_owned()) };
        let (own, others): (Vec<&SavedRoot>, Vec<&SavedRoot>) = saved.iter().partition(|root| root.log == log);
        for root in &own {
            let SavedRoot { log, size, root, signature: SignatureOf { key_id, signature }, .. } = root;
            if !self.log.key(key_id).is_some_and(|key| key.signed_tree(log, *size, root, signature)) {
                return (
                    Level::Fail,
                    format!("the root of {size} heads in the ConfigMaps is not signed by a key of this journal: it was forged"),
                );
            }
            let found = match self.roots.get(size) {
                Some(own) if own == root => continue,
                Some(own) => format!("the journal has {own}"),
                None => format!("the journal had no such root, and has {} signed now", count(self.log.tree().size(), "head")),
            };
            return (
                Level::Fail,
                format!("the ConfigMaps have the root {root} of {size} heads, but {found}: it was cut, restored or written anew"),
            );
        }
        let others = if others.is_empty() { String::new() } else { format!(", {} of other journals left alone", others.len()) };
        match own.last() {
            Some(last) => {
                let met = count(own.len() as u64, "root");
                (
                    Level::Ok,
                    format!("{met} in ConfigMaps met, each proved to extend the one before, the last of {} heads{others}", last.size),
                )
            }
            None if self.roots.is_empty() => (Level::Ok, format!("none was signed yet{others}")),
            None => {
                let advice = "kubectl get configmaps -A -l reeve.dev/journal-anchors; restart the operator, which posts what is missing";
                let signed = count(self.roots.len() as u64, "root");
                (Level::Warn, format!("{signed} signed, but no ConfigMap has one: a tail that is cut would not be found: {advice}{others}"))
            }
        }
    }

    fn place(&self, saved: &SavedHead) -> Place {
        let SavedHead { stream, head, signature, .. } = saved;
        if let Some(SignatureOf { key_id, signature }) = signature {
            match self.log.key(key_id) {
                Some(key) if key.signed_head(stream, head, signature) => {}
                Some(_) => return Place::Wrong(format!("its signature is not by key {key_id}: it was forged")),
                None => return Place::OfOthers,
            }
        }
        let other = |found: &Digest| Place::Wrong(format!("it has {} at row {}, but {found} was signed", head.hash, head.seq.0));
        match (self.anchored.get(&(stream.clone(), head.seq)), self.archived.get(stream)) {
            (Some(anchored), _) if *anchored == head.hash => Place::Met,
            (Some(anchored), _) => other(anchored),
            (None, Some(archived)) if archived == head => Place::Met,
            (None, Some(archived)) if archived.seq == head.seq => other(&archived.hash),
            // Only the file has that row.
            (None, Some(archived)) if head.seq < archived.seq => Place::Met,
            (None, Some(archived)) => {
                Place::Wrong(format!("it stands at row {}, but the run was archived at {}", head.seq.0, archived.seq.0))
            }
            (None, None) => Place::Row,
        }
    }
}

#[cfg(test)]
mod tests;
