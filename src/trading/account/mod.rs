//! One account: its books, its orders, and the markets it trades on. All its strategies share it.
//!
//! Architecture invariant: an order enters only as it passed the risk chain, and what is set aside for it is set aside before it is sent.

mod market;
mod minute;

use std::sync::Arc;

pub use market::{BookState, Mark, MarkOutcome, Market, MarketRules};

use crate::event::MarketEvent;
use crate::instrument::{AssetId, FeeAsset, Instrument, InstrumentId, Universe};
use crate::ledger::{Account as Place, Booked, Ledger};
use crate::number::{HalfTicks, Money, Overflow, Price, Qty};
use crate::order::{Applied, ClientId, Order, OrderEvent, OrderKind, OrderTable, Side, StrategyTag, TableError, TimeInForce, Tracked};
use crate::time::Time;

/// What an order event did to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What it did to the order.
    pub applied: Applied,
    /// What the ledger booked, for a fill that was not known.
    pub booked: Option<Booked>,
    /// Whether more was traded than asked: the venue and we do not agree.
    pub overfilled: bool,
}

/// An account.
#[derive(Debug)]
pub struct Account {
    universe: Arc<Universe>,
    rules: MarketRules,
    ledger: Ledger,
    orders: OrderTable,
    markets: Vec<Market>,
    equity: Option<Money>,
}

impl Account {
    /// An account with this much of the reporting currency and nothing else.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn new(universe: Arc<Universe>, rules: MarketRules, cash: Money) -> Result<Account, Overflow> {
        let mut ledger = Ledger::new(&universe);
        ledger.deposit(Universe::REPORTING, cash)?;
        let (orders, markets) = (OrderTable::new(universe.len()), universe.instruments().map(|_| Market::new()).collect());
        Ok(Account { rules, ledger, orders, markets, equity: Some(cash), universe })
    }

    /// Its instruments.
    pub fn universe(&self) -> &Universe {
        &self.universe
    }

    /// Its books.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Its orders.
    pub fn orders(&self) -> &OrderTable {
        &self.orders
    }

    /// The market of an instrument.
    pub fn market(&self, at: InstrumentId) -> &Market {
        &self.markets[usize::from(at.0)]
    }

    /// Equity at the last accepted marks; none while something owned has no mark.
    pub fn equity(&self) -> Option<Money> {
        self.equity
    }

    /// What is free of an asset.
    pub fn free(&self, asset: AssetId) -> Money {
        self.ledger.balance(asset, Place::Free)
    }

    /// The whole lots of a position, negative when short.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn lots(&self, at: InstrumentId) -> Result<Qty, Overflow> {
        self.ledger.lots(&self.universe, at)
    }

    /// Brings an amount in from outside; a negative one takes it out.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn deposit(&mut self, asset: AssetId, amount: Money) -> Result<(), Overflow> {
        self.ledger.deposit(asset, amount)?;
        self.evaluate()
    }

    fn evaluate(&mut self) -> Result<(), Overflow> {
        self.equity = self.ledger.equity(&self.universe)?;
        Ok(())
    }

    /// Takes in a market event; an accepted mark is in equity when this returns.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn market_event(&mut self, now: Time, at: InstrumentId, event: &MarketEvent<'_>) -> Result<MarkOutcome, Overflow> {
        let outcome = self.markets[usize::from(at.0)].see(now, event, &self.rules)?;
        match outcome {
            MarkOutcome::Accepted(price) => {
                self.ledger.mark(at, price);
                self.evaluate()?;
            }
            MarkOutcome::None | MarkOutcome::Suspect(_) => {}
        }
        Ok(outcome)
    }

    /// Takes in what became of an instrument's book.
    pub fn book_state(&mut self, at: InstrumentId, state: BookState) {
        self.markets[usize::from(at.0)].set_book(state);
    }

    /// The price of a third asset that an instrument's fees are paid in; the outer none when its fees need no mark.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn fee_mark(&self, instrument: &Instrument) -> Result<Option<Option<Money>>, Overflow> {
        match instrument.fees.asset {
            FeeAsset::Quote | FeeAsset::Base => Ok(None),
            FeeAsset::Third(asset) => self.ledger.asset_price(&self.universe, asset).map(Some),
        }
    }

    /// What has to be set aside while so much of an order may trade: for a buy the quote asset at its limit, or the worst price that it
    /// may get, and the most fee; for a sell the base.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn need(&self, order: &Order, worst_price: Price, leaves: Qty) -> Result<(AssetId, Money), Overflow> {
        let instrument = self.universe.get(order.instrument);
        match order.side {
            Side::Buy => {
                let price = order.kind.limit().unwrap_or(worst_price);
                let fee = match instrument.fees.asset {
                    FeeAsset::Quote => instrument.worst_fee(price, leaves)?,
                    FeeAsset::Base | FeeAsset::Third(_) => Money::ZERO,
                };
                Ok((instrument.quote, instrument.notional(price, leaves)?.plus(fee)?))
            }
            Side::Sell => Ok((instrument.base, instrument.base_amount(leaves)?)),
        }
    }

    /// Takes in an order that passed the chain, before it is sent: sets aside what it needs and counts it from here on.
    ///
    /// # Errors
    /// [`TableError`].
    pub(crate) fn send(
        &mut self,
        now: Time,
        order: &Order,
        arrival: Option<HalfTicks>,
        worst_price: Price,
        reducing: bool,
    ) -> Result<(), TableError> {
        if reducing && order.side == Side::Sell && order.tif == TimeInForce::Ioc {
            self.borrow_from_stops(order)?;
        }
        self.orders.insert(&self.universe, *order, now, arrival, worst_price, reducing)?;
        Ok(self.set_aside(order.id, order)?)
    }

    /// The open leg of a strategy's one-cancels-the-other pair.
    pub fn sibling(&self, strategy: StrategyTag, at: InstrumentId, side: Side, oco: Option<u32>) -> Option<&Tracked> {
        let pair = oco?;
        let same = |order: &Order| order.oco == Some(pair) && (order.id.strategy, order.instrument, order.side) == (strategy, at, side);
        self.orders.open().find(|open| same(&open.order))
    }

    /// Brings what is set aside for an order to what it needs. Two legs of a pair need only the larger of the two, since only one of
    /// them can trade.
    fn set_aside(&mut self, id: ClientId, order: &Order) -> Result<(), Overflow> {
        let Some(tracked) = self.orders.get(id) else { return Ok(()) };
        let (asset, need) = self.need(order, tracked.worst_price, tracked.leaves())?;
        let held = tracked.reserved;
        let pair = order.oco.and_then(|pair| self.orders.other_leg(order, pair));
        let (others_need, others_held) = match pair.and_then(|other| self.orders.get(other)) {
            Some(other) => (self.need(&other.order, other.worst_price, other.leaves())?.1, other.reserved),
            None => (Money::ZERO, Money::ZERO),
        };
        // Base that was sold from under a stop is gone: what is set aside for it is what is left, never more than there is.
        let held_by_both = held.plus(others_held)?;
        let both = match order.side {
            Side::Buy => need.max(others_need),
            Side::Sell => need.max(others_need).min(held_by_both.plus(self.free(asset))?).max(Money::ZERO),
        };
        self.ledger.reserve(asset, both.minus(held_by_both)?)?;
        let own = need.min(both);
        self.orders.set_reserved(id, own);
        if let Some(other) = pair {
            self.orders.set_reserved(other, both.minus(own)?);
        }
        Ok(())
    }

    /// Lends an order that is there for a moment what waiting stops have set aside, as far as it is not free.
    fn borrow_from_stops(&mut self, order: &Order) -> Result<(), Overflow> {
        let (asset, need) = self.need(order, Price(0), order.qty)?;
        let mut missing = need.minus(self.free(asset))?;
        while missing > Money::ZERO {
            let lender = |open: &&Tracked| {
                open.waits_as_stop()
                    && open.reserved > Money::ZERO
                    && (open.order.instrument, open.order.side) == (order.instrument, order.side)
            };
            let Some((id, reserved)) = self.orders.open().find(lender).map(|open| (open.order.id, open.reserved)) else { return Ok(()) };
            let lent = reserved.min(missing);
            self.ledger.reserve(asset, lent.negated()?)?;
            self.orders.set_reserved(id, reserved.minus(lent)?);
            missing = missing.minus(lent)?;
        }
        Ok(())
    }

    /// Gives waiting stops back what an order that has ended left.
    fn return_to_stops(&mut self, order: &Order) -> Result<(), Overflow> {
        let asset = self.universe.get(order.instrument).base;
        loop {
            let free = self.free(asset);
            let short = |open: &Tracked| {
                let need = self.need(&open.order, open.worst_price, open.leaves()).ok()?.1;
                let waits = open.waits_as_stop() && open.order.instrument == order.instrument && open.order.side == Side::Sell;
                (waits && open.reserved < need).then_some((open.order.id, open.reserved, need))
            };
            let borrower = self.orders.open().find_map(short);
            let Some((id, reserved, need)) = borrower.filter(|_| free > Money::ZERO) else { return Ok(()) };
            let back = need.minus(reserved)?.min(free);
            self.ledger.reserve(asset, back)?;
            self.orders.set_reserved(id, reserved.plus(back)?);
        }
    }

    /// The most of an open order that the account can pay for at a price, fees and all: what is set aside for it and what is free.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn affordable(&self, order: &Order, price: Price) -> Result<Qty, Overflow> {
        let Some(tracked) = self.orders.get(order.id) else { return Ok(Qty::ZERO) };
        let other = order.oco.and_then(|pair| self.orders.other_leg(order, pair)).and_then(|other| self.orders.get(other));
        let aside = tracked.reserved.plus(other.map_or(Money::ZERO, |other| other.reserved))?;
        let (asset, _) = self.need(order, price, Qty::ZERO)?;
        let available = self.free(asset).plus(aside)?;
        self.lots_within(&Order { kind: OrderKind::Market, ..*order }, price, available, tracked.leaves())
    }

    /// The most lots of an order, and no more than `most`, whose need is within an amount. A fee that is rounded is rounded once for all
    /// of them.
    ///
    /// # Errors
    /// [`Overflow`].
    pub(crate) fn lots_within(&self, order: &Order, worst_price: Price, available: Money, most: Qty) -> Result<Qty, Overflow> {
        let instrument = self.universe.get(order.instrument);
        let each = match order.side {
            Side::Buy => {
                let price = order.kind.limit().unwrap_or(worst_price);
                let fee = match instrument.fees.asset {
                    FeeAsset::Quote => instrument.worst_fee_unrounded(price, Qty(1))?,
                    FeeAsset::Base | FeeAsset::Third(_) => Money::ZERO,
                };
                instrument.notional(price, Qty(1))?.plus(fee)?
            }
            Side::Sell => instrument.base_amount(Qty(1))?,
        };
        if each.0 <= 0 {
            return Ok(most);
        }
        if available.0 <= 0 {
            return Ok(Qty::ZERO);
        }
        let fits = |lots: i64| self.need(order, worst_price, Qty(lots)).map(|(_, need)| need <= available);
        let mut too_many = i64::try_from(available.0 / each.0).unwrap_or(i64::MAX).min(most.0);
        if too_many <= 0 || fits(too_many)? {
            return Ok(Qty(too_many.max(0)));
        }
        // What rounding adds may be worth many lots: they are halved away, since the need only grows with them.
        let mut enough = 0;
        while too_many - enough > 1 {
            let between = enough + (too_many - enough) / 2;
            if fits(between)? { enough = between } else { too_many = between }
        }
        Ok(Qty(enough))
    }

    /// Takes in a word of the venue. What it frees is free, what it filled is booked and valued when this returns; a word that is known
    /// changes nothing.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn order_event(&mut self, now: Time, id: ClientId, event: &OrderEvent) -> Result<Settled, TableError> {
        let applied = self.orders.apply(&self.universe, id, event)?;
        let tracked = self.orders.get(id).ok_or(TableError::Unknown(id))?;
        let (order, overfilled) = (tracked.order, tracked.overfilled());
        if !applied.changed {
            return Ok(Settled { applied, booked: None, overfilled });
        }
        let booked = match event {
            OrderEvent::Fill(fill) if applied.new_fill => {
                let booked = self.ledger.fill(&self.universe, order.instrument, order.side, fill.price, fill.qty, fill.fee)?;
                self.markets[usize::from(order.instrument.0)].minute.see_fill(now, order.side, fill.price, fill.qty)?;
                self.evaluate()?;
                Some(booked)
            }
            OrderEvent::Fill(_)
            | OrderEvent::Accepted
            | OrderEvent::Rejected(_)
            | OrderEvent::Triggered
            | OrderEvent::Reduced { .. }
            | OrderEvent::Cancelled
            | OrderEvent::Expired
            | OrderEvent::CancelRejected => None,
        };
        // After the fill: what it spent is no more there to be set aside.
        self.set_aside(id, &order)?;
        if applied.ended && order.side == Side::Sell && order.tif == TimeInForce::Ioc {
            self.return_to_stops(&order)?;
        }
        Ok(Settled { applied, booked, overfilled })
    }

    /// An order by its name.
    pub fn order(&self, id: ClientId) -> Option<&Tracked> {
        self.orders.get(id)
    }
}
