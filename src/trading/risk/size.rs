//! Row 14: sizes as formulas, in integers, rounded down to a lot.

use super::ask::Ask;
use super::checks::worst_case;
use super::{Code, Denial, Figure};
use crate::intent::Size;
use crate::number::{Bps, Money, Price, Qty};

/// The quantity that a size asks for and, of it, what the limits leave. The order of `ask` has no quantity yet.
pub(super) fn quantity(ask: &Ask<'_>, size: Size) -> Result<(Qty, Qty), Denial> {
    let fraction = match size {
        Size::Lots(qty) => return Ok((qty, qty)),
        Size::RiskAtStop(part) => {
            let wanted = at_stop(ask, part)?;
            return Ok((wanted, wanted.min(left(ask)?)));
        }
        Size::Fraction(part) => i128::from(part.0),
        // Both measured over the same time, so their ratio is a fraction of equity; more than all of it is not spot.
        Size::VolatilityTarget { target, realised } if realised.0 > 0 => {
            (i128::from(target.0) * i128::from(Bps::ONE) / i128::from(realised.0)).min(i128::from(Bps::ONE))
        }
        Size::VolatilityTarget { .. } => return Err(Denial::missing("a realised volatility")),
        Size::Kelly { fraction, cap } => i128::from(fraction.min(cap).0),
    };
    let worst = ask.worst.ok_or_else(|| Denial::missing("a fresh reference price"))?;
    let wanted = ask.instrument.lots_within(ask.equity()?.share(fraction, i128::from(Bps::ONE))?, worst);
    Ok((wanted, wanted.min(left(ask)?)))
}

/// As many lots as lose a part of equity between the worst price and the stop.
fn at_stop(ask: &Ask<'_>, part: Bps) -> Result<Qty, Denial> {
    let worst = ask.worst.ok_or_else(|| Denial::missing("a fresh reference price"))?;
    let stop = ask.stop.ok_or_else(|| Denial::missing("a stop"))?;
    let distance = worst.0.checked_sub(stop.0).and_then(i64::checked_abs).filter(|distance| *distance > 0);
    let distance = distance.ok_or_else(|| Denial::missing("a stop away from the price"))?;
    Ok(ask.instrument.lots_within(ask.equity()?.share(i128::from(part.0), i128::from(Bps::ONE))?, Price(distance)))
}

/// What rows 1, 2, 7 and 8 and the balance leave.
fn left(ask: &Ask<'_>) -> Result<Qty, Denial> {
    let limits = ask.limits_of()?;
    let worst = ask.worst.ok_or_else(|| Denial::missing("a fresh reference price"))?;
    let taken = worst_case(ask)?;
    let position = Qty(limits.max_position.0.saturating_sub(taken.0).max(0));
    let by_money = |money: Money| ask.instrument.lots_within(money, worst);
    let position_money = Qty(by_money(ask.limits.max_position_notional).0.saturating_sub(taken.0).max(0));
    let gross = super::checks::gross(ask)?;
    let exposure = by_money(ask.thresholds.exposure.minus(gross)?);
    let funds = affordable(ask, worst)?;
    let bounds = [limits.max_order_qty, by_money(ask.limits.max_order_notional), position, position_money, exposure, funds];
    Ok(bounds.into_iter().min().unwrap_or(Qty::ZERO).max(Qty::ZERO))
}

/// What the free balance pays for, fees and all.
fn affordable(ask: &Ask<'_>, worst: Price) -> Result<Qty, Denial> {
    let (asset, _) = ask.account.need(ask.order, worst, Qty::ZERO)?;
    Ok(ask.account.lots_within(ask.order, worst, ask.account.free(asset), Qty(i64::MAX))?)
}

/// Nothing is left to size.
pub(super) fn nothing_left(wanted: Qty) -> Denial {
    Denial::new(Code::MaxPosition, Figure::Lots(Qty::ZERO), Figure::Lots(wanted))
}
