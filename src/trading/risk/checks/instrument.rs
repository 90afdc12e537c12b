//! Second: whether the order makes sense, and whether the venue's own filters take it.

use crate::instrument::steps;
use crate::number::{Price, Qty};
use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let (order, instrument) = (ask.order, ask.instrument);
    let invalid = |allowed, found| Err(Denial::new(Code::OrderInvalid, Figure::Words(allowed), Figure::Words(found)));
    if order.qty <= Qty::ZERO {
        return invalid("a quantity above zero", "zero or less");
    }
    let off = |price: Price| price <= Price(0) || price > instrument.max_price;
    if ask.limit.is_some_and(off) || order.kind.trigger().is_some_and(off) || ask.stop.is_some_and(off) {
        return invalid("prices above zero and up to the instrument's greatest", "another");
    }
    if order.kind.distance().is_some_and(|distance| distance <= 0 || distance > instrument.max_price.0) {
        return invalid("a distance above zero and up to the instrument's greatest price", "another");
    }
    if order.contradiction().is_some() {
        return invalid("a post-only or stop order that waits", "IOC or FOK");
    }
    if order.reduce_only && !ask.reducing {
        return invalid("a reduce-only order up to what is left of the position", "more than that");
    }
    if order.oco.is_some_and(|pair| ask.account.orders().legs(order, pair) >= 2) {
        return invalid("two legs of a one-cancels-the-other pair", "a third");
    }
    if order.qty > instrument.max_qty {
        return Err(Denial::new(Code::OrderInvalid, Figure::Lots(instrument.max_qty), Figure::Lots(order.qty)));
    }
    // What leaves too little for the venue is told apart: it is reported once and not tried again.
    let small = if ask.reducing { Code::Dust } else { Code::OrderInvalid };
    if order.qty < instrument.min_qty {
        return Err(Denial::new(small, Figure::Lots(instrument.min_qty), Figure::Lots(order.qty)));
    }
    // The venue judges a limit order by its own price.
    if let Some(price) = ask.limit.or(ask.worst)
        && steps(price, order.qty) < instrument.min_steps
    {
        let notional = instrument.notional(price, order.qty)?;
        return Err(Denial::new(small, Figure::Money(instrument.min_notional), Figure::Money(notional)));
    }
    Ok(())
}
