//! The account as the venue has it. While a word of a fill is on its way back, our own books do not know what it spent; the venue does, and
//! lends nothing.

use std::sync::Arc;

use crate::account::Account;
use crate::instrument::{AssetId, Fee, FeeAsset, Liquidity, Universe};
use crate::number::{Money, Overflow, Price, Qty};
use crate::order::{ClientId, Fill, Order, OrderEvent, OrderKind, Side};
use crate::venue::is_pair;

/// What is held for one order, from when it was sent.
#[derive(Debug)]
struct Hold {
    order: Order,
    worst_price: Price,
    left: Qty,
    asset: AssetId,
    amount: Money,
    /// Of the asset that fees are paid in, where that is a third one.
    fee: Option<(AssetId, Money)>,
    /// A stop that waits holds nothing: what protects a position does not lock it.
    waits: bool,
}

/// What is owned of each asset at the venue, and what is held of it for orders.
///
/// Guarantees: nothing that is owned ever falls below zero, however late our own books hear of it (`tests/funds.rs`).
#[derive(Debug)]
pub(crate) struct Funds {
    universe: Arc<Universe>,
    owned: Vec<Money>,
    holds: Vec<Hold>,
}

impl Funds {
    /// Those of an account that has no orders yet.
    pub(crate) fn of(account: &Account) -> Result<Funds, Overflow> {
        let universe = account.share_universe();
        let owned = universe.assets().map(|asset| account.ledger().owned(asset)).collect::<Result<_, _>>()?;
        Ok(Funds { universe, owned, holds: Vec::new() })
    }

    /// Holds what our own books set aside for an order, as far as it is there.
    pub(crate) fn sent(&mut self, account: &Account, order: &Order) -> Result<(), Overflow> {
        let Some(tracked) = account.order(order.id) else { return Ok(()) };
        let (asset, _) = account.need(order, tracked.worst_price, Qty::ZERO)?;
        let fee = match self.universe.get(order.instrument).fees.asset {
            FeeAsset::Third(asset) => Some((asset, tracked.reserved_fee.min(self.available(order, asset)?))),
            FeeAsset::Quote | FeeAsset::Base => None,
        };
        let amount = tracked.reserved.min(self.available(order, asset)?);
        let (worst_price, left, waits) = (tracked.worst_price, order.qty, order.kind.is_stop());
        self.holds.push(Hold { order: *order, worst_price, left, asset, amount, fee, waits });
        Ok(())
    }

    /// What an order may use of an asset: what is owned, less what is held for others. The other leg of its pair can fill only in its
    /// stead.
    fn available(&self, order: &Order, asset: AssetId) -> Result<Money, Overflow> {
        let of_others = self.holds.iter().filter(|hold| hold.order.id != order.id && !is_pair(&hold.order, order));
        let mut left = self.owned[usize::from(asset.0)];
        for hold in of_others.filter(|hold| !hold.waits) {
            if hold.asset == asset && !self.is_lesser_leg(hold) {
                left = left.minus(hold.amount)?;
            }
            if let Some((_, amount)) = hold.fee.filter(|(paid_in, _)| *paid_in == asset) {
                left = left.minus(amount)?;
            }
        }
        Ok(left.max(Money::ZERO))
    }

    /// Of two legs of a pair only the one that needs more is held for.
    fn is_lesser_leg(&self, hold: &Hold) -> bool {
        let more = |other: &&Hold| !other.waits && (other.amount, other.order.id) > (hold.amount, hold.order.id);
        hold.order.oco.is_some() && self.holds.iter().filter(more).any(|other| is_pair(&other.order, &hold.order))
    }

    /// The most of an order that can be paid for at a price, fees and all.
    pub(crate) fn affordable(&self, account: &Account, order: &Order, price: Price) -> Result<Qty, Overflow> {
        let (asset, _) = account.need(order, price, Qty::ZERO)?;
        let at_price = Order { kind: OrderKind::Market, ..*order };
        let most = account.lots_within(&at_price, price, self.available(order, asset)?, order.qty)?;
        let FeeAsset::Third(paid_in) = self.universe.get(order.instrument).fees.asset else { return Ok(most) };
        if order.side == Side::Sell {
            // Where the third asset does not pay, what the sale brings does.
            return Ok(most);
        }
        let available = self.available(order, paid_in)?;
        let pays = |lots: i64| Ok(account.fee_need(&at_price, price, Qty(lots))?.is_some_and(|(_, fee)| fee <= available));
        most_that(pays, most)
    }

    /// The fee of a trade. A sale whose third asset is too little pays in the quote asset, as venues take it.
    pub(crate) fn fee(&self, account: &Account, order: &Order, (price, qty): (Price, Qty), liquidity: Liquidity) -> Result<Fee, Overflow> {
        let instrument = self.universe.get(order.instrument);
        let mark = account.fee_mark(instrument)?.flatten();
        let fee = instrument.fee(price, qty, order.side, liquidity, mark)?;
        let third = fee.asset != instrument.quote && fee.asset != instrument.base;
        if third && order.side == Side::Sell && fee.amount > self.available(order, fee.asset)? {
            return Ok(Fee { asset: instrument.quote, amount: fee.in_quote, in_quote: fee.in_quote });
        }
        Ok(fee)
    }

    /// Takes in what the venue says, when it says it.
    pub(crate) fn said(&mut self, account: &Account, id: ClientId, event: &OrderEvent) -> Result<(), Overflow> {
        let Some(place) = self.holds.iter().position(|hold| hold.order.id == id) else { return Ok(()) };
        match event {
            OrderEvent::Accepted | OrderEvent::CancelRejected => return Ok(()),
            OrderEvent::Rejected(_) | OrderEvent::Cancelled | OrderEvent::Expired => {
                self.holds.remove(place);
                return Ok(());
            }
            OrderEvent::Triggered => self.holds[place].waits = false,
            OrderEvent::Reduced { to } => {
                let hold = &mut self.holds[place];
                hold.left = Qty(hold.left.0.min(to.0));
            }
            OrderEvent::Fill(fill) => {
                let order = self.holds[place].order;
                self.pay(&order, fill)?;
                self.holds[place].left = self.holds[place].left.minus(fill.qty)?;
            }
        }
        if self.holds[place].left <= Qty::ZERO {
            self.holds.remove(place);
            return Ok(());
        }
        self.hold(account, place)
    }

    fn pay(&mut self, order: &Order, fill: &Fill) -> Result<(), Overflow> {
        let instrument = self.universe.get(order.instrument);
        let (base, notional) = (instrument.base_amount(fill.qty)?, instrument.notional(fill.price, fill.qty)?);
        let (base_change, quote_change) = match order.side {
            Side::Buy => (base, notional.negated()?),
            Side::Sell => (base.negated()?, notional),
        };
        for (asset, change) in
            [(instrument.base, base_change), (instrument.quote, quote_change), (fill.fee.asset, fill.fee.amount.negated()?)]
        {
            let owned = &mut self.owned[usize::from(asset.0)];
            *owned = owned.plus(change)?;
        }
        Ok(())
    }

    /// Holds what is left needs, as far as it is there.
    fn hold(&mut self, account: &Account, place: usize) -> Result<(), Overflow> {
        let hold = &self.holds[place];
        let (asset, need) = account.need(&hold.order, hold.worst_price, hold.left)?;
        let amount = need.min(self.available(&hold.order, asset)?);
        let fee = match (hold.fee, account.fee_need(&hold.order, hold.worst_price, hold.left)?) {
            (Some((asset, held)), Some((_, need))) => Some((asset, need.min(held))),
            (held, _) => held,
        };
        let hold = &mut self.holds[place];
        (hold.amount, hold.fee) = (amount, fee);
        Ok(())
    }
}

/// The greatest number of lots up to `most` that fits, where fewer fit whenever more do.
fn most_that(fits: impl Fn(i64) -> Result<bool, Overflow>, most: Qty) -> Result<Qty, Overflow> {
    let (mut enough, mut too_many) = (0, most.0.saturating_add(1));
    if most <= Qty::ZERO || fits(most.0)? {
        return Ok(most);
    }
    while too_many - enough > 1 {
        let between = enough + (too_many - enough) / 2;
        if fits(between)? { enough = between } else { too_many = between }
    }
    Ok(Qty(enough))
}
