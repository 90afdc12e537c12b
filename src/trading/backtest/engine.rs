//! The loop: match, account, strategy, in this order, for each event in its place.

use std::collections::{BTreeSet, VecDeque};

use super::desk::BacktestDesk;
use super::hash::ResultHash;
use super::record::{Denied, OrderRecord, Record, Stop};
use super::series::Series;
use super::tally::Tally;
use crate::account::{Account, MarkOutcome};
use crate::event::{Class, Key, MarketEvent, MarketStatus, Stamped};
use crate::instrument::InstrumentId;
use crate::intent::{Intent, Submit};
use crate::number::{Money, Overflow, Price, Qty};
use crate::order::{ClientId, Order, OrderEvent, Side, StrategyTag};
use crate::risk::{Checked, Code, Denial, Guard, LatchStore, State, Trip};
use crate::strategy::{Seen, Strategy, View};
use crate::time::Time;
use crate::venue::{BarFill, BarVenue, BarVenueRules, Funds, Latency, TickVenue, Triggers, VenueError};

/// What becomes of positions at the end of the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Liquidate {
    /// Sold at the last close: a fill with its fee.
    #[default]
    LastClose,
    /// Valued at the last mark.
    Mark,
}

/// How a backtest is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How bars are taken.
    pub bars: BarVenueRules,
    /// What sets off a stop where the data is ticks.
    pub triggers: Triggers,
    /// How long it takes to the venue and back.
    pub latency: Latency,
    /// What becomes of positions at the end.
    pub liquidate: Liquidate,
}

/// Something that ends a run before its data does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// An event that does not come after the one before it.
    #[error("event {found:?} does not come after {before:?}; input is taken in order, never sorted")]
    OutOfOrder {
        /// Its place.
        found: Key,
        /// The place of the event before it.
        before: Key,
    },
    /// An amount does not fit, or the venue and the account disagree.
    #[error(transparent)]
    Venue(#[from] VenueError),
    /// An amount does not fit.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Equity at the end.
    pub equity: Option<Money>,
    /// The reporting currency at the end.
    pub cash: Money,
    /// Counts and sums.
    pub tally: Tally,
    /// Hash over orders and fills.
    pub hash: String,
    /// What the strategy might do at the end.
    pub state: State,
    /// Whether orders were filled as if there were no latency.
    pub optimistic: bool,
    /// Whether the limits were those that a result may be promoted under.
    pub promotable: bool,
    /// Positions that were to be sold at the end and could not be: instrument, lots, and why.
    pub left: Vec<(InstrumentId, Qty, String)>,
}

/// One strategy on one account against recorded bars.
pub struct Engine<S, L, R> {
    settings: Settings,
    account: Account,
    funds: Funds,
    guard: Guard<L>,
    strategy: S,
    tag: StrategyTag,
    bars: BarVenue,
    pub(super) ticks: TickVenue,
    /// Which instruments come as ticks: their orders meet ticks.
    by_ticks: Vec<bool>,
    /// The lots at which a position was found too small to be closed.
    dust: Vec<Option<Qty>>,
    record: R,
    hash: ResultHash,
    tally: Tally,
    intents: Vec<Intent>,
    passed: Vec<Checked<Order>>,
    words: VecDeque<(ClientId, OrderEvent)>,
    pub(super) returning: VecDeque<(Time, ClientId, OrderEvent)>,
    /// When the last wish reaches the venue: none overtakes another.
    last_arrival: Time,
    pub(super) timers: BTreeSet<Time>,
    last_key: Option<Key>,
    last_close: Vec<Option<(Time, Price)>>,
    series: Series,
}

impl<S: Strategy, L: LatchStore, R: Record> Engine<S, L, R> {
    /// Puts a run together. Recorded instruments trade until their data says otherwise.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn new(
        settings: Settings,
        mut account: Account,
        guard: Guard<L>,
        tag: StrategyTag,
        strategy: S,
        record: R,
    ) -> Result<Self, EngineError> {
        let starting = account.equity();
        let ids: Vec<InstrumentId> = account.universe().instruments().map(|(at, _)| at).collect();
        for at in &ids {
            account.market_event(Time(i64::MIN), *at, &MarketEvent::Status(MarketStatus::Trading))?;
        }
        let funds = Funds::of(&account)?;
        Ok(Engine {
            bars: BarVenue::new(settings.bars),
            ticks: TickVenue::new(ids.len(), settings.triggers),
            by_ticks: vec![false; ids.len()],
            dust: vec![None; ids.len()],
            settings,
            funds,
            account,
            guard,
            strategy,
            tag,
            record,
            hash: ResultHash::default(),
            tally: Tally::default(),
            intents: Vec::new(),
            passed: Vec::new(),
            words: VecDeque::new(),
            returning: VecDeque::new(),
            last_arrival: Time(i64::MIN),
            timers: BTreeSet::new(),
            last_key: None,
            last_close: vec![None; ids.len()],
            series: Series::new(starting),
        })
    }

    /// The account as it stands.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The guard as it stands.
    pub fn guard(&self) -> &Guard<L> {
        &self.guard
    }

    /// Hash over the orders and fills so far.
    pub fn hash(&self) -> String {
        self.hash.value()
    }

    /// What was taken down so far.
    pub fn record(&self) -> &R {
        &self.record
    }

    /// Takes the next market event.
    ///
    /// # Errors
    /// [`EngineError`]: out of order, or amounts that do not fit. Nothing can be taken after it.
    pub fn market(&mut self, stamped: &Stamped<'_>) -> Result<(), EngineError> {
        if let Some(before) = self.last_key.filter(|before| *before >= stamped.key) {
            return Err(EngineError::OutOfOrder { found: stamped.key, before });
        }
        self.catch_up(stamped.key)?;
        self.last_key = Some(stamped.key);
        self.tally.events += 1;
        let now = stamped.key.time;
        let mut tripped = self.meet(stamped)?;
        if let MarkOutcome::Accepted(price) = self.see(stamped)? {
            self.record.mark(now, stamped.instrument, price);
            tripped |= self.judge_equity(now);
        }
        self.after_trip(now, tripped);
        self.exit(now, stamped.instrument)?;
        if let Some(equity) = self.account.equity() {
            self.series.point(stamped, equity, &mut self.record);
        }
        self.show(&Seen::Market(stamped), now)?;
        self.show_words(now)?;
        if let MarketEvent::Bar(bar) = &stamped.event {
            let mut tripped = false;
            let (bars, _, mut desk) = self.venues(now, &mut tripped);
            bars.close(stamped.instrument, bar, &mut desk)?;
            self.after_trip(now, tripped);
            self.show_words(now)?;
        }
        Ok(())
    }

    /// The event meets what is at the venue. Says whether a fill stopped trading.
    fn meet(&mut self, stamped: &Stamped<'_>) -> Result<bool, EngineError> {
        let (now, at) = (stamped.key.time, stamped.instrument);
        let mut tripped = false;
        match &stamped.event {
            MarketEvent::Bar(bar) => {
                self.count_bar(at, bar.opens, stamped.exchange_time, bar.close);
                let (bars, _, mut desk) = self.venues(now, &mut tripped);
                desk.marked = false;
                bars.bar(stamped.key, at, bar, &mut desk)?;
            }
            MarketEvent::Trade(trade) => {
                self.last_close[usize::from(at.0)] = Some((now, trade.price));
                self.meet_tick(stamped, &mut tripped)?;
            }
            MarketEvent::Snapshot(_) | MarketEvent::Delta(_) | MarketEvent::Quote(_) => self.meet_tick(stamped, &mut tripped)?,
            MarketEvent::Status(_) | MarketEvent::Disconnect => {
                let (_, ticks, mut desk) = self.venues(now, &mut tripped);
                ticks.market(at, &stamped.event, &mut desk)?;
            }
        }
        Ok(tripped)
    }

    fn meet_tick(&mut self, stamped: &Stamped<'_>, tripped: &mut bool) -> Result<(), EngineError> {
        self.by_ticks[usize::from(stamped.instrument.0)] = true;
        let (_, ticks, mut desk) = self.venues(stamped.key.time, tripped);
        Ok(ticks.market(stamped.instrument, &stamped.event, &mut desk)?)
    }

    /// The account sees the event, and what it made of the book.
    fn see(&mut self, stamped: &Stamped<'_>) -> Result<MarkOutcome, EngineError> {
        let (now, at) = (stamped.key.time, stamped.instrument);
        let outcome = self.account.market_event(now, at, &stamped.event)?;
        match &stamped.event {
            MarketEvent::Snapshot(_) | MarketEvent::Delta(_) | MarketEvent::Disconnect => {}
            MarketEvent::Status(_) | MarketEvent::Quote(_) | MarketEvent::Trade(_) | MarketEvent::Bar(_) => return Ok(outcome),
        }
        if let Some(state) = self.ticks.book_state(at) {
            self.account.book_state(at, state);
        }
        match self.ticks.best_of_book(at) {
            Some(best) => Ok(self.account.market_event(now, at, &MarketEvent::Quote(best))?),
            None => Ok(outcome),
        }
    }

    pub(super) fn venues<'a>(
        &'a mut self,
        now: Time,
        tripped: &'a mut bool,
    ) -> (&'a mut BarVenue, &'a mut TickVenue, BacktestDesk<'a, L, R>) {
        let desk = BacktestDesk {
            now,
            account: &mut self.account,
            funds: &mut self.funds,
            guard: &mut self.guard,
            record: &mut self.record,
            hash: &mut self.hash,
            tally: &mut self.tally,
            words: &mut self.words,
            returning: &mut self.returning,
            back_ns: self.settings.latency.at(now).back_ns,
            marked: true,
            tripped,
        };
        (&mut self.bars, &mut self.ticks, desk)
    }

    fn count_bar(&mut self, at: InstrumentId, opens: Time, closes: Time, close: Price) {
        self.tally.bars += 1;
        let last = &mut self.last_close[usize::from(at.0)];
        self.tally.gaps += u64::from(last.is_some_and(|(closed, _)| opens > closed));
        *last = Some((closes, close));
    }

    fn judge_equity(&mut self, now: Time) -> bool {
        match self.guard.on_equity(now, &self.account) {
            Trip::None => false,
            Trip::Reduce(denial) | Trip::Halt(denial) => {
                self.record.stopped(&Stop { at: now, denial });
                true
            }
        }
    }

    /// Cancels all that opens, in the event that stopped trading, whatever stopped it.
    pub(super) fn after_trip(&mut self, now: Time, tripped: bool) {
        if self.guard.take_stopped() || tripped {
            let ids: Vec<ClientId> = self.guard.opening_orders(&self.account).collect();
            for id in ids {
                self.cancel(now, id);
            }
        }
    }

    /// Goes on closing a position where trading was stopped and that is configured. What is too small to sell is reported once,
    /// until there is more or less of it.
    fn exit(&mut self, now: Time, at: InstrumentId) -> Result<(), EngineError> {
        if self.dust[usize::from(at.0)].is_some_and(|dust| self.account.lots(at) == dust) {
            return Ok(());
        }
        if let Some(submit) = self.guard.next_exit(&self.account, now, at) {
            let held = self.account.lots(at);
            let is_dust = self.submit(now, &submit)?.is_some_and(|denial| denial.code == Code::Dust);
            self.dust[usize::from(at.0)] = is_dust.then_some(held);
        }
        Ok(())
    }

    pub(super) fn show(&mut self, seen: &Seen<'_>, now: Time) -> Result<(), EngineError> {
        let mut intents = std::mem::take(&mut self.intents);
        self.strategy.on_event(seen, &View::new(&self.account, self.tag, now), &mut intents);
        for intent in intents.drain(..) {
            match intent {
                Intent::Submit(submit) => {
                    self.submit(now, &submit)?;
                }
                Intent::Cancel(id) => self.cancel(now, id),
                Intent::CancelAll(at) => {
                    let ids: Vec<ClientId> = self.guard.orders_on(&self.account, at).collect();
                    ids.into_iter().for_each(|id| self.cancel(now, id));
                }
                Intent::Timer(at) => {
                    self.timers.insert(at.max(now.plus_ns(1)));
                }
            }
        }
        self.intents = intents;
        Ok(())
    }

    pub(super) fn show_words(&mut self, now: Time) -> Result<(), EngineError> {
        while let Some((id, event)) = self.words.pop_front() {
            self.show(&Seen::Order(id, &event), now)?;
        }
        Ok(())
    }

    fn arrives(&mut self, now: Time) -> Key {
        let there_ns = self.settings.latency.at(now).there_ns.max(0);
        self.last_arrival = self.last_arrival.max(now.plus_ns(there_ns));
        Key { time: self.last_arrival, class: Class::UsToVenue, source: 0, seq: self.tally.orders + self.tally.cancels }
    }

    fn submit(&mut self, now: Time, submit: &Submit) -> Result<Option<Denial>, Overflow> {
        let mut passed = std::mem::take(&mut self.passed);
        let admitted = self.guard.admit(&mut self.account, now, submit, &mut passed);
        for order in passed.drain(..) {
            self.take_down(now, &order)?;
            let arrives = self.arrives(now);
            if self.by_ticks[usize::from(order.get().instrument.0)] {
                self.ticks.send(arrives, order)
            } else {
                self.bars.send(arrives, order)
            }
        }
        self.passed = passed;
        self.after_trip(now, false);
        let Err(denial) = admitted else { return Ok(None) };
        *self.tally.denied.entry(denial.code).or_default() += 1;
        self.record.denied(&Denied { at: now, instrument: submit.instrument, side: submit.side, denial });
        Ok(Some(denial))
    }

    fn take_down(&mut self, now: Time, order: &Checked<Order>) -> Result<(), Overflow> {
        let record = OrderRecord { at: now, order: *order.get() };
        self.hash.order(&record);
        self.record.order(&record);
        self.tally.orders += 1;
        self.funds.sent(&self.account, order.get())
    }

    fn cancel(&mut self, now: Time, id: ClientId) {
        let Some(tracked) = self.account.order(id).filter(|tracked| !tracked.state.is_final()) else { return };
        let at = tracked.order.instrument;
        if self.guard.owns(id) {
            self.guard.on_cancel(now);
            self.tally.cancels += 1;
            let arrives = self.arrives(now);
            if self.by_ticks[usize::from(at.0)] { self.ticks.cancel(arrives, id) } else { self.bars.cancel(arrives, id) }
        }
    }

    /// Ends the run: what is open is cancelled, positions are sold or valued.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn finish(mut self) -> Result<(Outcome, R), EngineError> {
        let mut left = Vec::new();
        if let Some(last) = self.last_key {
            while !self.returning.is_empty() {
                self.hear_next(last.time)?;
            }
            self.end_orders(last.time)?;
            if self.settings.liquidate == Liquidate::LastClose {
                left = self.sell_all(last.time)?;
            }
            if let Some(equity) = self.account.equity() {
                self.series.end(equity, &mut self.record);
            }
        }
        let outcome = Outcome {
            equity: self.account.equity(),
            cash: self.account.ledger().owned(crate::instrument::Universe::REPORTING)?,
            tally: self.tally,
            hash: self.hash.value(),
            state: self.guard.state(),
            optimistic: self.settings.bars.fill == BarFill::SameClose,
            promotable: self.guard.limits().promotable() && self.settings.bars.fill != BarFill::SameClose,
            left,
        };
        Ok((outcome, self.record))
    }

    fn end_orders(&mut self, now: Time) -> Result<(), EngineError> {
        let open: Vec<ClientId> = self.account.orders().open().map(|open| open.order.id).collect();
        for id in open {
            self.account.order_event(now, id, &OrderEvent::Cancelled).map_err(VenueError::from)?;
        }
        Ok(())
    }

    fn sell_all(&mut self, now: Time) -> Result<Vec<(InstrumentId, Qty, String)>, EngineError> {
        let mut left = Vec::new();
        let ids: Vec<InstrumentId> = self.account.universe().instruments().map(|(at, _)| at).collect();
        for at in ids {
            let held = self.account.lots(at);
            let (true, Some((_, close))) = (held > Qty::ZERO, self.last_close[usize::from(at.0)]) else { continue };
            let mut passed = Vec::new();
            let submit = Submit::market(at, Side::Sell, held, u64::MAX);
            let admitted = self.guard.admit_at_end(&mut self.account, now, &submit, close, &mut passed);
            for order in passed {
                self.take_down(now, &order)?;
                let mut tripped = false;
                let (bars, _, mut desk) = self.venues(now, &mut tripped);
                desk.back_ns = 0;
                bars.liquidate(order, close, &mut desk)?;
            }
            if let Err(denial) = admitted {
                left.push((at, self.account.lots(at), denial.to_string()));
            }
        }
        Ok(left)
    }
}
