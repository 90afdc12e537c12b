-- The journal: one append-only table, in the order it was written.
--
-- The triggers stop accidents, and a second writer that believes in an old head. They do not stop whoever owns the file: that is what the
-- chain of hashes and the anchors outside are for.

PRAGMA application_id = 0x52454556; -- "REEV"

CREATE TABLE journal (
    gseq   INTEGER PRIMARY KEY CHECK (gseq >= 1),
    stream TEXT    NOT NULL CHECK (stream <> ''),
    seq    INTEGER NOT NULL CHECK (seq >= 1),
    time   TEXT    NOT NULL CHECK (time <> ''),
    epoch  INTEGER NOT NULL CHECK (epoch >= 0),
    kind   TEXT    NOT NULL CHECK (kind <> ''),
    actor  TEXT    NOT NULL CHECK (actor <> ''),
    body   TEXT    NOT NULL CHECK (json_valid(body)),
    prev   TEXT    NOT NULL CHECK (prev GLOB 'sha256:*' AND length(prev) = 71),
    hash   TEXT    NOT NULL CHECK (hash GLOB 'sha256:*' AND length(hash) = 71),
    UNIQUE (stream, seq)
) STRICT;

-- A run is found by the name that people know it by.
CREATE INDEX journal_runs ON journal (json_extract(body, '$.namespace'), json_extract(body, '$.name'), gseq) WHERE kind = 'run.started';

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
BEGIN
    SELECT RAISE(ABORT, 'journal: rows are never updated');
END;

CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
BEGIN
    SELECT RAISE(ABORT, 'journal: rows are never deleted');
END;

-- INSERT OR REPLACE deletes the old row without asking the trigger above; it never gets that far, since a gseq or (stream, seq) that
-- exists is not the next one.
CREATE TRIGGER journal_gseq_is_next BEFORE INSERT ON journal
WHEN NEW.gseq IS NOT coalesce((SELECT gseq FROM journal ORDER BY gseq DESC LIMIT 1), 0) + 1
BEGIN
    SELECT RAISE(ABORT, 'journal: gseq is not the next one');
END;

CREATE TRIGGER journal_seq_is_next BEFORE INSERT ON journal
WHEN NEW.seq IS NOT coalesce((SELECT seq FROM journal WHERE stream = NEW.stream ORDER BY seq DESC LIMIT 1), 0) + 1
BEGIN
    SELECT RAISE(ABORT, 'journal: seq is not the next one of its stream');
END;

CREATE TRIGGER journal_prev_is_last_hash BEFORE INSERT ON journal
WHEN NEW.prev IS NOT coalesce(
    (SELECT hash FROM journal ORDER BY gseq DESC LIMIT 1),
    'sha256:0000000000000000000000000000000000000000000000000000000000000000'
)
BEGIN
    SELECT RAISE(ABORT, 'journal: prev is not the hash of the last row');
END;

-- Epochs never fall, so the last row has the highest.
CREATE TRIGGER journal_epoch_never_falls BEFORE INSERT ON journal
WHEN NEW.epoch < coalesce((SELECT epoch FROM journal ORDER BY gseq DESC LIMIT 1), 0)
BEGIN
    SELECT RAISE(ABORT, 'journal: epoch is lower than that of the last row');
END;
