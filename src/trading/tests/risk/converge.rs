//! A venue that repeats and reorders its words leaves the same books.

use proptest::prelude::*;
use reeve_trading::instrument::{Liquidity, Universe};
use reeve_trading::ledger::Account as Place;
use reeve_trading::number::{Money, Price, Qty};
use reeve_trading::order::{Fill, OrderEvent, OrderState, Refusal};
use serde_json::json;

use crate::world::{AT, World, buy};

/// Words about one order of a hundred lots: fills, some ending, each maybe twice, in some order.
fn words() -> impl Strategy<Value = (Vec<OrderEvent>, Vec<OrderEvent>)> {
    let end = prop_oneof![
        Just(None),
        Just(Some(OrderEvent::Cancelled)),
        Just(Some(OrderEvent::Expired)),
        Just(Some(OrderEvent::Rejected(Refusal::Venue)))
    ];
    (proptest::collection::vec((9_000_i64..10_003, 1_i64..30), 0..5), end).prop_flat_map(|(fills, end)| {
        let universe = crate::world::universe();
        let mut words = vec![OrderEvent::Accepted, OrderEvent::CancelRejected];
        for ((price, qty), exec_id) in fills.into_iter().zip(1..) {
            let (price, qty) = (Price(price), Qty(qty));
            let fee = universe.get(AT).fee(price, qty, reeve_trading::order::Side::Buy, Liquidity::Taker, None).unwrap();
            words.push(OrderEvent::Fill(Fill { exec_id, price, qty, liquidity: Liquidity::Taker, fee }));
        }
        words.extend(end);
        let twice: Vec<OrderEvent> = words.iter().chain(&words).copied().collect();
        (Just(words), Just(twice).prop_shuffle())
    })
}

/// What is left of cash, of base, of what is set aside, and of the order.
type End = (Money, Money, Money, OrderState, Qty, Money);

fn end(words: &[OrderEvent]) -> End {
    let mut world = World::new(json!({}));
    world.admit(&buy(100, 1)).unwrap();
    let id = world.last();
    for word in words {
        world.tell(id, *word);
        for asset in world.account.universe().assets() {
            assert_eq!(world.account.ledger().imbalance(asset), Ok(Money::ZERO));
        }
    }
    let (ledger, tracked) = (world.account.ledger(), world.account.order(id).unwrap());
    let base = world.account.universe().get(AT).base;
    let aside = ledger.balance(Universe::REPORTING, Place::Reserved);
    (ledger.owned(Universe::REPORTING).unwrap(), ledger.owned(base).unwrap(), aside, tracked.state, tracked.filled, tracked.fees)
}

proptest! {
    #[test]
    fn repeated_and_permuted_words_leave_the_same_cash_position_and_state((words, shuffled) in words()) {
        let (once, twice) = (end(&words), end(&shuffled));
        prop_assert_eq!(once, twice);
        prop_assert!(!once.3.is_final() || once.2 == Money::ZERO, "nothing stays set aside for an order that ended");
    }
}
