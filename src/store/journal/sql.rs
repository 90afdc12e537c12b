//! What both databases understand in the same words, `$1` for a value among them.

pub(super) const HEAD: &str = "SELECT gseq, seq, hash FROM journal WHERE stream = $1 ORDER BY seq DESC LIMIT 1";

pub(super) const ROWS_OF: &str = "SELECT gseq, stream, seq, time, epoch, kind, actor, body, prev, hash FROM journal
    WHERE stream = $1 AND seq >= $2 ORDER BY seq LIMIT $3";

pub(super) const PAGE: &str = "SELECT gseq, stream, seq, time, epoch, kind, actor, body, prev, hash FROM journal
    WHERE gseq BETWEEN $1 AND $2 ORDER BY gseq LIMIT $3";

pub(super) const UPTO: &str = "SELECT coalesce(max(gseq), 0) FROM journal";

pub(super) const LAST: &str =
    "SELECT gseq, stream, seq, time, epoch, kind, actor, body, prev, hash FROM journal ORDER BY gseq DESC LIMIT 1";

pub(super) const TAIL: &str = "SELECT gseq, hash, epoch FROM journal ORDER BY gseq DESC LIMIT 1";

pub(super) const ACCOUNT: &str = "SELECT account, limited, limit_tokens, limit_cost_micro_usd, limit_tool_calls, limit_runtime_ms,
        used_tokens, used_cost_micro_usd, used_tool_calls, used_runtime_ms,
        reserved_tokens, reserved_cost_micro_usd, reserved_tool_calls, reserved_runtime_ms
    FROM budget_account WHERE account = $1";

pub(super) const ACCOUNTS: &str = "SELECT account, limited, limit_tokens, limit_cost_micro_usd, limit_tool_calls, limit_runtime_ms,
        used_tokens, used_cost_micro_usd, used_tool_calls, used_runtime_ms,
        reserved_tokens, reserved_cost_micro_usd, reserved_tool_calls, reserved_runtime_ms
    FROM budget_account ORDER BY account";

pub(super) const INSERT_ACCOUNT: &str = "INSERT INTO budget_account
        (account, limited, limit_tokens, limit_cost_micro_usd, limit_tool_calls, limit_runtime_ms,
        used_tokens, used_cost_micro_usd, used_tool_calls, used_runtime_ms,
        reserved_tokens, reserved_cost_micro_usd, reserved_tool_calls, reserved_runtime_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

pub(super) const UPDATE_ACCOUNT: &str = "UPDATE budget_account SET
        limited = $2, limit_tokens = $3, limit_cost_micro_usd = $4, limit_tool_calls = $5, limit_runtime_ms = $6,
        used_tokens = $7, used_cost_micro_usd = $8, used_tool_calls = $9, used_runtime_ms = $10,
        reserved_tokens = $11, reserved_cost_micro_usd = $12, reserved_tool_calls = $13, reserved_runtime_ms = $14
    WHERE account = $1";

pub(super) const RESERVATION: &str = "SELECT key, account, gseq, settled_gseq, tokens, cost_micro_usd, tool_calls, runtime_ms
    FROM budget_reservation WHERE key = $1";

pub(super) const OPEN_RESERVATIONS: &str = "SELECT key, account, gseq, settled_gseq, tokens, cost_micro_usd, tool_calls, runtime_ms
    FROM budget_reservation WHERE account = $1 AND settled_gseq IS NULL ORDER BY gseq";

pub(super) const INSERT_RESERVATION: &str = "INSERT INTO budget_reservation
        (key, account, tokens, cost_micro_usd, tool_calls, runtime_ms, gseq)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

pub(super) const INSERT_ARCHIVED: &str = "INSERT INTO archived_run (stream, seq, hash, gseq) VALUES ($1, $2, $3, $4)";

pub(super) const DELETE_RESERVATIONS: &str =
    "DELETE FROM budget_reservation WHERE gseq IN (SELECT gseq FROM journal WHERE stream = $1 AND kind = 'budget.reserved')";

pub(super) const DELETE_RUN: &str = "DELETE FROM journal WHERE stream = $1";

pub(super) const SETTLE_RESERVATION: &str = "UPDATE budget_reservation SET settled_gseq = $2 WHERE key = $1 AND settled_gseq IS NULL";
