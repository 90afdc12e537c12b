//! The books of one account: double entry, exact.
//!
//! Every amount that leaves one account enters another, so the accounts of an asset sum to zero at every moment
//! (`tests/conservation.rs`).

mod position;

pub use position::{Position, RoundTrip};

use crate::instrument::{AssetId, Fee, InstrumentId, Universe};
use crate::number::{HalfTicks, Money, Overflow, Price, Qty};
use crate::order::Side;

/// Where an amount of an asset stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Ours, and free.
    Free,
    /// Ours, set aside for an open order.
    Reserved,
    /// What the other sides of our trades hold.
    Market,
    /// What the venue took for trading.
    Fees,
    /// What came from outside.
    Capital,
}

const ACCOUNTS: usize = 5;

impl Account {
    fn index(self) -> usize {
        match self {
            Account::Free => 0,
            Account::Reserved => 1,
            Account::Market => 2,
            Account::Fees => 3,
            Account::Capital => 4,
        }
    }
}

/// What a fill did to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Profit or loss that the fill realised, before fees.
    pub realised: Money,
    /// The round trip that it closed.
    pub closed: Option<RoundTrip>,
}

/// The ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    balances: Vec<[Money; ACCOUNTS]>,
    positions: Vec<Position>,
    /// The whole lots of each position: asked for by every order, divided only by a fill.
    lots: Vec<Qty>,
    /// The last accepted mark of each instrument.
    marks: Vec<Option<HalfTicks>>,
}

impl Ledger {
    /// Empty books.
    pub fn new(universe: &Universe) -> Ledger {
        Ledger {
            balances: universe.assets().map(|_| [Money::ZERO; ACCOUNTS]).collect(),
            positions: vec![Position::default(); universe.len()],
            lots: vec![Qty::ZERO; universe.len()],
            marks: vec![None; universe.len()],
        }
    }

    /// Moves an amount of an asset between two accounts: the only way a balance changes.
    fn post(&mut self, asset: AssetId, from: Account, to: Account, amount: Money) -> Result<(), Overflow> {
        let accounts = &mut self.balances[usize::from(asset.0)];
        let left = accounts[from.index()].minus(amount)?;
        let entered = accounts[to.index()].plus(amount)?;
        accounts[from.index()] = left;
        accounts[to.index()] = entered;
        Ok(())
    }

    /// Brings an amount in from outside; a negative one takes it out.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn deposit(&mut self, asset: AssetId, amount: Money) -> Result<(), Overflow> {
        self.post(asset, Account::Capital, Account::Free, amount)
    }

    /// Sets an amount aside for an order; a negative one gives it back.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn reserve(&mut self, asset: AssetId, amount: Money) -> Result<(), Overflow> {
        self.post(asset, Account::Free, Account::Reserved, amount)
    }

    /// Books a fill: both legs, its fee, the position.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn fill(
        &mut self,
        universe: &Universe,
        at: InstrumentId,
        side: Side,
        price: Price,
        qty: Qty,
        fee: Fee,
    ) -> Result<Booked, Overflow> {
        let instrument = universe.get(at);
        let (base, notional) = (instrument.base_amount(qty)?, instrument.notional(price, qty)?);
        match side {
            Side::Buy => {
                self.post(instrument.base, Account::Market, Account::Free, base)?;
                self.post(instrument.quote, Account::Free, Account::Market, notional)?;
            }
            Side::Sell => {
                self.post(instrument.base, Account::Free, Account::Market, base)?;
                self.post(instrument.quote, Account::Market, Account::Free, notional)?;
            }
        }
        self.post(fee.asset, Account::Free, Account::Fees, fee.amount)?;
        let position = &mut self.positions[usize::from(at.0)];
        let reduced = position.is_reduced_by(side);
        let realised = position.trade(side, base, notional)?;
        if fee.asset == instrument.base {
            position.pay_in_base(fee.amount)?;
        }
        let lots = instrument.whole_lots(position.held())?;
        let closed = position.settle(fee.in_quote, fee.asset == instrument.base, reduced && lots == Qty::ZERO)?;
        self.lots[usize::from(at.0)] = lots;
        Ok(Booked { realised, closed })
    }

    /// An account of an asset.
    #[inline]
    pub fn balance(&self, asset: AssetId, account: Account) -> Money {
        self.balances[usize::from(asset.0)][account.index()]
    }

    /// What we own of an asset, free and set aside.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn owned(&self, asset: AssetId) -> Result<Money, Overflow> {
        self.balance(asset, Account::Free).plus(self.balance(asset, Account::Reserved))
    }

    /// The position in an instrument.
    #[inline]
    pub fn position(&self, at: InstrumentId) -> &Position {
        &self.positions[usize::from(at.0)]
    }

    /// The whole lots of a position, negative when short.
    #[inline]
    pub fn lots(&self, at: InstrumentId) -> Qty {
        self.lots[usize::from(at.0)]
    }

    /// Takes a mark that was accepted.
    pub fn mark(&mut self, at: InstrumentId, mark: HalfTicks) {
        self.marks[usize::from(at.0)] = Some(mark);
    }

    /// The last accepted mark.
    pub fn last_mark(&self, at: InstrumentId) -> Option<HalfTicks> {
        self.marks[usize::from(at.0)]
    }

    /// The price of one unit of an asset in the reporting currency.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn asset_price(&self, universe: &Universe, asset: AssetId) -> Result<Option<Money>, Overflow> {
        let Some(pricer) = universe.pricer(asset) else { return Ok(Some(Money::whole(1))) };
        self.last_mark(pricer).map(|mark| universe.get(pricer).price_amount(mark)).transpose()
    }

    /// What an amount of an instrument's base asset is worth at its last mark; none for something without a mark.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn worth(&self, universe: &Universe, at: InstrumentId, base: Money) -> Result<Option<Money>, Overflow> {
        if base == Money::ZERO {
            return Ok(Some(Money::ZERO));
        }
        self.last_mark(at).map(|mark| universe.get(at).value(base, mark)).transpose()
    }

    /// Σ balance × mark in the reporting currency; none while an asset that we own has no mark. Fees have left the balances already.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn equity(&self, universe: &Universe) -> Result<Option<Money>, Overflow> {
        let mut total = self.owned(Universe::REPORTING)?;
        for (at, instrument) in universe.instruments() {
            let owned = self.owned(instrument.base)?;
            if owned == Money::ZERO {
                continue;
            }
            let Some(mark) = self.last_mark(at) else { return Ok(None) };
            total = total.plus(instrument.value(owned, mark)?)?;
        }
        Ok(Some(total))
    }

    /// The sum over the accounts of an asset: zero, always.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn imbalance(&self, asset: AssetId) -> Result<Money, Overflow> {
        self.balances[usize::from(asset.0)].iter().try_fold(Money::ZERO, |sum, balance| sum.plus(*balance))
    }
}

#[cfg(test)]
mod tests;
