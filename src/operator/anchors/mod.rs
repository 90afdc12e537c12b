//! The journal's signatures, and the places outside of the database that keep its heads.
//!
//! A run's head is signed whenever its status is written. When its phase changes, the head is also *anchored*: a row `journal.anchored` of the
//! operator's stream signs it and the root of the tree of all heads so far, and that root then goes to a ConfigMap, to the log, and to a
//! witness where there is one. Phase changes that come close together share one row and one write of the ConfigMap.
//!
//! Architecture invariant: what is posted is a projection of rows. A root is durable in the journal before it is anywhere else, and one that a
//! crash kept from a ConfigMap is posted at the next start.

mod board;
mod keys;
mod witness;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::Client;
use reeve_api::JournalHead;
use reeve_core::Digest;
use reeve_core::journal::sign::{Signer, leaf_of};
use reeve_core::journal::{Actor, Epoch, Event, Head, PostedRoot, Row, RowDraft, Seq, SignedLog, Stream};
use reeve_core::limits::MAX_ANCHORED_HEADS;
use reeve_store::Journal;
use tokio::sync::Notify;

use crate::config::Config;
use crate::context::Context;
use crate::error::Error;
use crate::telemetry::{AnchorFailed, Event as _, JournalAnchored};
use board::{Board, Posted};
use witness::Witness;

pub use keys::Keys;
pub use witness::WitnessUrl;

/// From a change of phase to its anchor: what else changes meanwhile shares the row and the write.
const GATHER: Duration = Duration::from_secs(5);
/// Until what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// For what is left when the operator stops.
const LAST: Duration = Duration::from_secs(3);
/// Rows of the operator's stream that are read at once.
const PAGE: u32 = 500;

/// Signs heads, and knows which are to be anchored.
pub(crate) struct Anchors {
    signer: Signer,
    /// Streams whose head is to be anchored.
    wanted: Mutex<BTreeSet<Stream>>,
    rung: Notify,
    kept: tokio::sync::Mutex<Kept>,
    witness: Option<Witness>,
}

/// What the operator's stream adds up to so far, and what of it is not posted.
struct Kept {
    log: SignedLog,
    /// Last row of the operator's stream that was taken in.
    folded: Option<Seq>,
    unposted: VecDeque<PostedRoot>,
    board: Board,
}

impl Anchors {
    /// Takes in what the journal and the ConfigMaps have, and has the active key sign from here on.
    ///
    /// # Errors
    /// [`Error::Config`] when the key that signed so far is not among `keys`, and when a ConfigMap has a root of this journal that the
    /// journal never had: it was restored from an older copy, cut, or written anew.
    pub(crate) async fn open(
        client: &Client,
        config: &Config,
        journal: &Journal,
        epoch: Epoch,
        keys: Keys,
        now: Timestamp,
    ) -> Result<Anchors, Error> {
        let (board, posted) = Board::read(client, config).await?;
        let mut kept = Kept { log: SignedLog::default(), folded: None, unposted: VecDeque::new(), board };
        let mut anchored = BTreeMap::new();
        kept.take_in(journal, &posted, |stream, seq| {
            anchored.insert(stream, seq);
        })
        .await?;
        kept.compare(&posted)?;
        if let Some(event) = kept.log.begin(keys.active(), keys.all()).map_err(lost_key)? {
            let draft = RowDraft::of(&event, &Actor::Operator, now).map_err(|error| Error::bug(error.to_string()))?;
            journal.append(epoch, &Stream::operator(), kept.folded, vec![draft]).await?;
            kept.take_in(journal, &posted, |_, _| {}).await?;
        }
        tracing::info!(key_id = %keys.active().id(), heads = kept.log.tree().size(), "the journal is signed");
        // A run that ended where a crash came before its anchor.
        let streams = journal.streams().await?;
        let left =
            streams.into_iter().filter(|brief| brief.last_kind == "run.finished" && anchored.get(&brief.stream) != Some(&brief.head.seq));
        let wanted: BTreeSet<Stream> = left.map(|brief| brief.stream).collect();
        let rung = Notify::new();
        if !wanted.is_empty() || !kept.unposted.is_empty() {
            rung.notify_one();
        }
        let witness = config.witness.clone().map(Witness::start).transpose().map_err(Error::Config)?;
        Ok(Anchors { signer: keys.into_active(), wanted: Mutex::new(wanted), rung, kept: tokio::sync::Mutex::new(kept), witness })
    }

    /// Signs the head that a status shows.
    pub(crate) fn sign(&self, stream: &Stream, head: &Head, shown: &mut JournalHead) {
        match self.signer.head(stream, head) {
            Ok(signature) => {
                shown.key_id = Some(self.signer.id().to_string());
                shown.signature = Some(signature.to_string());
            }
            Err(error) => AnchorFailed { to: "status", error: &error.to_string() }.emit(),
        }
    }

    /// Has the head of this stream anchored soon.
    pub(crate) fn want(&self, stream: &Stream) {
        self.wanted().insert(stream.clone());
        self.rung.notify_one();
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, BTreeSet<Stream>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes from what is wanted as much as one row holds.
    fn some_wanted(&self) -> BTreeSet<Stream> {
        let mut wanted = self.wanted();
        let later = wanted.iter().nth(MAX_ANCHORED_HEADS).cloned();
        let later = later.map(|from| wanted.split_off(&from)).unwrap_or_default();
        std::mem::replace(&mut wanted, later)
    }
}

fn lost_key(why: String) -> Error {
    Error::Config(format!(
        "{why}. Put it back into the Secret beside the active one (it may go once the rotation is journaled). If it is lost, move the journal \
         away and begin another: what it signed still verifies with its public key"
    ))
}

impl Kept {
    /// Takes in the rows since the last time. Roots that are not posted go to what is to be.
    async fn take_in(&mut self, journal: &Journal, posted: &Posted, mut each: impl FnMut(Stream, Seq)) -> Result<(), Error> {
        loop {
            let from = self.folded.map_or(Seq(1), Seq::next);
            let rows = journal.read(&Stream::operator(), from, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            let folded = last.seq;
            for row in rows.iter().filter(|row| matches!(row.kind.as_str(), "key.introduced" | "key.rotated" | "journal.anchored")) {
                self.row(row, posted, &mut each)?;
            }
            self.folded = Some(folded);
        }
    }

    fn row(&mut self, row: &Row, posted: &Posted, each: &mut impl FnMut(Stream, Seq)) -> Result<(), Error> {
        let broken = |why: String| {
            Error::Config(format!(
                "row {} of the journal ({}): {why}. It was tampered with: run `reeve journal verify`",
                row.gseq, row.kind
            ))
        };
        let event = row.event().map_err(|error| broken(error.to_string()))?;
        let mut before = self.log.tree().clone();
        self.log.apply(row.hash, &event).map_err(broken)?;
        let (Event::JournalAnchored(anchored), Some(log)) = (event, self.log.id()) else { return Ok(()) };
        let size = before.size();
        let mut leaves = Vec::with_capacity(anchored.heads.len());
        for head in &anchored.heads {
            leaves.push(leaf_of(&head.stream, &head.head(), &anchored.key_id).map_err(|error| broken(error.to_string()))?);
            each(head.stream.clone(), head.seq);
        }
        let tree = anchored.tree;
        match posted.root(&log, tree.size) {
            Some(root) if root == tree.root => {}
            Some(root) => return Err(exchanged(&log, tree.size, root, &format!("has {} there (row {})", tree.root, row.gseq))),
            None => self.unposted.push_back(PostedRoot {
                log,
                size: tree.size,
                root: tree.root,
                key_id: anchored.key_id,
                signature: tree.signature,
                before: size,
                proof: before.extend(&leaves),
                time: row.time.clone(),
            }),
        }
        Ok(())
    }

    /// Nothing may be posted that the journal does not have.
    fn compare(&self, posted: &Posted) -> Result<(), Error> {
        let Some(log) = self.log.id() else { return Ok(()) };
        match posted.last(&log) {
            Some((size, root)) if size > self.log.tree().size() => {
                Err(exchanged(&log, size, root, &format!("has {} signed heads only", self.log.tree().size())))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Signs these heads in a row of the operator's stream.
    async fn anchor(&mut self, context: &Context, signer: &Signer, heads: &[(Stream, Head)]) -> Result<(), Error> {
        let posted = Posted::default();
        let _turn = context.own_turn().await;
        // An append whose outcome is not known may have been written.
        self.take_in(&context.journal, &posted, |_, _| {}).await?;
        let (anchored, _) = self.log.anchor(signer, heads).map_err(Error::bug)?;
        let event = Event::JournalAnchored(anchored);
        let draft = RowDraft::of(&event, &Actor::Operator, context.now()).map_err(|error| Error::bug(error.to_string()))?;
        context.journal.append(context.epoch, &Stream::operator(), self.folded, vec![draft]).await?;
        self.take_in(&context.journal, &posted, |_, _| {}).await
    }
}

fn exchanged(log: &Digest, size: u64, root: Digest, found: &str) -> Error {
    Error::Config(format!(
        "a ConfigMap has the root {root} of {size} signed heads of log {log}, but the journal {found}: it was restored from an older copy, cut, \
         or written anew. Bring back the journal that the ConfigMaps are of; if its loss is accepted, save the ConfigMaps, which prove it, and \
         delete them"
    ))
}

/// Anchors what is wanted and posts what is anchored, until the context stops.
pub(crate) fn keep(context: Arc<Context>, anchors: Arc<Anchors>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let stop = context.stop.clone();
        let mut failed = false;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = anchors.rung.notified() => {}
                () = tokio::time::sleep(AGAIN), if failed => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep(GATHER) => {}
            }
            failed = !round(&context, &anchors).await;
        }
        // Who leads no more is refused by the journal; what it had written may still be posted.
        if tokio::time::timeout(LAST, round(&context, &anchors)).await.is_err() {
            AnchorFailed { to: "configmap", error: "no time was left at the end; the next start does it" }.emit();
        }
    })
}

/// One round; whether everything was written.
async fn round(context: &Context, anchors: &Anchors) -> bool {
    let anchored = tell("journal", anchor_wanted(context, anchors).await);
    let posted = tell("configmap", post(anchors).await);
    anchored && posted
}

fn tell(to: &'static str, done: Result<(), Error>) -> bool {
    match done {
        Ok(()) => true,
        Err(error) => {
            AnchorFailed { to, error: &error.to_string() }.emit();
            false
        }
    }
}

async fn anchor_wanted(context: &Context, anchors: &Anchors) -> Result<(), Error> {
    loop {
        let streams = anchors.some_wanted();
        if streams.is_empty() {
            return Ok(());
        }
        let mut kept = anchors.kept.lock().await;
        let done = async {
            let mut heads = Vec::with_capacity(streams.len());
            for stream in &streams {
                heads.extend(context.journal.head(stream).await?.map(|head| (stream.clone(), head)));
            }
            if heads.is_empty() { Ok(()) } else { kept.anchor(context, &anchors.signer, &heads).await }
        };
        if let Err(error) = done.await {
            anchors.wanted().extend(streams);
            return Err(error);
        }
    }
}

async fn post(anchors: &Anchors) -> Result<(), Error> {
    let mut kept = anchors.kept.lock().await;
    let Kept { unposted, board, .. } = &mut *kept;
    while !unposted.is_empty() {
        let count = board.post(unposted.make_contiguous()).await?;
        for posted in unposted.drain(..count) {
            let PostedRoot { log, size, root, key_id, signature, .. } = &posted;
            let (log, root, key_id, signature) = (log.to_string(), root.to_string(), key_id.to_string(), signature.to_string());
            JournalAnchored { log: &log, size: *size, root: &root, key_id: &key_id, signature: &signature }.emit();
            if let Some(witness) = &anchors.witness {
                witness.tell(posted);
            }
        }
    }
    Ok(())
}
