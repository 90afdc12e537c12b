-- Runs whose rows stand in files: the only rows that may ever be deleted, and only once a row of the operator's stream says so. The
-- operator's role may delete none: they go by `reeve journal archive` with a role that owns the tables.

CREATE TABLE archived_run (
    stream text COLLATE "C" NOT NULL PRIMARY KEY CHECK (stream <> '' AND stream <> 'operator'),
    seq    bigint           NOT NULL CHECK (seq >= 1),                                       -- its last row
    hash   text COLLATE "C" NOT NULL CHECK (hash LIKE 'sha256:%' AND length(hash) = 71),
    gseq   bigint           NOT NULL UNIQUE                                                  -- the row that says that it is archived
);

CREATE FUNCTION archived_run_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'archive: what was archived stays so';
END
$body$;

CREATE TRIGGER archived_run_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON archived_run
    FOR EACH STATEMENT EXECUTE FUNCTION archived_run_stays();

DROP TRIGGER journal_stays ON journal;
DROP TRIGGER budget_reservation_stays ON budget_reservation;

DO $do$
BEGIN
    EXECUTE format($create$
        CREATE FUNCTION archived_run_has_ended() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            IF NOT EXISTS (
                SELECT FROM %1$I.journal WHERE gseq = NEW.gseq AND stream = 'operator' AND kind = 'run.archived'
                    AND body::json ->> 'run' = NEW.stream
                    AND body::json #>> '{head,seq}' = NEW.seq::text
                    AND body::json #>> '{head,hash}' = NEW.hash
            ) THEN
                RAISE EXCEPTION 'archive: no row of the journal says that this run is archived';
            END IF;
            IF NOT EXISTS (
                    SELECT FROM %1$I.journal WHERE stream = NEW.stream AND seq = NEW.seq AND hash = NEW.hash AND kind = 'run.finished'
                )
                OR EXISTS (SELECT FROM %1$I.journal WHERE stream = NEW.stream AND seq > NEW.seq)
            THEN
                RAISE EXCEPTION 'archive: the last row of the run is another, or it has not ended';
            END IF;
            RETURN NEW;
        END
        $body$
    $create$, current_schema());
    EXECUTE format($create$
        CREATE FUNCTION journal_row_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            IF NOT EXISTS (SELECT FROM %1$I.archived_run WHERE stream = OLD.stream) THEN
                RAISE EXCEPTION 'journal: rows are never deleted';
            END IF;
            RETURN OLD;
        END
        $body$
    $create$, current_schema());
    EXECUTE format($create$
        CREATE FUNCTION journal_run_is_archived() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            IF EXISTS (SELECT FROM %1$I.archived_run WHERE stream = NEW.stream) THEN
                RAISE EXCEPTION 'journal: the run is archived, and has no more rows';
            END IF;
            RETURN NEW;
        END
        $body$
    $create$, current_schema());
    EXECUTE format($create$
        CREATE FUNCTION budget_reservation_row_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            IF OLD.settled_gseq IS NULL OR NOT EXISTS (
                SELECT FROM %1$I.journal AS j JOIN %1$I.archived_run AS a ON a.stream = j.stream WHERE j.gseq = OLD.gseq
            ) THEN
                RAISE EXCEPTION 'budget: reservations are never deleted';
            END IF;
            RETURN OLD;
        END
        $body$
    $create$, current_schema());
END
$do$;

CREATE TRIGGER archived_run_has_ended BEFORE INSERT ON archived_run FOR EACH ROW EXECUTE FUNCTION archived_run_has_ended();

CREATE TRIGGER journal_stays BEFORE UPDATE OR TRUNCATE ON journal FOR EACH STATEMENT EXECUTE FUNCTION journal_stays();
CREATE TRIGGER journal_row_stays BEFORE DELETE ON journal FOR EACH ROW EXECUTE FUNCTION journal_row_stays();

-- Any later row of a stream needs the one before it.
CREATE TRIGGER journal_run_is_archived BEFORE INSERT ON journal FOR EACH ROW WHEN (NEW.seq = 1) EXECUTE FUNCTION journal_run_is_archived();

CREATE TRIGGER budget_reservation_stays BEFORE TRUNCATE ON budget_reservation
    FOR EACH STATEMENT EXECUTE FUNCTION budget_reservation_stays();
CREATE TRIGGER budget_reservation_row_stays BEFORE DELETE ON budget_reservation
    FOR EACH ROW EXECUTE FUNCTION budget_reservation_row_stays();
