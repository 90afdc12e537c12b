//! The life of an order, when the venue repeats, reorders and delays its words.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;
use reeve_trading::instrument::{FeeSpec, InstrumentId, InstrumentSpec, Liquidity, SpecKind, Universe};
use reeve_trading::number::{Money, Price, Qty};
use reeve_trading::order::*;
use reeve_trading::time::Time;

fn universe() -> Universe {
    let text = |text: &str| text.to_owned();
    let spec = InstrumentSpec {
        symbol: text("X"),
        base: text("X"),
        quote: text("USD"),
        kind: SpecKind::Spot,
        tick_size: text("0.01"),
        lot_size: text("1"),
        min_qty: None,
        max_qty: text("1000000"),
        min_notional: None,
        max_price: text("100000"),
        fees: FeeSpec { maker: None, taker: Some(text("0.001")), asset: None, rounding: None },
    };
    Universe::load("USD", &[spec]).unwrap()
}

fn order(intent: u64, qty: i64) -> Order {
    Order {
        id: ClientId { strategy: StrategyTag::of("test"), epoch: 1, intent },
        instrument: InstrumentId(0),
        side: Side::Buy,
        qty: Qty(qty),
        kind: OrderKind::Limit { price: Price(1_000), post_only: false },
        tif: TimeInForce::Gtc,
        reduce_only: false,
        oco: None,
    }
}

fn fill(universe: &Universe, exec_id: u64, price: i64, qty: i64) -> OrderEvent {
    let fee = universe.get(InstrumentId(0)).fee(Price(price), Qty(qty), Side::Buy, Liquidity::Taker, None).unwrap();
    OrderEvent::Fill(Fill { exec_id, price: Price(price), qty: Qty(qty), liquidity: Liquidity::Taker, fee })
}

fn table(universe: &Universe, qty: i64) -> (OrderTable, ClientId) {
    let mut table = OrderTable::new(1);
    let order = order(1, qty);
    table.insert(universe, order, Time(0), None, Price(1_000), false).unwrap();
    (table, order.id)
}

#[test]
fn a_name_is_used_once_even_after_its_order_ended() {
    let universe = universe();
    let (mut table, id) = table(&universe, 10);
    let again = table.insert(&universe, order(1, 10), Time(1), None, Price(1_000), false).map(|_| ());
    assert_eq!(again, Err(TableError::Known(id)));
    table.apply(&universe, id, &fill(&universe, 1, 1_000, 10)).unwrap();
    let again = table.insert(&universe, order(1, 10), Time(1), None, Price(1_000), false).map(|_| ());
    assert_eq!(again, Err(TableError::Known(id)));
}

#[test]
fn a_fill_after_the_cancel_still_counts_and_leaves_the_order_cancelled() {
    let universe = universe();
    let (mut table, id) = table(&universe, 10);
    table.apply(&universe, id, &OrderEvent::Cancelled).unwrap();
    let applied = table.apply(&universe, id, &fill(&universe, 7, 1_000, 4)).unwrap();
    assert_eq!(applied, Applied { changed: true, new_fill: true, ended: false });
    let tracked = table.get(id).unwrap();
    assert_eq!((tracked.state, tracked.filled, tracked.leaves()), (OrderState::Cancelled, Qty(4), Qty::ZERO));
    let repeated = table.apply(&universe, id, &fill(&universe, 7, 1_000, 4)).unwrap();
    assert_eq!(repeated, Applied { changed: false, new_fill: false, ended: false });
}

#[test]
fn words_about_an_order_that_was_never_sent_are_refused() {
    let universe = universe();
    let mut table = OrderTable::new(1);
    let id = order(9, 1).id;
    assert_eq!(table.apply(&universe, id, &OrderEvent::Accepted), Err(TableError::Unknown(id)));
}

#[test]
fn more_than_was_asked_is_seen_and_counted() {
    let universe = universe();
    let (mut table, id) = table(&universe, 10);
    table.apply(&universe, id, &fill(&universe, 1, 1_000, 11)).unwrap();
    assert!(table.get(id).unwrap().overfilled());
    assert_eq!(table.exposure(InstrumentId(0)).buys, OpenSide::default());
}

#[test]
fn ended_orders_are_forgotten_in_turn_and_their_memory_is_used_again() {
    let universe = universe();
    let mut table = OrderTable::new(1);
    for intent in 1..=10_000 {
        let order = order(intent, 1);
        table.insert(&universe, order, Time(0), None, Price(1_000), false).unwrap();
        table.apply(&universe, order.id, &fill(&universe, intent, 1_000, 1)).unwrap();
    }
    assert!(table.get(order(10_000 - 4_095, 1).id).is_some());
    assert!(table.get(order(1, 1).id).is_none());
    assert_eq!(table.open_count(), 0);
}

/// Events that one order may see: fills with ids, and at most one of each other word.
fn words(universe: &Universe) -> impl Strategy<Value = Vec<OrderEvent>> + use<> {
    let universe = universe.clone();
    let ends = prop_oneof![
        Just(None),
        Just(Some(OrderEvent::Cancelled)),
        Just(Some(OrderEvent::Expired)),
        Just(Some(OrderEvent::Rejected(Refusal::Funds)))
    ];
    (proptest::collection::vec((900_i64..1_000, 1_i64..5), 0..6), ends).prop_map(move |(fills, end)| {
        let mut words = vec![OrderEvent::Accepted, OrderEvent::CancelRejected];
        words.extend(fills.into_iter().zip(1..).map(|((price, qty), exec_id)| fill(&universe, exec_id, price, qty)));
        words.extend(end);
        words
    })
}

fn repeated_and_shuffled() -> impl Strategy<Value = (Vec<OrderEvent>, Vec<OrderEvent>)> {
    words(&universe()).prop_flat_map(|words| {
        let doubled: Vec<OrderEvent> = words.iter().chain(&words).copied().collect();
        (Just(words), Just(doubled).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn repeated_and_permuted_words_end_in_the_same_state_quantity_and_notional((words, shuffled) in repeated_and_shuffled()) {
        let universe = universe();
        let ends: Vec<_> = [&words, &shuffled]
            .into_iter()
            .map(|events| {
                let (mut table, id) = table(&universe, 10);
                let counted = events.iter().filter(|event| table.apply(&universe, id, event).unwrap().new_fill).count();
                let tracked = table.get(id).unwrap();
                (tracked.state, tracked.filled, tracked.traded, tracked.fees, tracked.leaves(), *table.exposure(InstrumentId(0)), counted)
            })
            .collect();
        prop_assert_eq!(&ends[0], &ends[1]);
        prop_assert_eq!(ends[0].6, words.iter().filter(|event| matches!(event, OrderEvent::Fill(_))).count());
    }

    #[test]
    fn what_open_orders_may_do_is_the_sum_over_them(steps in proptest::collection::vec((0_u64..6, 0_usize..5, 1_i64..4), 0..60)) {
        let universe = universe();
        let mut table = OrderTable::new(1);
        for (intent, what, qty) in steps {
            let order = order(intent, 10);
            let _ = table.insert(&universe, order, Time(0), None, Price(1_000), false);
            let event = [
                OrderEvent::Accepted,
                OrderEvent::Cancelled,
                OrderEvent::Expired,
                OrderEvent::Triggered,
                fill(&universe, qty as u64, 1_000, qty),
            ][what];
            table.apply(&universe, order.id, &event).unwrap();
            let leaves: i64 = table.open().map(|tracked| tracked.leaves().0).sum();
            let exposure = table.exposure(InstrumentId(0));
            prop_assert_eq!(exposure.buys.leaves, Qty(leaves));
            prop_assert_eq!(exposure.buys.notional, Money::whole(10 * leaves));
            prop_assert_eq!(table.open_notional(), Money::whole(10 * leaves));
        }
    }
}
