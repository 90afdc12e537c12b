//! Row 8: what the whole account would hold if any of its open orders filled, in money and as a part of equity.

use crate::number::{Money, Overflow};
use crate::order::Side;
use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let gross = gross(ask)?;
    if gross > ask.limits.max_gross_exposure {
        return Err(Denial::new(Code::Exposure, Figure::Money(ask.limits.max_gross_exposure), Figure::Money(gross)));
    }
    ask.equity()?;
    let allowed = ask.thresholds.leverage;
    if gross > allowed {
        return Err(Denial::new(Code::Exposure, Figure::Money(allowed), Figure::Money(gross)));
    }
    Ok(())
}

/// The sum over instruments of the value furthest from flat that any subset of the open orders, this one among them, can lead to.
pub(in crate::risk) fn gross(ask: &Ask<'_>) -> Result<Money, Denial> {
    let mut total = Money::ZERO;
    for (at, instrument) in ask.account.universe().instruments() {
        let position = ask.account.ledger().position(at).held();
        let held = match (position == Money::ZERO, ask.account.ledger().last_mark(at)) {
            (true, _) => Money::ZERO,
            (false, Some(mark)) => instrument.value(position, mark)?,
            (false, None) => return Err(Denial::missing("a mark of everything held")),
        };
        let open = ask.account.orders().exposure(at);
        let (mut buys, mut sells) = (open.buys.notional, open.sells.notional);
        if at == ask.order.instrument {
            match ask.order.side {
                Side::Buy => buys = buys.plus(ask.notional()?)?,
                Side::Sell => sells = sells.plus(ask.notional()?)?,
            }
        }
        total = total.plus(furthest(held, buys, sells)?)?;
    }
    Ok(total)
}

fn furthest(held: Money, buys: Money, sells: Money) -> Result<Money, Overflow> {
    Ok(held.plus(buys)?.max(sells.minus(held)?).max(Money::ZERO))
}
