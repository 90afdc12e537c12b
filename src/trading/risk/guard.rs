//! The guard of one strategy: it alone turns intents into orders, and it stops when it must.

use super::ask::{Ask, worst_price};
use super::checks;
use super::history::History;
use super::latch::{LatchKey, LatchStore, Latches, State};
use super::limits::Limits;
use super::thresholds::{MayLose, Thresholds};
use super::{Checked, Code, Denial, Figure, Inputs, flatten, size};
use crate::account::{Account, Sending, Settled};
use crate::instrument::InstrumentId;
use crate::intent::{Size, Submit};
use crate::number::{HalfTicks, Money, Overflow, Price, Qty};
use crate::order::{ClientId, Fill, Order, Side, StrategyTag, TableError, TimeInForce, Tracked};
use crate::time::Time;

/// What an order became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// What was asked for, in lots.
    pub asked: Qty,
    /// What passed, over all slices; less than asked only for a size that the chain computed.
    pub passed: Qty,
    /// In how many orders.
    pub orders: u32,
    /// Whether it makes the position smaller.
    pub reducing: bool,
}

/// Something that stops trading in this very event: what opens is cancelled before anything else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trip {
    /// Nothing happened.
    None,
    /// Only what makes the position smaller goes on.
    Reduce(Denial),
    /// A person has to look.
    Halt(Denial),
}

/// Who a guard is for, and from when.
#[derive(Clone, Debug)]
pub struct GuardStart {
    /// Whose latches.
    pub key: LatchKey,
    /// Epoch of the writer: names of orders hold it.
    pub epoch: u32,
    /// Time of the start.
    pub now: Time,
}

/// The guard of one strategy on one account.
///
/// Guarantees: an order leaves it only checked, counted in the account and with its need set aside; latches are durable before that.
#[derive(Debug)]
pub struct Guard<L> {
    key: LatchKey,
    tag: StrategyTag,
    epoch: u32,
    limits: Limits,
    latches: Latches,
    /// Whether the latches changed since they were saved.
    unsaved: bool,
    /// Whether something stopped trading, or stopped it further, since that was last asked.
    stopped: bool,
    store: L,
    history: History,
    may_lose: MayLose,
    thresholds: Thresholds,
    /// What is set from outside.
    pub inputs: Inputs,
    next_intent: u64,
}

impl<L: LatchStore> Guard<L> {
    /// A guard as its latches left it. Latches that cannot be read halt it; so does an account without equity.
    pub fn start(start: GuardStart, limits: Limits, account: &Account, inputs: Inputs, store: L) -> Guard<L> {
        let GuardStart { key, epoch, now } = start;
        let equity = account.equity().unwrap_or(Money::ZERO);
        let fresh = |state| Latches {
            state,
            since: now,
            high_water: equity,
            day: now.utc_day(),
            day_start: equity,
            last_equity: equity,
            daily_loss: false,
            drawdown: false,
            slippage: false,
        };
        let (latches, unsaved) = match store.load(&key) {
            Ok(Some(latches)) => (latches, false),
            Ok(None) if equity > Money::ZERO => (fresh(State::Active), true),
            // Nothing is written over what could not be read: a person needs to see it.
            Ok(None) | Err(_) => (fresh(State::Halted(Code::MissingInput)), false),
        };
        let (history, tag) = (History::new(&limits), StrategyTag::of(&key.strategy));
        let (stopped, thresholds) = (latches.state != State::Active, Thresholds::default());
        let may_lose = MayLose::at(&limits, &latches);
        Guard { tag, epoch, latches, unsaved, stopped, store, history, may_lose, thresholds, inputs, next_intent: 1, limits, key }
    }

    /// What the strategy may do.
    pub fn state(&self) -> State {
        self.latches.state
    }

    /// What outlives the guard.
    pub fn latches(&self) -> &Latches {
        &self.latches
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether an order is its strategy's.
    pub fn owns(&self, id: ClientId) -> bool {
        id.strategy == self.tag
    }

    /// Where its latches are kept.
    pub fn store(&self) -> &L {
        &self.store
    }

    /// Turns an intent into orders, or says which control denies it. Orders that passed are in `out`, counted in the account and paid
    /// for; a reducing order larger than row 1 passes in slices, of which some may have passed when a later one is denied.
    ///
    /// # Errors
    /// [`Denial`] of the first control in the chain's order.
    pub fn admit(&mut self, account: &mut Account, now: Time, submit: &Submit, out: &mut Vec<Checked<Order>>) -> Result<Admission, Denial> {
        self.roll_day(now);
        let mut admission = Admission { asked: Qty::ZERO, passed: Qty::ZERO, orders: 0, reducing: false };
        match self.pass(account, now, submit, None, &mut admission, out) {
            Ok(()) => Ok(admission),
            Err(denial) => {
                if matches!(denial.code, Code::RepeatHalt | Code::LedgerOverflow) {
                    self.enter(now, State::Halted(denial.code));
                }
                Err(denial)
            }
        }
    }

    /// Turns the sale of a position at the end of the data into orders, in slices by row 1. It trades at the last close, so that is its
    /// reference however old it is; rows 4, 18 and 19 are about a venue that is there no more.
    ///
    /// # Errors
    /// [`Denial`] of the first control in the chain's order.
    pub(crate) fn admit_at_end(
        &mut self,
        account: &mut Account,
        now: Time,
        submit: &Submit,
        close: Price,
        out: &mut Vec<Checked<Order>>,
    ) -> Result<Admission, Denial> {
        self.roll_day(now);
        let mut admission = Admission { asked: Qty::ZERO, passed: Qty::ZERO, orders: 0, reducing: false };
        self.pass(account, now, submit, Some(close), &mut admission, out).map(|()| admission)
    }

    fn pass(
        &mut self,
        account: &mut Account,
        now: Time,
        submit: &Submit,
        end: Option<Price>,
        admission: &mut Admission,
        out: &mut Vec<Checked<Order>>,
    ) -> Result<(), Denial> {
        let position = account.lots(submit.instrument);
        if !self.thresholds.hold(account) {
            self.may_lose.follow(&self.limits, &self.latches);
            self.thresholds = Thresholds::at(&self.limits, &self.may_lose, account)?;
        }
        let (asked, whole) = match submit.size {
            Size::Lots(qty) => (qty, qty),
            size @ (Size::Fraction(_) | Size::RiskAtStop(_) | Size::VolatilityTarget { .. } | Size::Kelly { .. }) => {
                let (asked, whole) = size::quantity(&self.ask(account, now, submit, &self.order(submit), position, false), size)?;
                if whole == Qty::ZERO {
                    return Err(size::nothing_left(asked));
                }
                (asked, whole)
            }
        };
        let reducing = reduces(account, self.tag, submit, position, whole)?;
        let slice =
            if reducing { self.limits.of(submit.instrument).map_or(whole, |limits| limits.max_order_qty.min(whole)) } else { whole };
        (admission.asked, admission.reducing) = (asked, reducing);
        loop {
            let mut order = self.order(submit);
            order.qty = slice.min(whole.minus(admission.passed)?);
            let mut ask = self.ask(account, now, submit, &order, position, reducing);
            if let Some(close) = end {
                (ask.reference, ask.worst) = (Some(HalfTicks::of(close)?), Some(close));
                ask.need = account.need(&order, close, order.qty).ok();
            }
            checks::judge(&ask, end.is_some())?;
            let worst_price = ask.worst.or(ask.limit).ok_or_else(|| Denial::missing("a fresh reference price"))?;
            let (asset, amount) = ask.need.ok_or(Overflow)?;
            self.save()?;
            let sending = Sending { now, worst_price, reducing, asset, amount };
            account.send(&order, &sending).map_err(unsendable)?;
            self.next_intent += 1;
            self.history.admitted(now, &order, submit.tag, reducing, &self.limits);
            out.push(Checked::by_chain(order));
            admission.passed = admission.passed.plus(order.qty)?;
            admission.orders += 1;
            if admission.passed >= whole {
                return Ok(());
            }
        }
    }

    /// The order of an intent, named by the next number, without its quantity.
    fn order(&self, submit: &Submit) -> Order {
        Order {
            id: ClientId { strategy: self.tag, epoch: self.epoch, intent: self.next_intent },
            instrument: submit.instrument,
            side: submit.side,
            qty: Qty::ZERO,
            kind: submit.kind,
            tif: submit.tif,
            reduce_only: submit.reduce_only,
            oco: submit.oco,
        }
    }

    fn ask<'a>(&'a self, account: &'a Account, now: Time, submit: &Submit, order: &'a Order, position: Qty, reducing: bool) -> Ask<'a> {
        let market = account.market(order.instrument);
        let reference = market.reference(now, order.side);
        let limit = order.kind.limit();
        let worst = worst_price(market, now, order.kind, reference, self.limits.collar_bps);
        Ask {
            now,
            order,
            tag: submit.tag,
            stop: submit.stop,
            limits: &self.limits,
            of: self.limits.of(order.instrument),
            account,
            instrument: account.universe().get(order.instrument),
            market,
            history: &self.history,
            latches: &self.latches,
            inputs: &self.inputs,
            thresholds: &self.thresholds,
            limit,
            reference,
            worst,
            need: worst.or(limit).and_then(|worst| account.need(order, worst, order.qty).ok()),
            position,
            reducing,
            sized: !matches!(submit.size, Size::Lots(_)),
        }
    }

    /// Makes the latches durable. What cannot be saved halts: a restart would not know.
    fn save(&mut self) -> Result<(), Denial> {
        if !self.unsaved {
            return Ok(());
        }
        match self.store.save(&self.key, &self.latches) {
            Ok(()) => {
                self.unsaved = false;
                Ok(())
            }
            Err(_) => {
                self.stopped |= self.latches.state == State::Active;
                self.latches.state = State::Halted(Code::MissingInput);
                Err(Denial::new(Code::MissingInput, Figure::Words("durable latches"), Figure::Words("latches that could not be saved")))
            }
        }
    }

    /// A state is only ever left downwards by the guard itself; upwards by a person, or by midnight where that is configured.
    fn enter(&mut self, now: Time, state: State) {
        let worse = match (self.latches.state, state) {
            (State::Halted(_), _) | (State::Reducing(_), State::Reducing(_)) | (_, State::Active) => false,
            (State::Active | State::Reducing(_), State::Halted(_)) | (State::Active, State::Reducing(_)) => true,
        };
        if worse {
            self.latches.state = state;
            self.latches.since = now;
            self.unsaved = true;
            self.stopped = true;
        }
        if self.unsaved && self.latches.state != State::Active {
            // Durable at once where it can be; an order cannot leave before it is.
            let _ = self.save();
        }
    }

    /// Takes in that a mark was accepted or a fill booked: evaluates rows 11 and 12 on the account's equity. The caller cancels what
    /// opens before anything else when it trips.
    pub fn on_equity(&mut self, now: Time, account: &Account) -> Trip {
        self.roll_day(now);
        let Some(equity) = account.equity() else { return Trip::None };
        self.unsaved |= equity != self.latches.last_equity || equity > self.latches.high_water;
        self.latches.last_equity = equity;
        if equity > self.latches.high_water {
            self.latches.high_water = equity;
            self.thresholds.forget();
        }
        self.may_lose.follow(&self.limits, &self.latches);
        let (drawdown, daily_loss) = (self.may_lose.drawdown(equity), self.may_lose.daily_loss(equity));
        // What is new is the breach, not the state: another stop may stand there already.
        let halts = drawdown.filter(|_| !std::mem::replace(&mut self.latches.drawdown, true));
        let reduces = daily_loss.filter(|_| !std::mem::replace(&mut self.latches.daily_loss, true));
        self.unsaved |= halts.is_some() || reduces.is_some();
        if let Some(denial) = reduces {
            self.enter(now, State::Reducing(denial.code));
        }
        if let Some(denial) = halts {
            self.enter(now, State::Halted(denial.code));
        }
        match (halts, reduces) {
            (Some(denial), _) => Trip::Halt(denial),
            (None, Some(denial)) => Trip::Reduce(denial),
            (None, None) => Trip::None,
        }
    }

    /// Whether something stopped trading, or stopped it further, since this was last asked: whoever asks cancels what opens. A guard that
    /// starts stopped says so once.
    pub fn take_stopped(&mut self) -> bool {
        std::mem::take(&mut self.stopped)
    }

    /// Starts a new UTC day, if one has begun: day start is the last accepted equity before it.
    fn roll_day(&mut self, now: Time) {
        if now.utc_day() <= self.latches.day {
            return;
        }
        self.latches.day = now.utc_day();
        self.latches.day_start = self.latches.last_equity;
        self.thresholds.forget();
        self.unsaved = true;
        self.latches.daily_loss = false;
        self.history.day = super::history::Day::default();
        if self.limits.auto_rearm && self.latches.state == State::Reducing(Code::DailyLoss) {
            // What a person has to let go stays beneath what midnight lets go.
            self.latches.state = if self.latches.slippage { State::Reducing(Code::Slippage) } else { State::Active };
            self.latches.since = now;
        }
    }

    /// Takes in money brought in from outside, or taken out when negative: day start and high-water mark move alike.
    ///
    /// # Errors
    /// [`Denial`] with `LEDGER_OVERFLOW`; the guard has halted then, and has moved none of the two.
    pub fn on_transfer(&mut self, now: Time, amount: Money) -> Result<(), Denial> {
        let moved = self.latches.moved_by(amount).map_err(Denial::from);
        if let Err(denial) = &moved {
            self.enter(now, State::Halted(denial.code));
        }
        self.latches = moved?;
        self.thresholds.forget();
        self.unsaved = true;
        Ok(())
    }

    /// Takes in a fill of its own that the account booked for the first time.
    ///
    /// # Errors
    /// [`Denial`] with `LEDGER_OVERFLOW`; the guard has halted then.
    pub fn on_fill(&mut self, now: Time, account: &Account, tracked: &Tracked, fill: &Fill, settled: &Settled) -> Result<(), Denial> {
        let counted = self.count_fill(now, account, tracked, fill, settled);
        if let Err(denial) = &counted {
            self.enter(now, State::Halted(denial.code));
        }
        if settled.overfilled {
            self.inputs.reconciled = Some(false);
        }
        if let (Some(limit), Some((sum, count))) = (self.limits.slippage, self.history.slippage())
            && sum > count * i128::from(limit.bps) * 100
        {
            self.unsaved |= !std::mem::replace(&mut self.latches.slippage, true);
            self.enter(now, State::Reducing(Code::Slippage));
        }
        counted
    }

    fn count_fill(&mut self, now: Time, account: &Account, tracked: &Tracked, fill: &Fill, settled: &Settled) -> Result<(), Denial> {
        self.roll_day(now);
        let notional = account.universe().get(tracked.order.instrument).notional(fill.price, fill.qty)?;
        self.history.day.turnover = self.history.day.turnover.plus(notional)?;
        self.history.day.fees = self.history.day.fees.plus(fill.fee.in_quote)?;
        self.history.filled(tracked.order.side, fill.price, tracked.arrival)?;
        if let Some(trip) = settled.booked.and_then(|booked| booked.closed) {
            self.history.closed(now, trip.profit, &self.limits);
        }
        Ok(())
    }

    /// Takes in that the venue refused an order, or gave no clear answer: too many of them halt.
    pub fn on_venue_error(&mut self, now: Time) {
        let Some(window) = &mut self.history.errors else { return };
        window.push(now);
        if window.is_full(now) {
            self.enter(now, State::Halted(Code::ErrorRate));
        }
    }

    /// Counts a cancel. Cancels always pass: they only ever make risk smaller.
    pub fn on_cancel(&mut self, now: Time) {
        self.roll_day(now);
        self.history.cancels.push(now);
        self.history.day.cancels += 1;
    }

    /// Row 15: stops. Doing it again changes nothing.
    pub fn kill(&mut self, now: Time) {
        self.enter(now, State::Halted(Code::Killed));
    }

    /// Row 16: the line to the venue is lost. What is true there has to be found out before the next order.
    pub fn on_link_lost(&mut self) {
        self.inputs.reconciled = None;
        self.inputs.clock_skew_ms = None;
    }

    /// Row 34: the strategy gave no answer in time.
    pub fn on_strategy_silent(&mut self, now: Time) {
        self.enter(now, State::Halted(Code::StrategySilent));
    }

    /// Lets a stopped strategy go on, by a person of this name. The high-water mark stays: while equity is at the limit below it, the
    /// next mark stops it again.
    ///
    /// # Errors
    /// [`Denial`] without a name, or when that could not be made durable: then it stays stopped.
    pub fn let_go_on(&mut self, now: Time, person: &str) -> Result<(), Denial> {
        if person.trim().is_empty() {
            return Err(Denial::missing("the name of a person"));
        }
        let before = self.latches;
        self.latches = Latches { state: State::Active, since: now, daily_loss: false, drawdown: false, slippage: false, ..before };
        self.unsaved = true;
        self.save().inspect_err(|_| self.latches = before)
    }
}

/// Whether an order makes the position smaller whatever else is filled: the other side, and together with what is open there no more
/// than is held.
fn reduces(account: &Account, strategy: StrategyTag, submit: &Submit, position: Qty, qty: Qty) -> Result<bool, Denial> {
    let against = match submit.side {
        Side::Buy => Qty::ZERO.minus(position)?,
        Side::Sell => position,
    };
    if against <= Qty::ZERO || qty <= Qty::ZERO {
        return Ok(false);
    }
    // The other leg of a one-cancels-the-other pair cannot fill beside this one. Nor do stops that wait stand in the way of what is there
    // for a moment: they go on protecting what it leaves.
    let beside = |open: &Tracked| {
        let pair = submit.oco.is_some() && (open.order.oco, open.order.id.strategy) == (submit.oco, strategy);
        pair || (submit.tif == TimeInForce::Ioc && open.waits_as_stop())
    };
    let side = |open: &&Tracked| (open.order.instrument, open.order.side) == (submit.instrument, submit.side);
    let in_the_way =
        account.orders().open().filter(side).filter(|open| !beside(open)).try_fold(qty, |sum, open| sum.plus(open.leaves()))?;
    let pair = account.sibling(strategy, submit.instrument, submit.side, submit.oco).map_or(Qty::ZERO, Tracked::leaves);
    Ok(in_the_way.minus(qty)?.plus(qty.max(pair))? <= against)
}

fn unsendable(error: TableError) -> Denial {
    match error {
        TableError::Overflow(overflow) => overflow.into(),
        TableError::Known(_) | TableError::Unknown(_) => {
            Denial::new(Code::Duplicate, Figure::Words("a name that was never used"), Figure::Words("one that was"))
        }
    }
}

impl<L: LatchStore> Guard<L> {
    /// The next slice of a position that is to be closed, where trading is stopped and that was configured.
    pub fn next_exit(&self, account: &Account, now: Time, at: InstrumentId) -> Option<Submit> {
        match self.latches.state {
            State::Active => None,
            State::Reducing(_) | State::Halted(_) if !self.limits.flatten => None,
            State::Reducing(_) | State::Halted(_) => flatten::next_slice(account, &self.limits, now, at, self.next_intent),
        }
    }

    /// The open orders of its strategy that would open a position further: what a trip cancels. Stops that protect stay.
    pub fn opening_orders<'a>(&'a self, account: &'a Account) -> impl Iterator<Item = ClientId> + 'a {
        account.orders().open().filter(|open| self.owns(open.order.id) && !open.reducing).map(|open| open.order.id)
    }

    /// The open orders of its strategy on an instrument.
    pub fn orders_on<'a>(&'a self, account: &'a Account, at: InstrumentId) -> impl Iterator<Item = ClientId> + 'a {
        account.orders().open().filter(move |open| self.owns(open.order.id) && open.order.instrument == at).map(|open| open.order.id)
    }
}
