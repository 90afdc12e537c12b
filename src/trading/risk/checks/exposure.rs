//! Row 8: what the whole account would hold if any of its open orders filled, in money and as a part of equity.

use crate::number::Money;
use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let allowed = ask.thresholds.exposure;
    // An order adds its notional at most, so that where there is room for all of it nothing has to be weighed.
    let most = ask.account.gross().map(|gross| gross.plus(ask.notional()?).map_err(Denial::from)).transpose()?;
    if ask.thresholds.solvent && most.is_some_and(|most| most <= allowed) {
        return Ok(());
    }
    weigh(ask)
}

fn weigh(ask: &Ask<'_>) -> Result<(), Denial> {
    let gross = gross(ask)?;
    ask.solvent()?;
    let allowed = ask.thresholds.exposure;
    if gross > allowed {
        return Err(Denial::new(Code::Exposure, Figure::Money(allowed), Figure::Money(gross)));
    }
    Ok(())
}

/// The sum over instruments of the value furthest from flat that any subset of the open orders, this one among them, can lead to.
pub(in crate::risk) fn gross(ask: &Ask<'_>) -> Result<Money, Denial> {
    let gross = ask.account.gross_with(ask.order.instrument, ask.order.side, ask.notional()?)?;
    gross.ok_or_else(|| Denial::missing("a mark of everything held"))
}
