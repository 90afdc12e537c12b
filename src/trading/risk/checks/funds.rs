//! Last: what the order needs is ours and free, and its fee can be reckoned. Spot sells only what is owned.

use crate::instrument::FeeAsset;
use crate::number::Money;
use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let worst = ask.worst.ok_or_else(|| Denial::missing("a fresh reference price"))?;
    let (asset, need) = ask.account.need(ask.order, worst, ask.order.qty)?;
    let free = ask.account.free(asset);
    if need > free {
        return Err(Denial::new(Code::InsufficientBalance, Figure::Money(free), Figure::Money(need)));
    }
    // A fee in a third asset needs that asset's mark, and enough of it.
    let Some(mark) = ask.account.fee_mark(ask.instrument)? else { return Ok(()) };
    let mark = mark.filter(|mark| *mark > Money::ZERO).ok_or_else(|| Denial::missing("a mark of the asset that fees are paid in"))?;
    let FeeAsset::Third(asset) = ask.instrument.fees.asset else { return Ok(()) };
    let fee = ask.instrument.worst_fee(worst, ask.order.qty)?.bought_at(mark)?.rounded_up(8)?;
    let free = ask.account.free(asset);
    if fee > free {
        return Err(Denial::new(Code::InsufficientBalance, Figure::Money(free), Figure::Money(fee)));
    }
    Ok(())
}
