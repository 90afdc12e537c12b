//! What holds whatever a strategy asks for and however the market fills it.

use proptest::prelude::*;
use reeve_trading::instrument::Universe;
use reeve_trading::intent::{Size, Submit};
use reeve_trading::number::{Bps, Money, Price, Qty};
use reeve_trading::order::{OrderEvent, OrderKind, Side, TimeInForce};
use reeve_trading::risk::Checked;
use serde_json::json;

use crate::world::{AT, World, money};

/// Limits of the sequences: small enough that random orders meet them all the time.
const MAX_ORDER: i64 = 20;
const MAX_POSITION: i64 = 50;

#[derive(Clone, Debug)]
enum Step {
    Ask { side: Side, size: Size, kind: OrderKind, tif: TimeInForce, oco: Option<u32> },
    Fill { which: usize, part: i64 },
    Cancel { which: usize },
    Price { mid: i64 },
    Wait { ms: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let price = 9_000_i64..11_000;
    let kind = prop_oneof![
        Just(OrderKind::Market),
        (price.clone(), any::<bool>()).prop_map(|(price, post_only)| OrderKind::Limit { price: Price(price), post_only }),
        price.clone().prop_map(|trigger| OrderKind::Stop { trigger: Price(trigger) }),
        (0_i64..900).prop_map(|distance| OrderKind::TrailingStop { distance }),
        (price.clone(), price.clone()).prop_map(|(trigger, price)| OrderKind::StopLimit { trigger: Price(trigger), price: Price(price) }),
    ];
    let size = prop_oneof![
        4 => (-2_i64..60).prop_map(|qty| Size::Lots(Qty(qty))),
        1 => (0_u32..2_000).prop_map(|bps| Size::Fraction(Bps(bps))),
    ];
    let side = prop_oneof![Just(Side::Buy), Just(Side::Sell)];
    let oco = prop_oneof![3 => Just(None), 1 => Just(Some(1)), 1 => Just(Some(2))];
    let tif = prop_oneof![4 => Just(TimeInForce::Gtc), 1 => Just(TimeInForce::Ioc)];
    prop_oneof![
        5 => (side, size, kind, tif, oco).prop_map(|(side, size, kind, tif, oco)| Step::Ask { side, size, kind, tif, oco }),
        4 => (any::<usize>(), 1_i64..25).prop_map(|(which, part)| Step::Fill { which, part }),
        1 => any::<usize>().prop_map(|which| Step::Cancel { which }),
        2 => price.prop_map(|mid| Step::Price { mid }),
        2 => (0_i64..2_000).prop_map(|ms| Step::Wait { ms }),
    ]
}

fn world() -> World {
    World::new(json!({
        "instruments": { "X": { "maxOrderQty": MAX_ORDER.to_string(), "maxPosition": MAX_POSITION.to_string() } },
        "maxOrderNotional": "1900", "maxPositionNotional": "4500", "maxGrossExposure": "4400", "maxOpenOrders": 6,
        "maxOpenNotional": "4000", "maxDrawdownBps": 2_000, "flatten": true,
    }))
}

/// The price of a fill that the order could get.
fn fill_price(world: &World, order: &reeve_trading::order::Order) -> i64 {
    let worst = world.account.order(order.id).unwrap().worst_price.0;
    match (order.kind.limit(), order.side) {
        (Some(limit), _) => limit.0,
        (None, Side::Buy) => worst.min(10_500),
        (None, Side::Sell) => 9_500,
    }
}

fn open(world: &World, which: usize) -> Option<reeve_trading::order::Order> {
    let open: Vec<_> = world.account.orders().open().map(|open| open.order).collect();
    (!open.is_empty()).then(|| open[which % open.len()])
}

fn take(world: &mut World, tag: u64, step: &Step) {
    match step {
        Step::Ask { side, size, kind, tif, oco } => {
            ask(world, Submit { size: *size, kind: *kind, tif: *tif, oco: *oco, ..Submit::market(AT, *side, Qty(0), tag) });
        }
        Step::Fill { which, part } => {
            let Some(order) = open(world, *which) else { return };
            let leaves = world.account.order(order.id).unwrap().leaves();
            let price = fill_price(world, &order);
            // A spot venue does not lend: a stop whose position was sold beside it trades what is left.
            let qty = leaves.min(Qty(*part)).min(world.account.affordable(&order, Price(price)).unwrap());
            if qty > Qty::ZERO {
                world.fill(order.id, price, qty.0);
                reduce_other_leg(world, &order, qty);
            }
        }
        Step::Cancel { which } => {
            if let Some(order) = open(world, *which) {
                world.tell(order.id, OrderEvent::Cancelled);
            }
        }
        Step::Price { mid } => {
            world.quote(mid - 1, mid + 1);
        }
        Step::Wait { ms } => world.pass_ms(*ms),
    }
    if let Some(exit) = world.guard.next_exit(&world.account, world.now, AT) {
        ask(world, exit);
    }
}

/// What a venue does to the other leg of a pair.
fn reduce_other_leg(world: &mut World, order: &reeve_trading::order::Order, qty: Qty) {
    let pair = |open: &&reeve_trading::order::Tracked| {
        open.order.oco.is_some() && open.order.id != order.id && (open.order.oco, open.order.side) == (order.oco, order.side)
    };
    let other = world.account.orders().open().find(pair).map(|open| (open.order.id, open.filled, open.leaves()));
    if let Some((id, filled, leaves)) = other {
        let left = Qty((leaves.0 - qty.0).max(0));
        let word = if left == Qty::ZERO { OrderEvent::Cancelled } else { OrderEvent::Reduced { to: filled.plus(left).unwrap() } };
        world.tell(id, word);
    }
}

/// Asks, and checks what is promised at acceptance.
fn ask(world: &mut World, submit: Submit) {
    let mut passed = Vec::new();
    let admitted = world.guard.admit(&mut world.account, world.now, &submit, &mut passed);
    let orders: Vec<_> = passed.into_iter().map(Checked::into_inner).collect();
    for order in &orders {
        assert!(order.qty.0 > 0 && order.qty.0 <= MAX_ORDER, "row 1: {order:?}");
    }
    let Ok(admission) = admitted else { return };
    if admission.reducing {
        return;
    }
    let (held, exposure) = (world.account.lots(AT).0, *world.account.orders().exposure(AT));
    assert!(held + exposure.buys.leaves.0 <= MAX_POSITION || submit.side == Side::Sell, "row 7");
    let tracked = world.account.order(orders[0].id).unwrap();
    let notional = world.account.universe().get(AT).notional(tracked.worst_price, tracked.order.qty).unwrap();
    assert!(notional <= money("1900"), "row 2: {notional}");
    assert!(world.account.orders().open_count() <= 6 && world.account.orders().open_notional() <= money("4000"), "row 10");
    let mark = world.account.market(AT).mark().unwrap().price;
    let value = world.account.universe().get(AT).value(world.account.ledger().position(AT).held(), mark).unwrap();
    assert!(value.plus(exposure.buys.notional).unwrap() <= money("4400"), "row 8");
}

/// What holds after every step.
fn holds(world: &World) {
    let ledger = world.account.ledger();
    for asset in world.account.universe().assets() {
        assert_eq!(ledger.imbalance(asset), Ok(Money::ZERO), "every amount that left an account entered another");
        assert!(world.account.free(asset) >= Money::ZERO, "nothing was spent that was not there");
    }
    let mut aside = [Money::ZERO; 2];
    for open in world.account.orders().open() {
        let place = usize::from(open.order.side == Side::Sell);
        aside[place] = aside[place].plus(open.reserved).unwrap();
    }
    let reserved = |asset| ledger.balance(asset, reeve_trading::ledger::Account::Reserved);
    assert_eq!([reserved(Universe::REPORTING), reserved(world.account.universe().get(AT).base)], aside, "set aside for open orders");
    assert_eq!(Ok(world.account.equity()), ledger.equity(world.account.universe()), "what is kept is what a new sum comes to");
    let held = world.account.lots(AT);
    assert_eq!(world.account.universe().get(AT).whole_lots(ledger.position(AT).held()), Ok(held));
    assert!(held >= Qty::ZERO, "spot is never short");
    assert_eq!(ledger.owned(world.account.universe().get(AT).base), Ok(ledger.position(AT).held()));
    assert!(held.0 <= MAX_POSITION, "row 7: no subset of fills passes it");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_for_random_intents_and_random_partial_fills(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = world();
        for (step, tag) in steps.iter().zip(1..) {
            take(&mut world, tag, step);
            holds(&world);
        }
    }
}
