-- What stands in each budget: a projection of the journal's rows of kind budget.*, written in the transactions of those rows.
--
-- The rows are the truth. `Journal::check_budgets` adds them up again and compares. As in the journal, checks and triggers stop accidents,
-- not whoever owns the file. None of them looks at an insert into the journal: a row that is about no budget costs what it did.

CREATE TABLE budget_account (
    account                 TEXT    PRIMARY KEY NOT NULL CHECK (account <> ''),
    limited                 INTEGER NOT NULL CHECK (limited IN (0, 1)), -- 0: no limits are in force, so nothing may be spent
    limit_tokens            INTEGER CHECK (limit_tokens >= 0),          -- NULL: this dimension is not limited
    limit_cost_micro_usd    INTEGER CHECK (limit_cost_micro_usd >= 0),
    limit_tool_calls        INTEGER CHECK (limit_tool_calls >= 0),
    limit_runtime_ms        INTEGER CHECK (limit_runtime_ms >= 0),
    used_tokens             INTEGER NOT NULL CHECK (used_tokens >= 0),
    used_cost_micro_usd     INTEGER NOT NULL CHECK (used_cost_micro_usd >= 0),
    used_tool_calls         INTEGER NOT NULL CHECK (used_tool_calls >= 0),
    used_runtime_ms         INTEGER NOT NULL CHECK (used_runtime_ms >= 0),
    reserved_tokens         INTEGER NOT NULL CHECK (reserved_tokens >= 0),
    reserved_cost_micro_usd INTEGER NOT NULL CHECK (reserved_cost_micro_usd >= 0),
    reserved_tool_calls     INTEGER NOT NULL CHECK (reserved_tool_calls >= 0),
    reserved_runtime_ms     INTEGER NOT NULL CHECK (reserved_runtime_ms >= 0),
    CHECK (limited OR coalesce(limit_tokens, limit_cost_micro_usd, limit_tool_calls, limit_runtime_ms) IS NULL)
) STRICT;

-- Every reservation that ever was: a key that is here can never be reserved again.
CREATE TABLE budget_reservation (
    key            TEXT    PRIMARY KEY NOT NULL CHECK (key <> ''),
    account        TEXT    NOT NULL,
    tokens         INTEGER NOT NULL CHECK (tokens >= 0),
    cost_micro_usd INTEGER NOT NULL CHECK (cost_micro_usd >= 0),
    tool_calls     INTEGER NOT NULL CHECK (tool_calls >= 0),
    runtime_ms     INTEGER NOT NULL CHECK (runtime_ms >= 0),
    gseq           INTEGER NOT NULL,                    -- the row that made it
    settled_gseq   INTEGER CHECK (settled_gseq > gseq) -- the row that settled it; NULL: it is open
) STRICT;

CREATE INDEX budget_reservation_open ON budget_reservation (account) WHERE settled_gseq IS NULL;

CREATE TRIGGER budget_account_stays BEFORE DELETE ON budget_account
BEGIN
    SELECT RAISE(ABORT, 'budget: what was spent stays with the account');
END;

CREATE TRIGGER budget_account_keeps_its_name BEFORE UPDATE OF account ON budget_account
BEGIN
    SELECT RAISE(ABORT, 'budget: an account keeps its name');
END;

-- INSERT OR REPLACE deletes the old row without asking the trigger above.
CREATE TRIGGER budget_account_is_made_once BEFORE INSERT ON budget_account
WHEN EXISTS (SELECT 1 FROM budget_account WHERE account = NEW.account)
BEGIN
    SELECT RAISE(ABORT, 'budget: the account exists');
END;

CREATE TRIGGER budget_reservation_stays BEFORE DELETE ON budget_reservation
BEGIN
    SELECT RAISE(ABORT, 'budget: reservations are never deleted');
END;

CREATE TRIGGER budget_reservation_is_made_once BEFORE INSERT ON budget_reservation
WHEN EXISTS (SELECT 1 FROM budget_reservation WHERE key = NEW.key)
BEGIN
    SELECT RAISE(ABORT, 'budget: the key was reserved before');
END;

CREATE TRIGGER budget_reservation_has_its_row BEFORE INSERT ON budget_reservation
WHEN NEW.settled_gseq IS NOT NULL
    OR NOT EXISTS (SELECT 1 FROM budget_account WHERE account = NEW.account)
    OR (SELECT kind FROM journal WHERE gseq = NEW.gseq) IS NOT 'budget.reserved'
BEGIN
    SELECT RAISE(ABORT, 'budget: a reservation starts open, in an account that exists, with its row in the journal');
END;

CREATE TRIGGER budget_reservation_is_settled_once BEFORE UPDATE ON budget_reservation
WHEN OLD.settled_gseq IS NOT NULL
    OR (SELECT kind FROM journal WHERE gseq = NEW.settled_gseq) IS NOT 'budget.settled'
    OR NEW.key IS NOT OLD.key
    OR NEW.account IS NOT OLD.account
    OR NEW.tokens IS NOT OLD.tokens
    OR NEW.cost_micro_usd IS NOT OLD.cost_micro_usd
    OR NEW.tool_calls IS NOT OLD.tool_calls
    OR NEW.runtime_ms IS NOT OLD.runtime_ms
    OR NEW.gseq IS NOT OLD.gseq
BEGIN
    SELECT RAISE(ABORT, 'budget: a reservation is settled once, by its row in the journal, and never changed otherwise');
END;
