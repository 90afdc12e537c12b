//! Row 19: whether the instrument trades, and whether the venue is about to stop.

use crate::event::MarketStatus;
use crate::order::{OrderKind, TimeInForce};
use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};
use crate::time::NS_PER_MS;

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let Some(status) = ask.market.status else { return Err(Denial::missing("the instrument's status")) };
    let limit = matches!(ask.order.kind, OrderKind::Limit { .. });
    let rests = matches!((ask.order.kind, ask.order.tif), (OrderKind::Limit { post_only: true, .. }, TimeInForce::Gtc));
    let taken = match status {
        MarketStatus::Trading => true,
        MarketStatus::LimitOnly | MarketStatus::Auction => limit,
        MarketStatus::PostOnly => rests,
        MarketStatus::CancelOnly | MarketStatus::Halt | MarketStatus::Closed => false,
    };
    if !taken {
        return Err(Denial::new(Code::MarketStatus, Figure::Words("what the instrument's status takes"), Figure::Words(name(status))));
    }
    // A position may be closed up to the last moment.
    let Some(shutdown) = ask.inputs.shutdown_at.filter(|_| !ask.reducing) else { return Ok(()) };
    let left_ns = shutdown.since(ask.now);
    if left_ns > ask.limits.shutdown_lead_ms.saturating_mul(NS_PER_MS) {
        return Ok(());
    }
    Err(Denial::new(Code::ShutdownWindow, Figure::Ms(ask.limits.shutdown_lead_ms), Figure::Ms(left_ns / NS_PER_MS)))
}

fn name(status: MarketStatus) -> &'static str {
    match status {
        MarketStatus::Trading => "trading",
        MarketStatus::LimitOnly => "limit orders only",
        MarketStatus::PostOnly => "post-only",
        MarketStatus::CancelOnly => "cancels only",
        MarketStatus::Auction => "an auction",
        MarketStatus::Halt => "halted",
        MarketStatus::Closed => "closed",
    }
}
