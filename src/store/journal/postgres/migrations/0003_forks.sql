-- A fork reads its parent's rows as long as it lives: neither is a run archived that another one goes on from, nor does one go on from a run
-- that is archived. Whoever looked before it may have looked too early.

-- An index over a long journal takes longer than an operator's statements may.
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 0;

CREATE INDEX journal_forks ON journal ((replace(body, '\u0000', '\ufffd')::jsonb #>> '{forkedFrom,uid}') COLLATE "C")
WHERE kind = 'run.started' AND replace(body, '\u0000', '\ufffd')::jsonb #>> '{forkedFrom,uid}' IS NOT NULL;

DO $do$
BEGIN
    -- Forks go first where both are archived: their rows are gone by then.
    EXECUTE format($create$
        CREATE FUNCTION archived_run_has_no_fork() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            IF EXISTS (
                SELECT FROM %1$I.journal
                WHERE kind = 'run.started'
                    AND replace(body, '\u0000', '\ufffd')::jsonb #>> '{forkedFrom,uid}' IS NOT NULL
                    AND (replace(body, '\u0000', '\ufffd')::jsonb #>> '{forkedFrom,uid}') COLLATE "C" = NEW.stream
            ) THEN
                RAISE EXCEPTION 'archive: a run that stays goes on from it';
            END IF;
            RETURN NEW;
        END
        $body$
    $create$, current_schema());
    EXECUTE format($create$
        CREATE FUNCTION journal_fork_has_its_parent() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            IF EXISTS (
                SELECT FROM %1$I.archived_run WHERE stream = replace(NEW.body, '\u0000', '\ufffd')::jsonb #>> '{forkedFrom,uid}'
            ) THEN
                RAISE EXCEPTION 'journal: the run that it goes on from is archived';
            END IF;
            RETURN NEW;
        END
        $body$
    $create$, current_schema());
END
$do$;

CREATE TRIGGER archived_run_has_no_fork BEFORE INSERT ON archived_run FOR EACH ROW EXECUTE FUNCTION archived_run_has_no_fork();

CREATE TRIGGER journal_fork_has_its_parent BEFORE INSERT ON journal
    FOR EACH ROW WHEN (NEW.seq = 1 AND NEW.kind = 'run.started') EXECUTE FUNCTION journal_fork_has_its_parent();
