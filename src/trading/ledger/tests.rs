#![allow(clippy::unwrap_used)]

use super::*;
use crate::instrument::{FeeSpec, InstrumentSpec, Liquidity, SpecKind};

fn spec(symbol: &str, base: &str, fees: FeeSpec) -> InstrumentSpec {
    InstrumentSpec {
        symbol: symbol.to_owned(),
        base: base.to_owned(),
        quote: "USD".to_owned(),
        kind: SpecKind::Spot,
        tick_size: "0.01".to_owned(),
        lot_size: "0.001".to_owned(),
        min_qty: None,
        max_qty: "1000".to_owned(),
        min_notional: None,
        max_price: "1000000".to_owned(),
        fees,
    }
}

fn fees(taker: &str, asset: Option<&str>) -> FeeSpec {
    FeeSpec { maker: None, taker: Some(taker.to_owned()), asset: asset.map(str::to_owned), rounding: None }
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

const AT: InstrumentId = InstrumentId(0);

struct Books {
    universe: Universe,
    ledger: Ledger,
}

impl Books {
    fn new(specs: &[InstrumentSpec]) -> Books {
        let universe = Universe::load("USD", specs).unwrap();
        let mut ledger = Ledger::new(&universe);
        ledger.deposit(Universe::REPORTING, Money::whole(1_000)).unwrap();
        Books { universe, ledger }
    }

    fn fill(&mut self, side: Side, price: i64, qty: i64) -> Booked {
        let third = match self.universe.get(AT).fees.asset {
            crate::instrument::FeeAsset::Third(asset) => self.ledger.asset_price(&self.universe, asset).unwrap(),
            crate::instrument::FeeAsset::Quote | crate::instrument::FeeAsset::Base => None,
        };
        let fee = self.universe.get(AT).fee(Price(price), Qty(qty), side, Liquidity::Taker, third).unwrap();
        let booked = self.ledger.fill(&self.universe, AT, side, Price(price), Qty(qty), fee).unwrap();
        for asset in self.universe.assets() {
            assert_eq!(self.ledger.imbalance(asset), Ok(Money::ZERO));
        }
        booked
    }

    fn cash(&self) -> String {
        self.ledger.owned(Universe::REPORTING).unwrap().to_string()
    }
}

#[test]
fn a_partial_close_releases_its_share_of_the_cost_and_the_last_close_all_of_it() {
    let mut books = Books::new(&[spec("X", "X", FeeSpec::default())]);
    // Three lots for 1.00, one ten-thousandth each tick and lot: 0.10 × 3 lots of 0.001 = 0.0003.
    books.fill(Side::Buy, 10, 2);
    books.fill(Side::Buy, 11, 1);
    assert_eq!(books.ledger.position(AT).cost(), money("0.00031"));
    let first = books.fill(Side::Sell, 12, 1);
    // 0.00031 / 3 has no end: half-even at 24 decimals.
    assert_eq!(first.realised, money("0.00012").minus(money("0.000103333333333333333333")).unwrap());
    assert_eq!(first.closed, None);
    books.fill(Side::Sell, 12, 1);
    let last = books.fill(Side::Sell, 12, 1);
    assert_eq!(books.ledger.position(AT).cost(), Money::ZERO);
    assert_eq!(books.ledger.position(AT).realised(), money("0.00005"));
    assert_eq!(last.closed, Some(RoundTrip { profit: money("0.00005") }));
    assert_eq!(books.cash(), "1000.00005");
}

#[test]
fn a_flip_is_a_close_and_an_open_at_the_same_price() {
    let mut books = Books::new(&[spec("X", "X", FeeSpec::default())]);
    books.fill(Side::Buy, 10_000, 10);
    let flip = books.fill(Side::Sell, 11_000, 25);
    assert_eq!(flip.realised, money("0.1"));
    let position = *books.ledger.position(AT);
    assert_eq!((position.held(), position.cost()), (money("-0.015"), money("-1.65")));
    let back = books.fill(Side::Buy, 10_000, 15);
    assert_eq!(back.realised, money("0.15"));
    assert_eq!(books.cash(), "1000.25");
}

#[test]
fn a_quote_fee_is_in_cash_and_is_not_taken_from_equity_again() {
    let mut books = Books::new(&[spec("X", "X", fees("0.001", None))]);
    books.fill(Side::Buy, 10_000, 1_000);
    assert_eq!(books.cash(), "899.9");
    books.ledger.mark(AT, HalfTicks(20_000));
    assert_eq!(books.ledger.equity(&books.universe).unwrap(), Some(money("999.9")));
    let closed = books.fill(Side::Sell, 10_000, 1_000).closed;
    assert_eq!(closed, Some(RoundTrip { profit: money("-0.2") }));
    assert_eq!(books.ledger.position(AT).fees(), money("0.2"));
}

#[test]
fn a_base_fee_reduces_the_position_at_its_pro_rata_cost_and_leaves_dust() {
    let mut books = Books::new(&[spec("X", "X", fees("0.001", Some("X")))]);
    books.fill(Side::Buy, 10_000, 1_000);
    let position = *books.ledger.position(AT);
    assert_eq!((position.held(), position.cost()), (money("0.999"), money("99.9")));
    assert_eq!(books.ledger.lots(AT), Qty(999));
    books.fill(Side::Buy, 10_000, 1);
    assert_eq!(books.ledger.position(AT).held(), money("0.999999"));
    assert_eq!(books.ledger.lots(AT), Qty(999), "what is not a whole lot cannot be sold");
}

#[test]
fn a_fee_in_a_third_asset_is_converted_at_its_mark_and_rounded_up_to_8_decimals() {
    let mut books = Books::new(&[spec("X", "X", fees("0.001", Some("TOKEN"))), spec("T", "TOKEN", FeeSpec::default())]);
    let token = books.universe.asset("TOKEN").unwrap();
    books.ledger.deposit(token, Money::whole(1)).unwrap();
    let instrument = books.universe.get(AT).clone();
    assert!(instrument.fee(Price(10_000), Qty(1_000), Side::Buy, Liquidity::Taker, None).is_err(), "no mark, no trade");
    books.ledger.mark(InstrumentId(1), HalfTicks(60_000));
    books.fill(Side::Buy, 10_000, 1_000);
    // 0.1 USD at 300 USD a token is 0.000333333…
    assert_eq!(books.ledger.owned(token), Ok(money("0.99966666")));
    assert_eq!(books.cash(), "900");
}

#[test]
fn a_round_trip_ends_only_on_a_fill_that_reduced_the_position() {
    let mut books = Books::new(&[spec("X", "X", fees("0.001", Some("X")))]);
    assert_eq!(books.fill(Side::Buy, 10_000, 1).closed, None, "its fee leaves less than a lot, which was only opened");
    assert_eq!(books.fill(Side::Buy, 10_000, 1_000).closed, None);
    let lots = books.ledger.lots(AT);
    assert!(books.fill(Side::Sell, 10_000, lots.0).closed.is_some());
}

#[test]
fn a_rebate_is_never_rounded_in_our_favour() {
    let rounded = FeeSpec { rounding: Some(2), ..fees("-0.001", None) };
    let mut books = Books::new(&[spec("X", "X", rounded)]);
    books.fill(Side::Buy, 1_999, 1_000);
    assert_eq!(books.cash(), "980.02", "0.01999 of 19.99");
    let mut books = Books::new(&[spec("X", "X", fees("-0.001", Some("TOKEN"))), spec("T", "TOKEN", FeeSpec::default())]);
    books.ledger.mark(InstrumentId(1), HalfTicks(60_000));
    books.fill(Side::Buy, 20_000, 1_000);
    // 0.2 USD at 300 USD a token is 0.000666666…
    assert_eq!(books.ledger.owned(books.universe.asset("TOKEN").unwrap()), Ok(money("0.00066666")));
}

#[test]
fn equity_is_unknown_while_something_owned_has_no_mark() {
    let mut books = Books::new(&[spec("X", "X", FeeSpec::default())]);
    assert_eq!(books.ledger.equity(&books.universe), Ok(Some(Money::whole(1_000))));
    books.fill(Side::Buy, 10_000, 1);
    assert_eq!(books.ledger.equity(&books.universe), Ok(None));
    books.ledger.mark(AT, HalfTicks(20_001));
    assert_eq!(books.ledger.equity(&books.universe), Ok(Some(money("1000.000005"))), "half a tick counts");
}

#[test]
fn books_that_would_wrap_are_an_overflow() {
    let mut books = Books::new(&[spec("X", "X", FeeSpec::default())]);
    assert_eq!(books.ledger.deposit(Universe::REPORTING, Money(i128::MAX)), Err(Overflow));
    assert_eq!(books.cash(), "1000", "a refused entry leaves no trace");
}
