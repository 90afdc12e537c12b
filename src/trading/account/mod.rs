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
use crate::number::{Money, Overflow, Price, Qty};
use crate::order::{
    Applied, ClientId, Order, OrderEvent, OrderKind, OrderTable, Side, Slot, StrategyTag, TableError, TimeInForce, Tracked,
};
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

/// How an order is sent.
pub(crate) struct Sending {
    /// When.
    pub(crate) now: Time,
    /// The price at which its leaves count as exposure.
    pub(crate) worst_price: Price,
    /// Whether it makes the position smaller.
    pub(crate) reducing: bool,
    /// What has to be set aside for it: of this asset,
    pub(crate) asset: AssetId,
    /// so much.
    pub(crate) amount: Money,
}

/// An account.
#[derive(Debug)]
pub struct Account {
    universe: Arc<Universe>,
    rules: MarketRules,
    ledger: Ledger,
    orders: OrderTable,
    markets: Vec<Market>,
    /// What each instrument's holding is worth at its last mark: an event changes one of them, and equity and exposure only add them up.
    worths: Vec<Worth>,
    /// How many are held and have no mark.
    unmarked: u32,
    /// The sum over instruments of how far from flat each can get.
    gross: Money,
    equity: Option<Money>,
    /// How often equity has changed.
    equity_changes: u64,
}

/// What is held of an instrument, in the reporting currency at its last mark; none while there is something and no mark.
#[derive(Clone, Copy, Debug)]
struct Worth {
    /// All that is owned of its base asset.
    owned: Option<Money>,
    /// Its position.
    position: Option<Money>,
    /// How far from flat it can get, with its open orders.
    furthest: Money,
}

/// The value furthest from flat that any subset of these buys and sells can lead to.
#[inline]
fn furthest(held: Money, buys: Money, sells: Money) -> Result<Money, Overflow> {
    Ok(held.plus(buys)?.max(sells.minus(held)?).max(Money::ZERO))
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
        let nothing = Worth { owned: Some(Money::ZERO), position: Some(Money::ZERO), furthest: Money::ZERO };
        let worths = vec![nothing; universe.len()];
        Ok(Account {
            rules,
            ledger,
            orders,
            markets,
            worths,
            unmarked: 0,
            gross: Money::ZERO,
            equity: Some(cash),
            equity_changes: 0,
            universe,
        })
    }

    /// Its instruments.
    #[inline]
    pub fn universe(&self) -> &Universe {
        &self.universe
    }

    /// The same, for whoever outlives the loan.
    pub(crate) fn share_universe(&self) -> Arc<Universe> {
        Arc::clone(&self.universe)
    }

    /// Its books.
    #[inline]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Its orders.
    #[inline]
    pub fn orders(&self) -> &OrderTable {
        &self.orders
    }

    /// The market of an instrument.
    #[inline]
    pub fn market(&self, at: InstrumentId) -> &Market {
        &self.markets[usize::from(at.0)]
    }

    /// Equity at the last accepted marks; none while something owned has no mark.
    #[inline]
    pub fn equity(&self) -> Option<Money> {
        self.equity
    }

    /// How often equity has changed: while it is the same, so is equity.
    #[inline]
    pub(crate) fn equity_changes(&self) -> u64 {
        self.equity_changes
    }

    /// What is free of an asset.
    #[inline]
    pub fn free(&self, asset: AssetId) -> Money {
        self.ledger.balance(asset, Place::Free)
    }

    /// The whole lots of a position, negative when short.
    #[inline]
    pub fn lots(&self, at: InstrumentId) -> Qty {
        self.ledger.lots(at)
    }

    /// Brings an amount in from outside; a negative one takes it out.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn deposit(&mut self, asset: AssetId, amount: Money) -> Result<(), Overflow> {
        self.ledger.deposit(asset, amount)?;
        self.evaluate(self.universe.pricer(asset))
    }

    /// Values what is held of an instrument anew, and equity with it.
    fn evaluate(&mut self, changed: Option<InstrumentId>) -> Result<(), Overflow> {
        if let Some(at) = changed {
            let owned = self.ledger.owned(self.universe.get(at).base)?;
            let held = self.ledger.position(at).held();
            let owned_worth = self.ledger.worth(&self.universe, at, owned)?;
            let position = if held == owned { owned_worth } else { self.ledger.worth(&self.universe, at, held)? };
            let worth = &mut self.worths[usize::from(at.0)];
            self.unmarked = self.unmarked - u32::from(worth.position.is_none()) + u32::from(position.is_none());
            *worth = Worth { owned: owned_worth, position, ..*worth };
            self.gauge(at)?;
        }
        let cash = self.ledger.owned(Universe::REPORTING)?;
        let add = |sum: Option<Money>, worth: &Worth| sum.zip(worth.owned).map(|(sum, worth)| sum.plus(worth)).transpose();
        let equity = self.worths.iter().try_fold(Some(cash), add)?;
        self.equity_changes += u64::from(equity != self.equity);
        self.equity = equity;
        Ok(())
    }

    /// Reckons anew how far from flat an instrument can get, and the sum with it.
    fn gauge(&mut self, at: InstrumentId) -> Result<(), Overflow> {
        let worth = &mut self.worths[usize::from(at.0)];
        let open = self.orders.exposure(at);
        let furthest = furthest(worth.position.unwrap_or(Money::ZERO), open.buys.notional, open.sells.notional)?;
        self.gross = self.gross.minus(worth.furthest)?.plus(furthest)?;
        worth.furthest = furthest;
        Ok(())
    }

    /// The same without another order; none while something is held that has no mark. One more order adds its notional at most.
    #[inline]
    pub(crate) fn gross(&self) -> Option<Money> {
        if self.unmarked > 0 { None } else { Some(self.gross) }
    }

    /// The sum over instruments of the value furthest from flat that any subset of the open orders can lead to, one more of this notional
    /// among them; none while something is held that has no mark.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub(crate) fn gross_with(&self, at: InstrumentId, side: Side, notional: Money) -> Result<Option<Money>, Overflow> {
        if self.unmarked > 0 {
            return Ok(None);
        }
        let (worth, open) = (&self.worths[usize::from(at.0)], self.orders.exposure(at));
        let (mut buys, mut sells) = (open.buys.notional, open.sells.notional);
        match side {
            Side::Buy => buys = buys.plus(notional)?,
            Side::Sell => sells = sells.plus(notional)?,
        }
        let furthest = furthest(worth.position.unwrap_or(Money::ZERO), buys, sells)?;
        self.gross.minus(worth.furthest)?.plus(furthest).map(Some)
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
                self.evaluate(Some(at))?;
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
    #[inline]
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
    #[inline]
    pub fn need(&self, order: &Order, worst_price: Price, leaves: Qty) -> Result<(AssetId, Money), Overflow> {
        let instrument = self.universe.get(order.instrument);
        match order.side {
            Side::Buy => Ok((instrument.quote, instrument.buy_amount(order.kind.limit().unwrap_or(worst_price), leaves)?)),
            Side::Sell => Ok((instrument.base, instrument.base_amount(leaves)?)),
        }
    }

    /// What has to be set aside for the fee of such an order where that is paid in a third asset, at the asset's mark; none where it is
    /// not, or while the asset has no mark.
    ///
    /// # Errors
    /// [`Overflow`].
    #[inline]
    pub fn fee_need(&self, order: &Order, worst_price: Price, leaves: Qty) -> Result<Option<(AssetId, Money)>, Overflow> {
        let instrument = self.universe.get(order.instrument);
        let FeeAsset::Third(asset) = instrument.fees.asset else { return Ok(None) };
        let Some(mark) = self.ledger.asset_price(&self.universe, asset)?.filter(|mark| mark.0 > 0) else { return Ok(None) };
        let price = order.kind.limit().map_or(worst_price, |limit| limit.max(worst_price));
        Ok(Some((asset, instrument.worst_fee(price, leaves)?.bought_at(mark)?.rounded_up(8)?)))
    }

    /// Takes in an order that passed the chain, before it is sent: sets aside what it needs and counts it from here on.
    ///
    /// # Errors
    /// [`TableError`].
    pub(crate) fn send(&mut self, order: &Order, sending: &Sending) -> Result<(), TableError> {
        let Sending { now, worst_price, reducing, asset, amount } = *sending;
        if reducing && order.side == Side::Sell && order.tif == TimeInForce::Ioc {
            self.borrow_from_stops(order)?;
        }
        let arrival = self.market(order.instrument).mark().map(|mark| mark.price);
        let slot = self.orders.insert(&self.universe, *order, now, arrival, worst_price, reducing)?;
        self.gauge(order.instrument)?;
        if let FeeAsset::Third(_) = self.universe.get(order.instrument).fees.asset {
            self.set_aside_fee(slot, order, worst_price, reducing)?;
        }
        if order.oco.is_some() {
            return Ok(self.set_aside(slot, order)?);
        }
        let amount = match order.side {
            Side::Buy => amount,
            Side::Sell => amount.min(self.free(asset)).max(Money::ZERO),
        };
        self.ledger.reserve(asset, amount)?;
        self.orders.set_reserved(slot, amount);
        Ok(())
    }

    /// Sets the most fee aside where it is paid in a third asset. What gets out is never held up: where too little of the asset is there,
    /// a sale pays out of what it brings.
    fn set_aside_fee(&mut self, slot: Slot, order: &Order, worst_price: Price, reducing: bool) -> Result<(), Overflow> {
        let Some((asset, need)) = self.fee_need(order, worst_price, order.qty)? else { return Ok(()) };
        let amount = if reducing { need.min(self.free(asset)).max(Money::ZERO) } else { need };
        self.ledger.reserve(asset, amount)?;
        self.orders.set_reserved_fee(slot, amount);
        Ok(())
    }

    /// Gives back what is no more needed for the fee of what is left: pro rata, rounded up, and all of it at the end.
    fn keep_fee(&mut self, slot: Slot, order: &Order) -> Result<(), Overflow> {
        let FeeAsset::Third(asset) = self.universe.get(order.instrument).fees.asset else { return Ok(()) };
        let tracked = self.orders.at(slot);
        let (held, leaves, worst) = (tracked.reserved_fee, tracked.leaves(), tracked.worst_price);
        let need = match leaves {
            Qty::ZERO => Money::ZERO,
            leaves => self.fee_need(order, worst, leaves)?.map_or(held, |(_, need)| need.min(held)),
        };
        self.ledger.reserve(asset, need.minus(held)?)?;
        self.orders.set_reserved_fee(slot, need);
        Ok(())
    }

    /// The open leg of a strategy's one-cancels-the-other pair.
    pub fn sibling(&self, strategy: StrategyTag, at: InstrumentId, side: Side, oco: Option<u32>) -> Option<&Tracked> {
        let pair = oco?;
        let same = |order: &Order| order.oco == Some(pair) && (order.id.strategy, order.instrument, order.side) == (strategy, at, side);
        self.orders.open().find(|open| same(&open.order))
    }

    /// Brings what is set aside for an order to what it needs. Two legs of a pair need only the larger of the two, since only one of
    /// them can trade.
    fn set_aside(&mut self, slot: Slot, order: &Order) -> Result<(), Overflow> {
        let tracked = self.orders.at(slot);
        let (asset, need) = self.need(order, tracked.worst_price, tracked.leaves())?;
        let held = tracked.reserved;
        let pair = order.oco.and_then(|pair| self.orders.other_leg(order, pair));
        let (others_need, others_held) = match pair.map(|other| self.orders.at(other)) {
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
        self.orders.set_reserved(slot, own);
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
            let Some(slot) = self.orders.slot(id) else { return Ok(()) };
            self.orders.set_reserved(slot, reserved.minus(lent)?);
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
            let Some(slot) = self.orders.slot(id) else { return Ok(()) };
            self.ledger.reserve(asset, back)?;
            self.orders.set_reserved(slot, reserved.plus(back)?);
        }
    }

    /// The most of an open order that the account can pay for at a price, fees and all: what is set aside for it and what is free.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn affordable(&self, order: &Order, price: Price) -> Result<Qty, Overflow> {
        let Some(tracked) = self.orders.get(order.id) else { return Ok(Qty::ZERO) };
        let other = order.oco.and_then(|pair| self.orders.other_leg(order, pair)).map(|other| self.orders.at(other));
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
        let (slot, applied) = self.orders.take_in(&self.universe, id, event)?;
        let tracked = self.orders.at(slot);
        let (order, overfilled) = (tracked.order, tracked.overfilled());
        if !applied.changed {
            return Ok(Settled { applied, booked: None, overfilled });
        }
        let booked = match event {
            OrderEvent::Fill(fill) if applied.new_fill => {
                let booked = self.ledger.fill(&self.universe, order.instrument, order.side, fill.price, fill.qty, fill.fee)?;
                self.markets[usize::from(order.instrument.0)].minute.see_fill(now, order.side, fill.price, fill.qty)?;
                let paid_in = self.universe.pricer(fill.fee.asset).filter(|paid_in| *paid_in != order.instrument);
                if paid_in.is_some() {
                    self.evaluate(paid_in)?;
                }
                self.evaluate(Some(order.instrument))?;
                Some(booked)
            }
            OrderEvent::Fill(_)
            | OrderEvent::Accepted
            | OrderEvent::Rejected(_)
            | OrderEvent::Triggered
            | OrderEvent::Reduced { .. }
            | OrderEvent::Cancelled
            | OrderEvent::Expired
            | OrderEvent::CancelRejected => {
                self.gauge(order.instrument)?;
                None
            }
        };
        // After the fill: what it spent is no more there to be set aside.
        self.keep_fee(slot, &order)?;
        self.set_aside(slot, &order)?;
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
