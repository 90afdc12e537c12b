//! Budgets that are not what their rows make of them are found.

use reeve_core::Digest;
use reeve_core::class::Class;
use reeve_core::journal::{Epoch, Row, RowDraft, Seq, Stream};
use reeve_store::{BudgetError, VerifyError, verify_export};

use crate::given::{self, limited, reserved, settled};
use crate::home::{Home, on_every_database, on_stored_databases};

const TEAM: &str = "team/daily";

/// A closed journal: row 1 limits, 2 and 3 reserve `done` (10) and `open` (20), 4 settles `done` with 7.
async fn four_rows(home: &Home) -> Vec<Row> {
    let journal = home.open().await;
    let drafts = vec![limited(TEAM, Some(100)), reserved(TEAM, "done", 10), reserved(TEAM, "open", 20), settled(TEAM, "done", 7)];
    let rows = journal.append(Epoch(1), &Stream::run("a"), None, drafts).await.unwrap();
    journal.close().await;
    rows
}

/// What `verify` says after a statement of someone who owns the file.
async fn tampered(home: &Home, statement: &str) -> Result<u64, VerifyError> {
    let home = home.another().await;
    four_rows(&home).await;
    home.unguard().await;
    home.sql_unchecked(statement).await;
    let journal = home.open_read_only().await;
    assert_eq!(
        journal.check_budgets().await.map_err(|error| error.to_string()),
        journal.verify([]).await.map(drop).map_err(|error| error.to_string())
    );
    journal.verify([]).await.map(|verified| verified.rows)
}

/// Statements, and what they make differ: the account, what of it, what is expected and what is found.
fn tamperings() -> Vec<(String, &'static str, &'static str, &'static str, &'static str)> {
    let account = |what: &str| format!("UPDATE budget_account SET {what}");
    let reservation = |key: &str, what: &str| format!("UPDATE budget_reservation SET {what} WHERE key = '{key}'");
    vec![
        (account("used_tokens = 3"), TEAM, "the sum of used tokens", "7", "3"),
        (account("used_cost_micro_usd = 1"), TEAM, "the sum of used cost_micro_usd", "0", "1"),
        (account("used_tool_calls = 1"), TEAM, "the sum of used tool_calls", "0", "1"),
        (account("used_runtime_ms = 1"), TEAM, "the sum of used runtime_ms", "0", "1"),
        (account("reserved_tokens = 0"), TEAM, "the sum of reserved tokens", "20", "0"),
        (account("reserved_runtime_ms = 9"), TEAM, "the sum of reserved runtime_ms", "0", "9"),
        (account("limit_tokens = 1000"), TEAM, "the limit of tokens", "100", "1000"),
        (account("limit_tokens = NULL"), TEAM, "the limit of tokens", "100", "none"),
        (account("limit_tool_calls = 5"), TEAM, "the limit of tool_calls", "none", "5"),
        (account("limited = FALSE"), TEAM, "the set of limits", "in force", "not in force"),
        (account("account = 'team/other'"), "team/other", "the account", "not there", "there"),
        ("DELETE FROM budget_account".to_owned(), TEAM, "the account", "there", "not there"),
        (
            "INSERT INTO budget_account SELECT 'a/new', FALSE, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0".to_owned(),
            "a/new",
            "the account",
            "not there",
            "there",
        ),
        (reservation("done", "tokens = 11"), TEAM, "reservation done of tokens", "10", "11"),
        (reservation("open", "tool_calls = 1"), TEAM, "reservation open of tool_calls", "0", "1"),
        (reservation("open", "account = 'x/y'"), TEAM, "reservation open", "in account team/daily", "in account x/y"),
        (reservation("open", "key = 'other'"), TEAM, "reservation open", "one", "none"),
        (reservation("open", "gseq = 2"), TEAM, "reservation open", "made by row 3", "made by row 2"),
        (reservation("open", "settled_gseq = 4"), TEAM, "reservation open", "open", "settled by row 4"),
        (reservation("done", "settled_gseq = NULL"), TEAM, "reservation done", "settled by row 4", "open"),
        (reservation("done", "settled_gseq = 3"), TEAM, "reservation done", "settled by row 4", "settled by row 3"),
        // So that the key could be used again.
        ("DELETE FROM budget_reservation WHERE key = 'done'".to_owned(), TEAM, "reservation done", "one", "none"),
        (
            "INSERT INTO budget_reservation SELECT 'new', account, 1, 0, 0, 0, gseq, NULL FROM budget_reservation WHERE key = 'open'"
                .to_owned(),
            TEAM,
            "reservation new",
            "none",
            "one",
        ),
        (
            "INSERT INTO budget_reservation VALUES ('old', 'team/daily', 0, 0, 0, 0, 1, 2)".to_owned(),
            TEAM,
            "reservation old",
            "none",
            "one",
        ),
    ]
}

async fn a_table_that_was_changed_past_the_journal_is_found_and_what_differs_is_named(home: Home) {
    assert_eq!(tampered(&home, "").await, Ok(4));
    for (statement, account, what, expected, found) in tamperings() {
        let error = tampered(&home, &statement).await.unwrap_err();
        let owned = str::to_owned;
        let differs = BudgetError::Table { account: owned(account), what: owned(what), expected: owned(expected), found: owned(found) };
        assert_eq!(error, VerifyError::Budget(differs), "{statement}");
        assert_eq!(error.class(), Class::Invalid);
        for word in [account, what, expected, found] {
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}

async fn a_table_that_cannot_be_read_or_is_gone_is_found(home: Home) {
    let negative = tampered(&home, "UPDATE budget_account SET used_tokens = -1").await.unwrap_err();
    assert_eq!((negative.class(), negative.to_string().contains("a budget counts -1")), (Class::Invalid, true), "{negative}");
    for gone in ["DROP TABLE budget_reservation", "DROP TABLE budget_account"] {
        let gone = tampered(&home, gone).await.unwrap_err();
        assert_eq!(gone.class(), Class::Invalid, "{gone}");
    }
}

/// Someone who owns the file can chain rows that no writer lets in. Rows 5 and on of the journal above.
fn rows_after(rows: &[Row], drafts: Vec<RowDraft>) -> Vec<Row> {
    let mut rows = rows.to_vec();
    for draft in drafts {
        let last = rows.last().unwrap();
        let place = (last.stream.clone(), last.gseq + 1, last.seq.next(), Epoch(1), last.hash);
        rows.push(draft.place(place.0, place.1, place.2, place.3, place.4).unwrap());
    }
    rows
}

fn export(rows: &[Row]) -> Vec<u8> {
    rows.iter().flat_map(|row| [serde_json::to_vec(row).unwrap(), b"\n".to_vec()].concat()).collect()
}

async fn insert(home: &Home, row: &Row) {
    let Row { gseq, stream, seq, time, epoch, kind, actor, body, prev, hash } = row;
    let values =
        format!("{gseq}, '{}', {}, '{time}', {}, '{kind}', '{actor}', '{body}', '{prev}', '{hash}'", stream.as_str(), seq.0, epoch.0);
    home.sql(&format!("INSERT INTO journal VALUES ({values})")).await.unwrap();
}

async fn rows_that_no_writer_lets_in_are_found_in_the_database_and_in_its_export(home: Home) {
    let table = [
        ("settled twice", vec![settled(TEAM, "done", 0)], 5),
        ("never reserved", vec![given::thought("x"), settled(TEAM, "never", 0)], 6),
        ("reserved while it is open", vec![reserved(TEAM, "open", 1)], 5),
        ("overdrawn", vec![reserved(TEAM, "new", 70), reserved(TEAM, "more", 4)], 6),
        ("of no budget", vec![reserved("x/y", "new", 1)], 5),
        ("of another account", vec![limited("x/y", Some(1)), settled("x/y", "open", 1)], 6),
    ];
    for (what, drafts, at) in table {
        let home = home.another().await;
        let rows = four_rows(&home).await;
        let rows = rows_after(&rows, drafts);
        let exported = verify_export(&export(&rows)[..], []).await;
        assert!(matches!(exported, Err(VerifyError::Budget(BudgetError::Row { gseq, .. })) if gseq == at), "{what}: {exported:?}");
        for row in &rows[4..] {
            insert(&home, row).await;
        }
        // What the tables lack is found where its row stands, so they are not what is found first here.
        let reader = home.open_read_only().await;
        let found = reader.verify([]).await;
        assert!(matches!(found, Err(VerifyError::Budget(_))), "{what}: {found:?}");
        assert_eq!(found.unwrap_err().class(), Class::Invalid);
    }
}

async fn a_key_reserved_again_after_it_was_settled_is_found_in_the_database(home: Home) {
    let rows = four_rows(&home).await;
    let rows = rows_after(&rows, vec![reserved(TEAM, "done", 1)]);
    // An export keeps no list of keys: it says so.
    assert_eq!(verify_export(&export(&rows)[..], []).await.unwrap().rows, 5);
    insert(&home, &rows[4]).await;
    let found = home.open_read_only().await.verify([]).await.unwrap_err();
    assert!(found.to_string().contains("reservation done is made by row 5, but the table says made by row 2"), "{found}");
    // Nor does a table that follows it help.
    home.unguard().await;
    home.sql_unchecked("UPDATE budget_reservation SET gseq = 5, tokens = 1 WHERE key = 'done'").await;
    let found = home.open_read_only().await.verify([]).await.unwrap_err();
    assert!(found.to_string().contains("reservation done is made by row 2, but the table says made by row 5"), "{found}");
}

async fn an_export_of_budgets_verifies(home: Home) {
    let rows = four_rows(&home).await;
    let journal = home.open_read_only().await;
    let mut out = Vec::new();
    journal.export(&mut out).await.unwrap();
    assert_eq!(out, export(&rows));
    let verified = verify_export(&out[..], []).await.unwrap();
    assert_eq!((verified.rows, verified.hash == Digest::ZERO, verified.heads[&Stream::run("a")].seq), (4, false, Seq(4)));
}

#[tokio::test]
async fn the_schema_stops_accidents() {
    let home = Home::sqlite().await;
    four_rows(&home).await;
    let table = [
        ("stays with the account", "DELETE FROM budget_account"),
        ("keeps its name", "UPDATE budget_account SET account = 'x/y'"),
        ("the account exists", "REPLACE INTO budget_account SELECT * FROM budget_account"),
        ("the account exists", "INSERT OR IGNORE INTO budget_account SELECT * FROM budget_account"),
        ("CHECK", "UPDATE budget_account SET used_tokens = -1"),
        ("CHECK", "UPDATE budget_account SET reserved_tokens = reserved_tokens - 21"),
        ("CHECK", "UPDATE budget_account SET limit_tokens = -1"),
        ("CHECK", "UPDATE budget_account SET limited = 2"),
        ("CHECK", "UPDATE budget_account SET limited = 0"),
        ("CHECK", "INSERT INTO budget_account VALUES ('', 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0)"),
        ("NOT NULL", "INSERT INTO budget_account VALUES (NULL, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0)"),
        ("NOT NULL", "UPDATE budget_account SET used_tool_calls = NULL"),
        ("cannot store", "UPDATE budget_account SET used_tokens = 'many'"),
        ("never deleted", "DELETE FROM budget_reservation WHERE key = 'done'"),
        ("reserved before", "REPLACE INTO budget_reservation VALUES ('done', 'team/daily', 1, 0, 0, 0, 2, NULL)"),
        ("reserved before", "INSERT INTO budget_reservation VALUES ('done', 'team/daily', 1, 0, 0, 0, 2, NULL)"),
        ("with its row", "INSERT INTO budget_reservation VALUES ('new', 'team/daily', 1, 0, 0, 0, 1, NULL)"),
        ("with its row", "INSERT INTO budget_reservation VALUES ('new', 'team/daily', 1, 0, 0, 0, 9, NULL)"),
        ("with its row", "INSERT INTO budget_reservation VALUES ('new', 'x/y', 1, 0, 0, 0, 2, NULL)"),
        ("starts open", "INSERT INTO budget_reservation VALUES ('new', 'team/daily', 1, 0, 0, 0, 2, 4)"),
        ("CHECK", "INSERT INTO budget_reservation VALUES ('new', 'team/daily', -1, 0, 0, 0, 2, NULL)"),
        ("settled once", "UPDATE budget_reservation SET settled_gseq = NULL WHERE key = 'done'"),
        ("settled once", "UPDATE budget_reservation SET settled_gseq = 4 WHERE key = 'done'"),
        ("settled once", "UPDATE budget_reservation SET settled_gseq = 3 WHERE key = 'open'"),
        ("settled once", "UPDATE budget_reservation SET tokens = 1, settled_gseq = 4 WHERE key = 'open'"),
        ("settled once", "UPDATE OR REPLACE budget_reservation SET key = 'done', settled_gseq = 4 WHERE key = 'open'"),
        ("settled once", "UPDATE budget_reservation SET key = 'other', settled_gseq = 4 WHERE key = 'open'"),
    ];
    for (expected, statement) in table {
        match home.sql(statement).await {
            Ok(()) => panic!("accepted: {statement}"),
            Err(error) => assert!(error.to_string().contains(expected), "{statement}: {error}"),
        }
    }
    home.open().await.verify([]).await.unwrap();
}

on_every_database!(an_export_of_budgets_verifies,);

on_stored_databases!(
    a_table_that_was_changed_past_the_journal_is_found_and_what_differs_is_named,
    a_table_that_cannot_be_read_or_is_gone_is_found,
    rows_that_no_writer_lets_in_are_found_in_the_database_and_in_its_export,
    a_key_reserved_again_after_it_was_settled_is_found_in_the_database,
);
