#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn levels(levels: &[(i64, i64)]) -> Vec<Level> {
    levels.iter().map(|(price, qty)| Level { price: Price(*price), qty: Qty(*qty) }).collect()
}

fn change(book: &mut Book, ids: (u64, u64), bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Applied {
    book.delta(&BookChange { first_id: ids.0, last_id: ids.1, bids: &levels(bids), asks: &levels(asks) })
}

fn snapshot(book: &mut Book, id: u64, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Applied {
    book.snapshot(&BookChange { first_id: id, last_id: id, bids: &levels(bids), asks: &levels(asks) })
}

fn best(book: &Book) -> Option<(i64, i64, i64, i64)> {
    book.quote().map(|quote| (quote.bid.0, quote.bid_qty.0, quote.ask.0, quote.ask_qty.0))
}

#[test]
fn changes_wait_for_a_snapshot_and_go_on_from_it() {
    let mut book = Book::new(10);
    assert_eq!(change(&mut book, (1, 4), &[(99, 1)], &[]), Applied::Waiting);
    assert_eq!(change(&mut book, (5, 8), &[(98, 7)], &[(101, 2)]), Applied::Waiting);
    assert_eq!(change(&mut book, (9, 9), &[], &[(102, 3)]), Applied::Waiting);
    assert_eq!(book.state(), BookState::Absent);
    assert_eq!(snapshot(&mut book, 6, &[(97, 5)], &[(101, 1)]), Applied::Changed);
    assert_eq!((best(&book), book.last_id(), book.applied(), book.dropped()), (Some((98, 7, 101, 2)), Some(9), 2, 1));
    assert_eq!(book.displayed(Side::Sell, Price(102)), Qty(3));
}

#[test]
fn old_and_repeated_changes_do_nothing_and_an_overlapping_one_is_taken() {
    let mut book = Book::new(10);
    snapshot(&mut book, 10, &[(97, 5)], &[(101, 1)]);
    assert_eq!(change(&mut book, (9, 10), &[(97, 0)], &[]), Applied::Old);
    assert_eq!(change(&mut book, (10, 12), &[(98, 1)], &[]), Applied::Changed);
    assert_eq!(change(&mut book, (10, 12), &[(98, 9)], &[]), Applied::Old);
    assert_eq!(best(&book), Some((98, 1, 101, 1)));
}

#[test]
fn a_missing_change_is_a_gap_until_the_next_snapshot() {
    let mut book = Book::new(10);
    snapshot(&mut book, 10, &[(97, 5)], &[(101, 1)]);
    assert_eq!(change(&mut book, (12, 13), &[(98, 1)], &[]), Applied::Gap);
    assert_eq!((book.state(), best(&book)), (BookState::Gap, None));
    assert_eq!(change(&mut book, (14, 15), &[(99, 1)], &[]), Applied::Gap);
    assert_eq!(snapshot(&mut book, 10, &[(97, 5)], &[(101, 1)]), Applied::SnapshotTooOld, "11 is still missing");
    assert_eq!(book.state(), BookState::Gap);
    assert_eq!(snapshot(&mut book, 11, &[(96, 5)], &[(101, 1)]), Applied::Changed);
    assert_eq!((book.state(), best(&book), book.last_id()), (BookState::Synced, Some((99, 1, 101, 1)), Some(15)));
}

#[test]
fn a_crossed_book_is_not_traded_on_until_it_is_uncrossed() {
    let mut book = Book::new(10);
    snapshot(&mut book, 1, &[(97, 5)], &[(101, 1)]);
    change(&mut book, (2, 2), &[(101, 1)], &[]);
    assert_eq!(book.state(), BookState::Crossed);
    change(&mut book, (3, 3), &[(101, 0)], &[]);
    assert_eq!(book.state(), BookState::Synced);
}

#[test]
fn a_lost_feed_is_no_book() {
    let mut book = Book::new(10);
    snapshot(&mut book, 1, &[(97, 5)], &[(101, 1)]);
    book.lose();
    assert_eq!((book.state(), book.last_id()), (BookState::Gap, None));
}

proptest! {
    #[test]
    fn a_ladder_is_the_map_of_its_changes(changes in proptest::collection::vec((1_i64..60, 0_i64..4, any::<bool>()), 0..200), capacity in 1_usize..80) {
        let mut book = Book::new(capacity);
        snapshot(&mut book, 0, &[], &[]);
        let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
        for ((price, qty, is_bid), id) in changes.iter().zip(1..) {
            let level = [(*price, *qty)];
            let side = if *is_bid { &mut bids } else { &mut asks };
            if *qty > 0 { side.insert(*price, *qty); } else { side.remove(price); }
            // What has no room is forgotten from the far end.
            while bids.len() > capacity { bids.pop_first(); }
            while asks.len() > capacity { asks.pop_last(); }
            if *is_bid { change(&mut book, (id, id), &level, &[]); } else { change(&mut book, (id, id), &[], &level); }
            let of = |side| book.levels(side).map(|level| (level.price.0, level.qty.0)).collect::<Vec<_>>();
            prop_assert_eq!(of(Side::Buy), bids.iter().rev().map(|(price, qty)| (*price, *qty)).collect::<Vec<_>>());
            prop_assert_eq!(of(Side::Sell), asks.iter().map(|(price, qty)| (*price, *qty)).collect::<Vec<_>>());
        }
    }
}
