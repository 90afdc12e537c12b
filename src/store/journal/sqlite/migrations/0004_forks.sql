-- A fork reads its parent's rows as long as it lives: neither is a run archived that another one goes on from, nor does one go on from a run
-- that is archived. Whoever looked before it may have looked too early.

CREATE INDEX journal_forks ON journal (json_extract(body, '$.forkedFrom.uid'))
WHERE kind = 'run.started' AND json_extract(body, '$.forkedFrom.uid') IS NOT NULL;

-- Forks go first where both are archived: their rows are gone by then.
CREATE TRIGGER archived_run_has_no_fork BEFORE INSERT ON archived_run
WHEN EXISTS (
    SELECT 1 FROM journal WHERE kind = 'run.started' AND json_extract(body, '$.forkedFrom.uid') = NEW.stream
)
BEGIN
    SELECT RAISE(ABORT, 'archive: a run that stays goes on from it');
END;

CREATE TRIGGER journal_fork_has_its_parent BEFORE INSERT ON journal
WHEN NEW.seq = 1 AND NEW.kind = 'run.started'
    AND EXISTS (SELECT 1 FROM archived_run WHERE stream = json_extract(NEW.body, '$.forkedFrom.uid'))
BEGIN
    SELECT RAISE(ABORT, 'journal: the run that it goes on from is archived');
END;
