-- The journal: one append-only table, in the order it was written.
--
-- Two roles: who runs this owns the tables, and the operator writes as another, which may insert and select (`reeve journal migrate
-- --writer`). Triggers hold for both. They do not stop an owner who drops them: that is what the chain of hashes and the anchors outside
-- are for.
--
-- Names inside the functions carry their schema: a search_path, or a temporary table, of whoever inserts must not decide what they look at.

CREATE TABLE journal (
    gseq   bigint           NOT NULL PRIMARY KEY CHECK (gseq >= 1),
    stream text COLLATE "C" NOT NULL CHECK (stream <> ''),
    seq    bigint           NOT NULL CHECK (seq >= 1),
    time   text COLLATE "C" NOT NULL CHECK (time <> ''),
    epoch  bigint           NOT NULL CHECK (epoch >= 0),
    kind   text COLLATE "C" NOT NULL CHECK (kind <> ''),
    actor  text COLLATE "C" NOT NULL CHECK (actor <> ''),
    body   text COLLATE "C" NOT NULL CHECK (body::json IS NOT NULL),
    prev   text COLLATE "C" NOT NULL CHECK (prev LIKE 'sha256:%' AND length(prev) = 71),
    hash   text COLLATE "C" NOT NULL CHECK (hash LIKE 'sha256:%' AND length(hash) = 71),
    UNIQUE (stream, seq)
);

COMMENT ON TABLE journal IS 'journal of Reeve';

-- A run is found by the name that people know it by. A text of jsonb holds no NUL, a body may.
CREATE INDEX journal_runs ON journal (
    (replace(body, '\u0000', '\ufffd')::jsonb ->> 'namespace'), (replace(body, '\u0000', '\ufffd')::jsonb ->> 'name'), gseq
) WHERE kind = 'run.started';

CREATE FUNCTION journal_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'journal: rows are never %', CASE TG_OP WHEN 'UPDATE' THEN 'updated' WHEN 'DELETE' THEN 'deleted' ELSE 'truncated' END;
END
$body$;

CREATE TRIGGER journal_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON journal FOR EACH STATEMENT EXECUTE FUNCTION journal_stays();

-- Looks once at all rows of a statement: a row at a time would cost a group of appends several times its insert. Each new row must have the
-- row before it, in the journal and in its stream; that no place is taken twice is for the keys. So is that two who insert at the same time
-- cannot both be next. The plan is made once and kept, so none may be made that grows with the journal.
DO $do$
BEGIN
    EXECUTE format($create$
        CREATE FUNCTION journal_is_next() RETURNS trigger LANGUAGE plpgsql
            SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
        AS $body$
        DECLARE
            problem text;
        BEGIN
            SELECT CASE
                    WHEN added.gseq <> 1 AND before.gseq IS NULL THEN 'gseq is not the next one'
                    WHEN added.prev <> coalesce(before.hash, 'sha256:' || repeat('0', 64)) THEN 'prev is not the hash of the last row'
                    WHEN added.epoch < before.epoch THEN 'epoch is lower than that of the last row'
                    ELSE 'seq is not the next one of its stream'
                END
                INTO problem
                FROM added
                LEFT JOIN %1$I.journal AS before ON before.gseq = added.gseq - 1
                LEFT JOIN %1$I.journal AS above ON above.stream = added.stream AND above.seq = added.seq - 1
                WHERE (added.gseq <> 1 AND before.gseq IS NULL)
                    OR added.prev <> coalesce(before.hash, 'sha256:' || repeat('0', 64))
                    -- Epochs never fall, so the row before has the highest.
                    OR added.epoch < before.epoch
                    OR (added.seq <> 1 AND above.seq IS NULL)
                    OR above.gseq > added.gseq
                LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'journal: %%', problem;
            END IF;
            RETURN NULL;
        END
        $body$
    $create$, current_schema());
END
$do$;

CREATE TRIGGER journal_is_next AFTER INSERT ON journal
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION journal_is_next();

-- What stands in each budget: a projection of the journal's rows of kind budget.*, written in the transactions of those rows. The rows are
-- the truth; `Journal::check_budgets` adds them up again and compares.

CREATE TABLE budget_account (
    account                 text COLLATE "C" NOT NULL PRIMARY KEY CHECK (account <> ''),
    limited                 boolean NOT NULL,                            -- false: no limits are in force, so nothing may be spent
    limit_tokens            bigint CHECK (limit_tokens >= 0),            -- NULL: this dimension is not limited
    limit_cost_micro_usd    bigint CHECK (limit_cost_micro_usd >= 0),
    limit_tool_calls        bigint CHECK (limit_tool_calls >= 0),
    limit_runtime_ms        bigint CHECK (limit_runtime_ms >= 0),
    used_tokens             bigint NOT NULL CHECK (used_tokens >= 0),
    used_cost_micro_usd     bigint NOT NULL CHECK (used_cost_micro_usd >= 0),
    used_tool_calls         bigint NOT NULL CHECK (used_tool_calls >= 0),
    used_runtime_ms         bigint NOT NULL CHECK (used_runtime_ms >= 0),
    reserved_tokens         bigint NOT NULL CHECK (reserved_tokens >= 0),
    reserved_cost_micro_usd bigint NOT NULL CHECK (reserved_cost_micro_usd >= 0),
    reserved_tool_calls     bigint NOT NULL CHECK (reserved_tool_calls >= 0),
    reserved_runtime_ms     bigint NOT NULL CHECK (reserved_runtime_ms >= 0),
    CHECK (limited OR coalesce(limit_tokens, limit_cost_micro_usd, limit_tool_calls, limit_runtime_ms) IS NULL)
);

-- Every reservation that ever was: a key that is here can never be reserved again.
CREATE TABLE budget_reservation (
    key            text COLLATE "C" NOT NULL PRIMARY KEY CHECK (key <> ''),
    account        text COLLATE "C" NOT NULL,
    tokens         bigint NOT NULL CHECK (tokens >= 0),
    cost_micro_usd bigint NOT NULL CHECK (cost_micro_usd >= 0),
    tool_calls     bigint NOT NULL CHECK (tool_calls >= 0),
    runtime_ms     bigint NOT NULL CHECK (runtime_ms >= 0),
    gseq           bigint NOT NULL,                    -- the row that made it
    settled_gseq   bigint CHECK (settled_gseq > gseq)  -- the row that settled it; NULL: it is open
);

CREATE INDEX budget_reservation_open ON budget_reservation (account) WHERE settled_gseq IS NULL;

CREATE FUNCTION budget_account_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'budget: what was spent stays with the account';
END
$body$;

CREATE TRIGGER budget_account_stays BEFORE DELETE OR TRUNCATE ON budget_account
    FOR EACH STATEMENT EXECUTE FUNCTION budget_account_stays();

CREATE FUNCTION budget_account_keeps_its_name() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'budget: an account keeps its name';
END
$body$;

CREATE TRIGGER budget_account_keeps_its_name BEFORE UPDATE OF account ON budget_account
    FOR EACH STATEMENT EXECUTE FUNCTION budget_account_keeps_its_name();

CREATE FUNCTION budget_reservation_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'budget: reservations are never deleted';
END
$body$;

CREATE TRIGGER budget_reservation_stays BEFORE DELETE OR TRUNCATE ON budget_reservation
    FOR EACH STATEMENT EXECUTE FUNCTION budget_reservation_stays();

DO $do$
BEGIN
    EXECUTE format($create$
        CREATE FUNCTION budget_account_is_made_once() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            IF EXISTS (SELECT FROM %1$I.budget_account WHERE account = NEW.account) THEN
                RAISE EXCEPTION 'budget: the account exists';
            END IF;
            RETURN NEW;
        END
        $body$
    $create$, current_schema());
    EXECUTE format($create$
        CREATE FUNCTION budget_reservation_has_its_row() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            IF EXISTS (SELECT FROM %1$I.budget_reservation WHERE key = NEW.key) THEN
                RAISE EXCEPTION 'budget: the key was reserved before';
            END IF;
            IF NEW.settled_gseq IS NOT NULL
                OR NOT EXISTS (SELECT FROM %1$I.budget_account WHERE account = NEW.account)
                OR (SELECT kind FROM %1$I.journal WHERE gseq = NEW.gseq) IS DISTINCT FROM 'budget.reserved'
            THEN
                RAISE EXCEPTION 'budget: a reservation starts open, in an account that exists, with its row in the journal';
            END IF;
            RETURN NEW;
        END
        $body$
    $create$, current_schema());
    EXECUTE format($create$
        CREATE FUNCTION budget_reservation_is_settled_once() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            IF OLD.settled_gseq IS NOT NULL
                OR (SELECT kind FROM %1$I.journal WHERE gseq = NEW.settled_gseq) IS DISTINCT FROM 'budget.settled'
                OR NEW.key IS DISTINCT FROM OLD.key
                OR NEW.account IS DISTINCT FROM OLD.account
                OR NEW.tokens IS DISTINCT FROM OLD.tokens
                OR NEW.cost_micro_usd IS DISTINCT FROM OLD.cost_micro_usd
                OR NEW.tool_calls IS DISTINCT FROM OLD.tool_calls
                OR NEW.runtime_ms IS DISTINCT FROM OLD.runtime_ms
                OR NEW.gseq IS DISTINCT FROM OLD.gseq
            THEN
                RAISE EXCEPTION 'budget: a reservation is settled once, by its row in the journal, and never changed otherwise';
            END IF;
            RETURN NEW;
        END
        $body$
    $create$, current_schema());
END
$do$;

CREATE TRIGGER budget_account_is_made_once BEFORE INSERT ON budget_account
    FOR EACH ROW EXECUTE FUNCTION budget_account_is_made_once();

CREATE TRIGGER budget_reservation_has_its_row BEFORE INSERT ON budget_reservation
    FOR EACH ROW EXECUTE FUNCTION budget_reservation_has_its_row();

CREATE TRIGGER budget_reservation_is_settled_once BEFORE UPDATE ON budget_reservation
    FOR EACH ROW EXECUTE FUNCTION budget_reservation_is_settled_once();
