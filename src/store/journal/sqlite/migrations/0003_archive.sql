-- Runs whose rows stand in files: the only rows that may ever be deleted, and only once a row of the operator's stream says so.

CREATE TABLE archived_run (
    stream TEXT    PRIMARY KEY NOT NULL CHECK (stream <> '' AND stream <> 'operator'),
    seq    INTEGER NOT NULL CHECK (seq >= 1),                                    -- its last row
    hash   TEXT    NOT NULL CHECK (hash GLOB 'sha256:*' AND length(hash) = 71),
    gseq   INTEGER NOT NULL UNIQUE                                              -- the row that says that it is archived
) STRICT;

CREATE TRIGGER archived_run_has_its_row BEFORE INSERT ON archived_run
WHEN NOT EXISTS (
    SELECT 1 FROM journal WHERE gseq = NEW.gseq AND stream = 'operator' AND kind = 'run.archived'
        AND json_extract(body, '$.run') IS NEW.stream
        AND json_extract(body, '$.head.seq') IS NEW.seq
        AND json_extract(body, '$.head.hash') IS NEW.hash
)
BEGIN
    SELECT RAISE(ABORT, 'archive: no row of the journal says that this run is archived');
END;

CREATE TRIGGER archived_run_has_ended BEFORE INSERT ON archived_run
WHEN EXISTS (SELECT 1 FROM archived_run WHERE stream = NEW.stream)
    OR NOT EXISTS (
        SELECT 1 FROM journal WHERE stream = NEW.stream AND seq = NEW.seq AND hash = NEW.hash AND kind = 'run.finished'
    )
    OR EXISTS (SELECT 1 FROM journal WHERE stream = NEW.stream AND seq > NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'archive: the last row of the run is another, or it has not ended');
END;

CREATE TRIGGER archived_run_no_update BEFORE UPDATE ON archived_run
BEGIN
    SELECT RAISE(ABORT, 'archive: what was archived stays so');
END;

CREATE TRIGGER archived_run_no_delete BEFORE DELETE ON archived_run
BEGIN
    SELECT RAISE(ABORT, 'archive: what was archived stays so');
END;

DROP TRIGGER journal_no_delete;

CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
WHEN NOT EXISTS (SELECT 1 FROM archived_run WHERE stream = OLD.stream)
BEGIN
    SELECT RAISE(ABORT, 'journal: rows are never deleted');
END;

-- Any later row of a stream needs the one before it.
CREATE TRIGGER journal_run_is_archived BEFORE INSERT ON journal
WHEN NEW.seq = 1 AND EXISTS (SELECT 1 FROM archived_run WHERE stream = NEW.stream)
BEGIN
    SELECT RAISE(ABORT, 'journal: the run is archived, and has no more rows');
END;

DROP TRIGGER budget_reservation_stays;

CREATE TRIGGER budget_reservation_stays BEFORE DELETE ON budget_reservation
WHEN OLD.settled_gseq IS NULL
    OR NOT EXISTS (
        SELECT 1 FROM journal JOIN archived_run ON archived_run.stream = journal.stream WHERE journal.gseq = OLD.gseq
    )
BEGIN
    SELECT RAISE(ABORT, 'budget: reservations are never deleted');
END;
