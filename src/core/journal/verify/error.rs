//! What can be wrong with a journal, each with the place where it was found.

use crate::Digest;

/// What is wrong with a chain, at the first bad row.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChainError {
    /// A field was changed: the hash does not fit the rest.
    #[error("row {gseq} ({stream} {seq}, {kind}) was changed: its hash is {stored}, its content hashes to {computed}")]
    Changed {
        /// Position in the database.
        gseq: u64,
        /// Stream.
        stream: Box<str>,
        /// Position in the stream.
        seq: u64,
        /// Kind.
        kind: Box<str>,
        /// Hash in the row.
        stored: Digest,
        /// Hash of its content.
        computed: Digest,
    },
    /// A row before this one was replaced together with its hash.
    #[error("row {gseq} does not follow the row before it: it names {named} as its predecessor, that one is {found}")]
    Broken {
        /// Position in the database.
        gseq: u64,
        /// `prev` of the row.
        named: Digest,
        /// Hash of the row before.
        found: Digest,
    },
    /// Rows are missing.
    #[error("row {expected} is missing: row {found} stands in its place")]
    Gap {
        /// Position expected.
        expected: u64,
        /// Position found.
        found: u64,
    },
    /// A stream does not count up by one.
    #[error("row {gseq}: stream {stream} goes from {before} to {found}")]
    StreamGap {
        /// Position in the database.
        gseq: u64,
        /// Stream.
        stream: String,
        /// Last position in the stream.
        before: u64,
        /// Position found.
        found: u64,
    },
    /// A row was written under an epoch lower than one before it.
    #[error("row {gseq} was written under epoch {found}, after epoch {before}")]
    EpochFell {
        /// Position in the database.
        gseq: u64,
        /// Highest epoch before.
        before: u64,
        /// Epoch of the row.
        found: u64,
    },
    /// The chain is whole but shorter than, or other than, what was anchored outside.
    #[error("stream {stream} is anchored at {anchored_seq} {anchored} ({from}), but the journal {found}")]
    Anchor {
        /// Stream.
        stream: Box<str>,
        /// Where the anchor was saved.
        from: Box<str>,
        /// Anchored position.
        anchored_seq: u64,
        /// Anchored hash.
        anchored: Digest,
        /// What the journal has there.
        found: Box<str>,
    },
    /// A body in another form than RFC 8785's: two texts could mean the same event.
    #[error("row {gseq} ({stream} {seq}, {kind}): its body is not in the canonical form of RFC 8785")]
    NotCanonical {
        /// Position in the database.
        gseq: u64,
        /// Stream.
        stream: Box<str>,
        /// Position in the stream.
        seq: u64,
        /// Kind.
        kind: Box<str>,
    },
    /// A row about keys or signed heads that no holder of the key wrote.
    #[error("row {gseq} ({kind}): {why}")]
    Signature {
        /// Position in the database.
        gseq: u64,
        /// Kind.
        kind: Box<str>,
        /// What is wrong.
        why: Box<str>,
    },
    /// A row is not the one that was signed: it and its chain were written anew.
    #[error("row {row} (stream {stream} {seq}) is {found}, but row {gseq} has it signed as {signed}: rows were written anew")]
    Resigned {
        /// Row that holds the signature.
        gseq: u64,
        /// Row that was signed.
        row: u64,
        /// Stream.
        stream: Box<str>,
        /// Position in the stream.
        seq: u64,
        /// Hash that was signed.
        signed: Box<Digest>,
        /// Hash of the row.
        found: Box<Digest>,
    },
    /// A row that was signed is not there.
    #[error("stream {stream} was signed at {seq} (in row {gseq}), but the journal {found}: the run was deleted, or rows were")]
    SignedMissing {
        /// Row that holds the signature.
        gseq: u64,
        /// Stream.
        stream: Box<str>,
        /// Position in the stream.
        seq: u64,
        /// What the journal has of it.
        found: Box<str>,
    },
    /// A fork goes on from a row that its parent does not have.
    #[error("row {gseq}: run {fork} goes on from row {seq} {named} of run {parent}, which {found}")]
    Fork {
        /// Position of the fork's first row in the database.
        gseq: u64,
        /// The fork.
        fork: Box<str>,
        /// Its parent.
        parent: Box<str>,
        /// Position in the parent.
        seq: u64,
        /// Hash that the fork names.
        named: Box<Digest>,
        /// What the parent has.
        found: Box<str>,
    },
    /// A root saved outside is not one that the journal ever had.
    #[error("{from} has the root {anchored} of {size} signed heads, but the journal {found}")]
    Root {
        /// Where the root was saved.
        from: Box<str>,
        /// Heads in its tree.
        size: u64,
        /// The root.
        anchored: Box<Digest>,
        /// What the journal has.
        found: Box<str>,
    },
    /// Something saved outside carries a signature that is not by a key of this journal.
    #[error("{from}: {why}")]
    ForgedAnchor {
        /// Where it was saved.
        from: Box<str>,
        /// What is wrong.
        why: Box<str>,
    },
    /// The journal is signed, if at all, by others than whom the reader trusts.
    #[error("the journal is not signed by the key that was given, {trusted}: {found}")]
    Untrusted {
        /// Names of the keys that were given.
        trusted: Box<str>,
        /// What signs it.
        found: Box<str>,
    },
    /// A row that says that a run is archived, and does not fit what is there.
    #[error("row {gseq}: of run {run}, which is archived: {why}")]
    Archived {
        /// Position in the database.
        gseq: u64,
        /// The run.
        run: Box<str>,
        /// What does not fit.
        why: Box<str>,
    },
    /// A body that is not in its row, so that nothing can be read from it there.
    #[error("row {gseq} of kind {kind}: its body of {bytes} bytes is kept as artifact {digest}, which is needed to read it")]
    Kept {
        /// Position in the database.
        gseq: u64,
        /// Kind.
        kind: Box<str>,
        /// Size of the body.
        bytes: u64,
        /// Its digest, and its name in the artifact store.
        digest: Digest,
    },
    /// A body that is no event: not JSON, of an unknown kind, or not of its kind's form.
    #[error("row {gseq} of kind {kind} cannot be read: {why}")]
    Unreadable {
        /// Position in the database.
        gseq: u64,
        /// Kind.
        kind: String,
        /// Why.
        why: String,
    },
}
