//! What only shows inside the writer.
#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use reeve_core::budget::{Amounts, Limits};
use reeve_core::journal::{Actor, BudgetLimited, BudgetReserved, Epoch, Event, RowDraft};
use sqlx::AssertSqlSafe;

use super::*;
use crate::journal::ledger::Posting;
use crate::journal::writer::settle;

fn append(stream: &str, texts: &[&str]) -> Request {
    let draft =
        |text: &&str| RowDraft::of(&Event::ThoughtSummary { text: (*text).to_owned() }, &Actor::Model, Timestamp::UNIX_EPOCH).unwrap();
    let drafts = texts.iter().map(draft).collect();
    Request { epoch: Epoch(1), stream: Stream::run(stream), after: None, drafts, postings: Vec::new() }
}

/// Limits an account and reserves one token of it, then a row with a text so long.
fn reservation(stream: &str, padding: usize) -> Request {
    let mut append = append(stream, &[&"x".repeat(padding)]);
    let account = format!("team/{stream}");
    let limited = BudgetLimited { account: account.clone(), uid: "u".to_owned(), generation: 1, limits: Some(Limits::default()) };
    let reserved = BudgetReserved { account, key: stream.to_owned(), amounts: Amounts { tokens: 1, ..Amounts::default() } };
    append.postings = vec![(0, Posting::Limited(limited.clone())), (1, Posting::Reserved(reserved.clone()))];
    for (at, event) in [Event::BudgetLimited(limited), Event::BudgetReserved(reserved)].iter().enumerate() {
        append.drafts.insert(at, RowDraft::of(event, &Actor::Operator, Timestamp::UNIX_EPOCH).unwrap());
    }
    append
}

async fn accounts(writer: &mut Writer) -> Vec<(String, i64)> {
    let (connection, _) = writer.connected().await.unwrap();
    sqlx::query_as("SELECT account, reserved_tokens FROM budget_account ORDER BY account").fetch_all(connection).await.unwrap()
}

async fn writer() -> (tempfile::TempDir, Writer) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let writer = Writer::open(&path, file::claim(&path).unwrap()).await.unwrap();
    (directory, writer)
}

#[tokio::test]
async fn nothing_is_half_written_when_the_disk_is_full() {
    let (_directory, mut writer) = writer().await;
    let (connection, _) = writer.connection.as_mut().unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *connection).await.unwrap();
    let full = AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + 10));
    sqlx::query(full).execute(connection).await.unwrap();
    let large = append("a", &["fits", &"does not fit ".repeat(20_000)]);
    let refused = settle(&mut writer, &[large]).await.remove(0).unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused:?}");
    // The connection is another one, without the bound: the disk has room again.
    let outcomes = settle(&mut writer, &[append("a", &["fits"])]).await;
    assert_eq!(outcomes[0].as_ref().unwrap()[0].gseq, 1);
}

#[tokio::test]
async fn a_budget_moves_with_its_rows_or_not_at_all() {
    let (_directory, mut writer) = writer().await;
    let (connection, _) = writer.connection.as_mut().unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *connection).await.unwrap();
    let full = AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + 10));
    sqlx::query(full).execute(connection).await.unwrap();
    let outcomes = settle(&mut writer, &[reservation("large", 200_000)]).await;
    assert!(matches!(outcomes[..], [Err(StoreError::Unavailable { .. })]));
    assert_eq!(accounts(&mut writer).await, []);
    // The schema refuses one of the group, so all of it is rolled back, and each is tried again alone.
    let mut bad = reservation("bad", 1);
    bad.drafts[2].actor = String::new();
    let outcomes = settle(&mut writer, &[reservation("first", 1), bad, reservation("last", 1)]).await;
    assert!(matches!(outcomes[1], Err(StoreError::Refused { .. })));
    let gseqs = [&outcomes[0], &outcomes[2]].map(|outcome| outcome.as_ref().unwrap()[0].gseq);
    assert_eq!(gseqs, [1, 4]);
    assert_eq!(accounts(&mut writer).await, [("team/first".to_owned(), 1), ("team/last".to_owned(), 1)]);
}

#[tokio::test]
async fn an_append_that_the_schema_refuses_takes_no_other_with_it() {
    let (_directory, mut writer) = writer().await;
    let mut bad = append("b", &["x"]);
    bad.drafts[0].actor = String::new();
    let outcomes = settle(&mut writer, &[append("a", &["one", "two"]), bad, append("c", &["three"])]).await;
    assert_eq!(outcomes[0].as_ref().unwrap().len(), 2);
    assert!(matches!(outcomes[1], Err(StoreError::Refused { .. })), "{:?}", outcomes[1]);
    assert_eq!(outcomes[2].as_ref().unwrap()[0].gseq, 3);
}
