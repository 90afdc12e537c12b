//! Last: what the order needs is ours and free, and its fee can be reckoned. Spot sells only what is owned.

use crate::instrument::FeeAsset;
use crate::number::{Money, Overflow};
use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let worst = ask.worst.ok_or_else(|| Denial::missing("a fresh reference price"))?;
    let (asset, need) = ask.need.ok_or(Overflow)?;
    let free = ask.account.free(asset);
    if need > free {
        return Err(Denial::new(Code::InsufficientBalance, Figure::Money(free), Figure::Money(need)));
    }
    match ask.instrument.fees.asset {
        FeeAsset::Quote | FeeAsset::Base => return Ok(()),
        FeeAsset::Third(_) => {}
    }
    // A fee in a third asset needs that asset's mark, and enough of it.
    let Some(mark) = ask.account.fee_mark(ask.instrument)? else { return Ok(()) };
    let mark = mark.ok_or_else(|| Denial::missing("a mark of the asset that fees are paid in"))?;
    if mark <= Money::ZERO {
        return Err(Denial::missing("a mark of the asset that fees are paid in"));
    }
    let Some((fee_asset, fee)) = ask.account.fee_need(ask.order, worst, ask.order.qty)? else { return Ok(()) };
    // One amount of an asset is not set aside twice: what is sold does not pay its own fee.
    let of_both = if fee_asset == asset { fee.plus(need)? } else { fee };
    let free = ask.account.free(fee_asset);
    if of_both > free {
        return Err(Denial::new(Code::InsufficientBalance, Figure::Money(free), Figure::Money(of_both)));
    }
    Ok(())
}
