//! Budgets are kept in the transactions of their rows.

use futures::future::join_all;
use reeve_core::budget::{Amounts, Balance, Dimension, Exceeded, Limits};
use reeve_core::class::Class;
use reeve_core::journal::{Epoch, Row, Seq, Stream};
use reeve_store::{Journal, OpenReservation, StoreError};

use crate::given::{self, limited, reserved, settled, tokens};
use crate::home::{Home, on_every_database};

const TEAM: &str = "team/daily";

/// Appends to a stream of its own, from its first row on.
async fn first(journal: &Journal, stream: &str, drafts: Vec<reeve_core::journal::RowDraft>) -> Result<Vec<Row>, StoreError> {
    journal.append(Epoch(1), &Stream::run(stream), None, drafts).await
}

/// A journal whose budget allows this many tokens.
async fn allowing(home: &Home, limit: u64) -> Journal {
    let journal = home.open().await;
    journal.append(Epoch(1), &Stream::operator(), None, vec![limited(TEAM, Some(limit))]).await.unwrap();
    journal
}

fn balance(limit: Option<u64>, used: u64, reserved: u64) -> Balance {
    let limits = limit.map(|limit| Limits { tokens: Some(limit), ..Limits::default() });
    Balance { limits, used: tokens(used), reserved: tokens(reserved) }
}

async fn what_is_reserved_is_held_and_what_is_settled_is_spent(home: Home) {
    let journal = allowing(&home, 100).await;
    let a = Stream::run("a");
    let rows = first(&journal, "a", vec![reserved(TEAM, "a/1", 60), given::thought("asks a model")]).await.unwrap();
    assert_eq!(journal.balance(TEAM).await.unwrap(), balance(Some(100), 0, 60));
    let open = OpenReservation { key: "a/1".to_owned(), amounts: tokens(60), gseq: rows[0].gseq };
    assert_eq!(journal.open_reservations(TEAM).await.unwrap(), [open]);
    journal.append(Epoch(1), &a, Some(Seq(2)), vec![settled(TEAM, "a/1", 25), reserved(TEAM, "a/2", 75)]).await.unwrap();
    assert_eq!(journal.balance(TEAM).await.unwrap(), balance(Some(100), 25, 75));
    journal.append(Epoch(1), &a, Some(Seq(4)), vec![settled(TEAM, "a/2", 0)]).await.unwrap();
    assert_eq!(journal.balances().await.unwrap(), [(TEAM.to_owned(), balance(Some(100), 25, 0))]);
    assert_eq!(journal.open_reservations(TEAM).await.unwrap(), []);
    assert_eq!(journal.verify([]).await.unwrap().rows, 6);
}

async fn every_dimension_is_kept_by_itself(home: Home) {
    let journal = home.open().await;
    let amounts = Amounts { tokens: 1, cost_micro_usd: 20, tool_calls: 300, runtime_ms: 4_000 };
    let limits = Limits { tokens: None, cost_micro_usd: Some(20), tool_calls: Some(300), runtime_ms: None };
    let reserve = given::reserved_amounts(TEAM, "k", amounts);
    first(&journal, "a", vec![given::limited_by(TEAM, Some(limits)), reserve]).await.unwrap();
    assert_eq!(journal.balance(TEAM).await.unwrap(), Balance { limits: Some(limits), used: Amounts::default(), reserved: amounts });
    let used = Amounts { tokens: 5, cost_micro_usd: 6, tool_calls: 7, runtime_ms: 8 };
    first(&journal, "b", vec![given::settled_amounts(TEAM, "k", used)]).await.unwrap();
    assert_eq!(journal.balance(TEAM).await.unwrap(), Balance { limits: Some(limits), used, reserved: Amounts::default() });
    let asked = Amounts { tool_calls: 294, ..Amounts::default() };
    let refused = first(&journal, "c", vec![given::reserved_amounts(TEAM, "l", asked)]).await.unwrap_err();
    let (limit, used, reserved, asked) = (300, 7, 0, 294);
    let exceeded = Exceeded::Limit { account: TEAM.to_owned(), dimension: Dimension::ToolCalls, limit, used, reserved, asked };
    assert_eq!(refused, StoreError::Exceeded(exceeded));
    assert_eq!(refused.class(), Class::Throttled);
}

async fn what_does_not_fit_writes_nothing_of_its_append(home: Home) {
    let journal = allowing(&home, 100).await;
    let before = journal.last().await.unwrap();
    // It fits by itself, but not after the rows before it; and what comes after it would have made room.
    let drafts = [
        given::thought("before"),
        reserved(TEAM, "a/1", 60),
        reserved("other/one", "a/2", 0),
        reserved(TEAM, "a/3", 41),
        settled(TEAM, "a/1", 0),
        given::thought("after"),
    ];
    for (skipped, expected) in [(2, TEAM), (3, "other/one")] {
        let drafts = drafts.iter().zip(0..).filter(|(_, at)| *at != skipped).map(|(draft, _)| draft.clone()).collect();
        let refused = first(&journal, "a", drafts).await.unwrap_err();
        assert!(matches!(refused, StoreError::Exceeded(_)) && refused.to_string().contains(expected), "{refused:?}");
    }
    assert_eq!(journal.last().await.unwrap(), before);
    assert_eq!(journal.balances().await.unwrap(), [(TEAM.to_owned(), balance(Some(100), 0, 0))]);
    assert_eq!(journal.open_reservations(TEAM).await.unwrap(), []);
    first(&journal, "a", vec![reserved(TEAM, "a/1", 100)]).await.unwrap();
}

/// On one thread every append is waiting before the writer first runs, so they are one group.
async fn of_twenty_who_ask_for_the_last_of_a_budget_one_gets_it_and_no_other_append_is_harmed(home: Home) {
    let journal = allowing(&home, 100).await;
    first(&journal, "before", vec![reserved(TEAM, "before", 90)]).await.unwrap();
    let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
    let asked =
        join_all(names.iter().map(|name| first(&journal, name, vec![given::thought("x"), reserved(TEAM, name, 10), given::thought("y")])));
    let others: Vec<String> = (0..20).map(|n| format!("o{n}")).collect();
    let others = join_all(others.iter().map(|name| first(&journal, name, vec![given::thought("about no budget")])));
    let (asked, others) = tokio::join!(asked, others);
    assert_eq!(asked.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let limit = |error: &StoreError| matches!(error, StoreError::Exceeded(Exceeded::Limit { used: 0, reserved: 100, asked: 10, .. }));
    assert!(asked.iter().filter_map(|outcome| outcome.as_ref().err()).all(limit), "{asked:?}");
    assert!(others.iter().all(Result::is_ok));
    assert_eq!(journal.balance(TEAM).await.unwrap(), balance(Some(100), 0, 100));
    assert_eq!(journal.verify([]).await.unwrap().rows, 2 + 3 + 20);
}

async fn a_reservation_is_made_once_and_settled_once_for_ever(home: Home) {
    let journal = allowing(&home, 100).await;
    first(&journal, "a", vec![reserved(TEAM, "open", 10), reserved(TEAM, "done", 10), settled(TEAM, "done", 10)]).await.unwrap();
    let before = (journal.last().await.unwrap(), journal.balances().await.unwrap());
    let table = [
        ("a key that is open", vec![reserved(TEAM, "open", 1)]),
        ("a key that was settled", vec![reserved(TEAM, "done", 1)]),
        ("a key twice in one append", vec![reserved(TEAM, "new", 1), reserved(TEAM, "new", 1)]),
        ("a key settled in the same append", vec![reserved(TEAM, "new", 1), settled(TEAM, "new", 1), reserved(TEAM, "new", 1)]),
        ("another account's key", vec![limited("other/one", Some(9)), reserved("other/one", "open", 1)]),
        ("settled before", vec![settled(TEAM, "done", 1)]),
        ("settled twice in one append", vec![settled(TEAM, "open", 1), settled(TEAM, "open", 1)]),
        ("never reserved", vec![settled(TEAM, "never", 1)]),
        ("reserved after", vec![settled(TEAM, "later", 1), reserved(TEAM, "later", 1)]),
        ("reserved elsewhere", vec![limited("other/one", Some(9)), settled("other/one", "open", 1)]),
        ("an account without a name", vec![limited("", Some(9))]),
        ("a key without a name", vec![reserved(TEAM, "", 1)]),
        ("a name with a NUL", vec![reserved(TEAM, "new\0er", 1)]),
    ];
    for (what, drafts) in table {
        let refused = first(&journal, "b", drafts).await.unwrap_err();
        assert!(matches!(refused, StoreError::Malformed { .. }), "{what}: {refused:?}");
        assert_eq!(refused.class(), Class::Bug);
    }
    assert_eq!((journal.last().await.unwrap(), journal.balances().await.unwrap()), before);
}

async fn a_budget_that_is_gone_allows_nothing_and_what_was_used_stays_with_its_name(home: Home) {
    let journal = home.open().await;
    let nothing = |outcome: Result<Vec<Row>, StoreError>| {
        assert_eq!(outcome.unwrap_err(), StoreError::Exceeded(Exceeded::NoBudget { account: TEAM.to_owned() }));
    };
    nothing(first(&journal, "a", vec![reserved(TEAM, "a/0", 0)]).await);
    assert_eq!(journal.balance(TEAM).await.unwrap(), Balance::default());
    first(&journal, "a", vec![limited(TEAM, Some(100)), reserved(TEAM, "a/1", 30), settled(TEAM, "a/1", 30), reserved(TEAM, "a/2", 20)])
        .await
        .unwrap();
    first(&journal, "b", vec![limited(TEAM, None)]).await.unwrap();
    assert_eq!(journal.balance(TEAM).await.unwrap(), balance(None, 30, 20));
    nothing(first(&journal, "c", vec![reserved(TEAM, "c/1", 1)]).await);
    // What is under way still ends.
    first(&journal, "d", vec![settled(TEAM, "a/2", 10)]).await.unwrap();
    first(&journal, "e", vec![limited(TEAM, Some(50)), reserved(TEAM, "e/1", 10)]).await.unwrap();
    assert_eq!(journal.balance(TEAM).await.unwrap(), balance(Some(50), 40, 10));
    assert!(first(&journal, "f", vec![reserved(TEAM, "f/1", 1)]).await.is_err());
    journal.verify([]).await.unwrap();
}

async fn more_can_be_settled_than_was_held_and_a_limit_can_fall_below_what_is_used(home: Home) {
    let journal = allowing(&home, 100).await;
    first(&journal, "a", vec![reserved(TEAM, "a/1", 90), settled(TEAM, "a/1", 120)]).await.unwrap();
    assert_eq!(journal.balance(TEAM).await.unwrap(), balance(Some(100), 120, 0));
    assert!(matches!(first(&journal, "b", vec![reserved(TEAM, "b/1", 1)]).await, Err(StoreError::Exceeded(_))));
    first(&journal, "b", vec![limited(TEAM, Some(200)), reserved(TEAM, "b/1", 80), limited(TEAM, Some(10))]).await.unwrap();
    assert_eq!(journal.balance(TEAM).await.unwrap(), balance(Some(10), 120, 80));
    journal.verify([]).await.unwrap();
}

async fn no_sum_wraps_or_stops_at_the_end_of_what_can_be_counted(home: Home) {
    let journal = home.open().await;
    // Canonical JSON rounds what is larger.
    let most = (1 << 53) - 1;
    first(&journal, "a", vec![given::limited_by(TEAM, Some(Limits::default())), reserved(TEAM, "a/1", most)]).await.unwrap();
    first(&journal, "b", vec![reserved(TEAM, "b/1", 0), settled(TEAM, "b/1", most)]).await.unwrap();
    let before = journal.balances().await.unwrap();
    for drafts in [
        vec![reserved(TEAM, "c/1", 1)],
        vec![reserved(TEAM, "c/1", u64::MAX)],
        vec![settled(TEAM, "a/1", 1)],
        vec![settled(TEAM, "a/1", u64::MAX)],
    ] {
        let refused = first(&journal, "c", drafts).await.unwrap_err();
        assert!(matches!(refused, StoreError::Malformed { .. }), "{refused:?}");
    }
    assert_eq!(journal.balances().await.unwrap(), before);
    // A limit past it is as good as the last number.
    first(&journal, "d", vec![limited(TEAM, Some(i64::MAX as u64))]).await.unwrap();
    assert_eq!(journal.balance(TEAM).await.unwrap(), balance(Some(most), most, most));
    assert!(matches!(first(&journal, "e", vec![reserved(TEAM, "e/1", 1)]).await, Err(StoreError::Exceeded(_))));
    journal.verify([]).await.unwrap();
}

#[tokio::test]
async fn a_journal_from_before_there_were_budgets_gets_them_and_is_read_without() {
    let home = Home::sqlite().await;
    let rows = given::five_rows(&home).await;
    home.sql(given::WITHOUT_BUDGETS).await.unwrap();
    let reader = home.open_read_only().await;
    assert_eq!(reader.verify([]).await.unwrap().rows, 5);
    assert_eq!(reader.balance(TEAM).await.unwrap(), Balance::default());
    assert_eq!((reader.balances().await.unwrap(), reader.open_reservations(TEAM).await.unwrap()), (Vec::new(), Vec::new()));
    reader.close().await;
    let journal = home.open().await;
    assert_eq!(journal.scan(1, 100).await.unwrap(), rows);
    journal.append(Epoch(2), &Stream::run("c"), None, vec![limited(TEAM, Some(5)), reserved(TEAM, "c/1", 5)]).await.unwrap();
    assert_eq!(journal.balance(TEAM).await.unwrap(), balance(Some(5), 0, 5));
    assert_eq!(journal.verify([]).await.unwrap().rows, 7);
}

on_every_database!(
    what_is_reserved_is_held_and_what_is_settled_is_spent,
    every_dimension_is_kept_by_itself,
    what_does_not_fit_writes_nothing_of_its_append,
    of_twenty_who_ask_for_the_last_of_a_budget_one_gets_it_and_no_other_append_is_harmed,
    a_reservation_is_made_once_and_settled_once_for_ever,
    a_budget_that_is_gone_allows_nothing_and_what_was_used_stays_with_its_name,
    more_can_be_settled_than_was_held_and_a_limit_can_fall_below_what_is_used,
    no_sum_wraps_or_stops_at_the_end_of_what_can_be_counted,
);
