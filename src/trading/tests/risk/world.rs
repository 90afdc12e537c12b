//! One account, one guard, and a market that does what a test says.

use std::sync::Arc;

use reeve_trading::account::Account;
use reeve_trading::event::{Bar, MarketEvent, MarketStatus, Quote, Trade};
use reeve_trading::instrument::{InstrumentId, InstrumentSpec, Liquidity, Universe};
use reeve_trading::intent::Submit;
use reeve_trading::number::{Money, Price, Qty};
use reeve_trading::order::{ClientId, Fill, Order, OrderEvent, Side};
use reeve_trading::risk::{Admission, Checked, Code, Denial, Guard, GuardStart, InMemory, Inputs, LatchKey, Limits, LimitsSpec, Trip};
use reeve_trading::time::{NS_PER_MS, NS_PER_SECOND, Time};
use serde_json::{Value, json};

pub(crate) const AT: InstrumentId = InstrumentId(0);
/// Monday 2024-01-01 12:00 UTC.
pub(crate) const NOON: Time = Time(1_704_110_400 * NS_PER_SECOND);

pub(crate) struct World {
    pub(crate) account: Account,
    pub(crate) guard: Guard<InMemory>,
    pub(crate) now: Time,
    pub(crate) sent: Vec<Order>,
    pub(crate) next_exec: u64,
}

pub(crate) fn universe() -> Universe {
    let spec = |symbol: &str| -> InstrumentSpec {
        serde_json::from_value(json!({
            "symbol": symbol, "base": symbol, "quote": "USD", "tickSize": "0.01", "lotSize": "1", "minNotional": "10",
            "maxQty": "1000000", "maxPrice": "100000", "fees": { "maker": "0.001", "taker": "0.001" }
        }))
        .unwrap()
    };
    Universe::load("USD", &[spec("X"), spec("Y"), spec("OFF")]).unwrap()
}

/// Limits of 100 lots an order and 1,000 a position, with parts replaced.
pub(crate) fn limits_spec(changes: Value) -> LimitsSpec {
    read(&changes).unwrap()
}

/// The same, or why they cannot be read.
pub(crate) fn read(changes: &Value) -> serde_json::Result<LimitsSpec> {
    let mut limits = json!({ "instruments": {
        "X": { "maxOrderQty": "100", "maxPosition": "1000" },
        "Y": { "maxOrderQty": "100", "maxPosition": "1000" },
    } });
    for (field, value) in changes.as_object().unwrap() {
        limits[field] = value.clone();
    }
    serde_json::from_value(limits)
}

pub(crate) fn key() -> LatchKey {
    LatchKey { account: "test".to_owned(), strategy: "test".to_owned() }
}

impl World {
    /// A million of cash, and a market of 100.00 to 100.02 that trades.
    pub(crate) fn new(changes: Value) -> World {
        let mut world = World::without_market(changes);
        world.status(MarketStatus::Trading);
        world.quote(10_000, 10_002);
        world
    }

    pub(crate) fn without_market(changes: Value) -> World {
        World::with_cash(changes, Money::whole(1_000_000))
    }

    pub(crate) fn with_cash(changes: Value, cash: Money) -> World {
        let universe = Arc::new(universe());
        let limits = Limits::compile(&limits_spec(changes), &universe).unwrap();
        let account = Account::new(universe, limits.market_rules(), cash).unwrap();
        let start = GuardStart { key: key(), epoch: 1, now: NOON };
        let guard = Guard::start(start, limits, &account, Inputs::of_backtest(), InMemory::default());
        World { account, guard, now: NOON, sent: Vec::new(), next_exec: 1 }
    }

    pub(crate) fn pass_ms(&mut self, ms: i64) {
        self.now = self.now.plus_ns(ms * NS_PER_MS);
    }

    pub(crate) fn market(&mut self, event: &MarketEvent<'_>) -> Trip {
        self.account.market_event(self.now, AT, event).unwrap();
        self.guard.on_equity(self.now, &self.account)
    }

    pub(crate) fn status(&mut self, status: MarketStatus) {
        self.market(&MarketEvent::Status(status));
    }

    pub(crate) fn quote(&mut self, bid: i64, ask: i64) -> Trip {
        let (bid_qty, ask_qty) = (Qty(1_000), Qty(1_000));
        self.market(&MarketEvent::Quote(Quote { bid: Price(bid), bid_qty, ask: Price(ask), ask_qty }))
    }

    pub(crate) fn traded_at(&mut self, price: i64) -> Trip {
        self.market(&MarketEvent::Trade(Trade { price: Price(price), qty: Qty(1), taker: Side::Buy }))
    }

    pub(crate) fn bar(&mut self, interval_ms: i64, close: i64) {
        let (open, high, low, close) = (Price(close), Price(close), Price(close), Price(close));
        let opens = self.now.plus_ns(-interval_ms * NS_PER_MS);
        self.market(&MarketEvent::Bar(Bar { opens, open, high, low, close, volume: Qty(1_000) }));
    }

    pub(crate) fn admit(&mut self, submit: &Submit) -> Result<Admission, Denial> {
        let mut passed: Vec<Checked<Order>> = Vec::new();
        let admitted = self.guard.admit(&mut self.account, self.now, submit, &mut passed);
        self.sent.extend(passed.into_iter().map(Checked::into_inner));
        admitted
    }

    /// The code of the denial, or none for an order that passed.
    pub(crate) fn code(&mut self, submit: &Submit) -> Option<Code> {
        self.admit(submit).err().map(|denial| denial.code)
    }

    pub(crate) fn last(&self) -> ClientId {
        self.sent.last().unwrap().id
    }

    pub(crate) fn tell(&mut self, id: ClientId, event: OrderEvent) -> Trip {
        let settled = self.account.order_event(self.now, id, &event).unwrap();
        if let (OrderEvent::Fill(fill), Some(_)) = (&event, settled.booked) {
            let tracked = self.account.order(id).unwrap();
            self.guard.on_fill(self.now, &self.account, tracked, fill, &settled).unwrap();
            return self.guard.on_equity(self.now, &self.account);
        }
        Trip::None
    }

    pub(crate) fn fill(&mut self, id: ClientId, price: i64, qty: i64) -> Trip {
        let order = self.account.order(id).unwrap().order;
        let instrument = self.account.universe().get(order.instrument);
        let fee = instrument.fee(Price(price), Qty(qty), order.side, Liquidity::Taker, None).unwrap();
        let exec_id = self.next_exec;
        self.next_exec += 1;
        self.tell(id, OrderEvent::Fill(Fill { exec_id, price: Price(price), qty: Qty(qty), liquidity: Liquidity::Taker, fee }))
    }

    /// Buys and fills, past every counter that the test is about.
    pub(crate) fn hold(&mut self, qty: i64) {
        let mut left = qty;
        while left > 0 {
            let slice = left.min(100);
            let tag = 1_000_000 + self.sent.len() as u64;
            self.admit(&Submit::market(AT, Side::Buy, Qty(slice), tag)).unwrap();
            let id = self.last();
            self.fill(id, 10_002, slice);
            left -= slice;
            self.pass_ms(1_001);
            self.quote(10_000, 10_002);
        }
    }
}

pub(crate) fn buy(qty: i64, tag: u64) -> Submit {
    Submit::limit(AT, Side::Buy, Qty(qty), Price(10_002), tag)
}

pub(crate) fn sell(qty: i64, tag: u64) -> Submit {
    Submit::limit(AT, Side::Sell, Qty(qty), Price(10_000), tag)
}

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// Orders, each in a world of its own, and what becomes of them.
pub(crate) fn cases(changes: &Value, cases: &[(Submit, Option<Code>)]) {
    for (submit, wanted) in cases {
        assert_eq!(World::new(changes.clone()).code(submit), *wanted, "{submit:?} under {changes}");
    }
}

pub(crate) fn limit(side: Side, qty: i64, price: i64) -> Submit {
    Submit::limit(AT, side, Qty(qty), Price(price), 1)
}
