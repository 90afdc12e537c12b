//! Many reserve, settle and change limits at once; the rows are added up by other code than the store's.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use reeve_core::journal::{BudgetLimited, BudgetReserved, BudgetSettled, Epoch, Event, Row, RowDraft, Seq, Stream};
use reeve_store::{Journal, StoreError};

use crate::given::{self, limited, reserved, settled};
use crate::home::Home;

const ACCOUNTS: [&str; 2] = ["team/daily", "team/weekly"];
const RESERVERS: usize = 20;

/// Tokens alone, by hand: the limit, what is used, what is reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) limit: Option<u64>,
    pub(crate) used: u64,
    pub(crate) reserved: u64,
}

/// Adds up the rows, and makes sure on the way that none overdraws, reserves a key again or settles what is not open.
pub(crate) fn add_up(rows: &[Row]) -> BTreeMap<String, Sums> {
    let mut accounts: BTreeMap<String, Sums> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    let mut open = BTreeMap::new();
    for row in rows {
        let event = row.event().unwrap();
        if let Event::BudgetReserved(BudgetReserved { account, key, amounts }) = &event {
            let sums = accounts.get_mut(account).unwrap();
            sums.reserved += amounts.tokens;
            assert!(amounts.tokens == 0 || sums.limit.is_some_and(|limit| sums.used + sums.reserved <= limit), "{key}: {sums:?}");
            assert!(keys.insert(key.clone()), "{key} is reserved again");
            open.insert(key.clone(), amounts.tokens);
        }
        if let Event::BudgetSettled(BudgetSettled { account, key, used, in_full: _ }) = &event {
            let sums = accounts.get_mut(account).unwrap();
            sums.reserved -= open.remove(key).unwrap();
            sums.used += used.tokens;
        }
        if let Event::BudgetLimited(BudgetLimited { account, limits, .. }) = &event {
            accounts.entry(account.clone()).or_default().limit = limits.map(|limits| limits.tokens.unwrap());
        }
    }
    accounts
}

/// What the store says of every account.
pub(crate) async fn sums(journal: &Journal) -> BTreeMap<String, Sums> {
    let balances = journal.balances().await.unwrap();
    let of = |balance: reeve_core::budget::Balance| Sums {
        limit: balance.limits.map(|limits| limits.tokens.unwrap()),
        used: balance.used.tokens,
        reserved: balance.reserved.tokens,
    };
    balances.into_iter().map(|(account, balance)| (account, of(balance))).collect()
}

/// Every row of the journal.
pub(crate) async fn rows(journal: &Journal) -> Vec<Row> {
    let mut rows = Vec::new();
    loop {
        let more = journal.scan(rows.len() as u64 + 1, 1_000).await.unwrap();
        if more.is_empty() {
            return rows;
        }
        rows.extend(more);
    }
}

/// One append of one reserver.
#[derive(Clone, Debug)]
enum Act {
    /// Reserves; then settles with so much, in the same append or the next, or leaves it open.
    Spend { account: usize, asked: u64, used: Option<u64>, at_once: bool },
    /// Two accounts in one append: both or none.
    Both { asked: [u64; 2] },
    /// Other limits.
    Limit { account: usize, limit: Option<u64> },
}

fn act() -> impl Strategy<Value = Act> {
    let spend = (0..2_usize, 0..40_u64, prop::option::of(0..60_u64), any::<bool>());
    prop_oneof![
        8 => spend.prop_map(|(account, asked, used, at_once)| Act::Spend { account, asked, used, at_once }),
        2 => (0..40_u64, 0..40_u64).prop_map(|(daily, weekly)| Act::Both { asked: [daily, weekly] }),
        1 => (0..2_usize, prop::option::weighted(0.8, 0..400_u64)).prop_map(|(account, limit)| Act::Limit { account, limit }),
    ]
}

/// Does its acts one after the other. Anything but a refusal by a budget is a failure.
async fn reserver(journal: Journal, name: String, acts: Vec<Act>) {
    let stream = Stream::run(&name);
    let mut head = None;
    for (number, act) in acts.into_iter().enumerate() {
        let key = |what: &str| format!("{name}/{number}{what}");
        let (drafts, then) = match act {
            Act::Spend { account, asked, used, at_once } => {
                let account = ACCOUNTS[account];
                let settle = used.map(|used| settled(account, &key(""), used));
                let reserve = vec![given::thought("before"), reserved(account, &key(""), asked), given::thought("after")];
                if at_once { (reserve.into_iter().chain(settle).collect(), None) } else { (reserve, settle) }
            }
            Act::Both { asked } => {
                let [daily, weekly] = asked;
                (vec![reserved(ACCOUNTS[0], &key("/d"), daily), reserved(ACCOUNTS[1], &key("/w"), weekly)], None)
            }
            Act::Limit { account, limit } => (vec![limited(ACCOUNTS[account], limit)], None),
        };
        match append(&journal, &stream, head, drafts).await {
            Ok(after) => head = after,
            Err(StoreError::Exceeded(_)) => continue,
            Err(other) => panic!("{other}"),
        }
        if let Some(settle) = then {
            head = append(&journal, &stream, head, vec![settle]).await.unwrap();
        }
    }
}

async fn append(journal: &Journal, stream: &Stream, after: Option<Seq>, drafts: Vec<RowDraft>) -> Result<Option<Seq>, StoreError> {
    Ok(journal.append(Epoch(1), stream, after, drafts).await?.last().map(|row| row.seq))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn all_at_once(home: impl AsyncFnOnce() -> Home, limits: [u64; 2], acts: Vec<Vec<Act>>) {
    let home = home().await;
    let journal = home.open().await;
    let drafts = vec![limited(ACCOUNTS[0], Some(limits[0])), limited(ACCOUNTS[1], Some(limits[1]))];
    journal.append(Epoch(1), &Stream::operator(), None, drafts).await.unwrap();
    let reservers = acts.into_iter().enumerate().map(|(n, acts)| tokio::spawn(reserver(journal.clone(), format!("r{n}"), acts)));
    let done = futures::future::join_all(reservers);
    // A look from outside at any time sees accounts that are what their rows make of them.
    let looks = async {
        for _ in 0..5 {
            journal.verify([]).await.unwrap();
        }
    };
    let (ended, ()) = tokio::join!(done, looks);
    ended.into_iter().for_each(Result::unwrap);
    let expected = add_up(&rows(&journal).await);
    assert_eq!(sums(&journal).await, expected);
    let held = open_tokens(&journal).await;
    assert_eq!(held, expected.values().map(|sums| sums.reserved).sum::<u64>());
    journal.close().await;
    let journal = home.open().await;
    assert_eq!(sums(&journal).await, expected);
    journal.verify([]).await.unwrap();
}

async fn open_tokens(journal: &Journal) -> u64 {
    let mut held = 0;
    for account in ACCOUNTS {
        held += journal.open_reservations(account).await.unwrap().iter().map(|open| open.amounts.tokens).sum::<u64>();
    }
    held
}

/// Each case is some hundred durable commits.
fn some(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

mod whatever_twenty_reservers_do_no_budget_is_overdrawn_and_its_sums_are_its_rows {
    use super::*;

    proptest! {
        #![proptest_config(some(12))]
        #[test]
        fn on_sqlite(limits in [0..600_u64, 0..600_u64], acts in vec(vec(act(), 1..6), RESERVERS)) {
            all_at_once(Home::sqlite, limits, acts);
        }
    }

    proptest! {
        #![proptest_config(some(6))]
        #[test]
        fn on_postgres(limits in [0..600_u64, 0..600_u64], acts in vec(vec(act(), 1..6), RESERVERS)) {
            all_at_once(Home::postgres, limits, acts);
        }
    }

    proptest! {
        #![proptest_config(some(48))]
        #[test]
        fn in_memory(limits in [0..600_u64, 0..600_u64], acts in vec(vec(act(), 1..6), RESERVERS)) {
            all_at_once(Home::memory, limits, acts);
        }
    }
}
