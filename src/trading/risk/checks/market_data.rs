//! Row 18: whether the market's data can be believed. Without it a reducing order still passes if it names its price.

use crate::account::BookState;
use crate::order::OrderKind;
use crate::risk::ask::Ask;
use crate::risk::{Code, Denial, Figure};

#[inline]
pub(super) fn judge(ask: &Ask<'_>) -> Result<(), Denial> {
    let believed = data(ask);
    let names_price = matches!(ask.order.kind, OrderKind::Limit { .. } | OrderKind::StopLimit { .. });
    if ask.reducing && names_price { Ok(()) } else { believed }
}

#[inline]
fn data(ask: &Ask<'_>) -> Result<(), Denial> {
    let words = |code, allowed, found| Err(Denial::new(code, Figure::Words(allowed), Figure::Words(found)));
    match ask.market.book() {
        BookState::Gap => return words(Code::StaleData, "a book in step with the venue", "updates are missing"),
        BookState::Crossed => return words(Code::BookCrossed, "a bid below the ask", "a crossed book"),
        BookState::Absent | BookState::Synced => {}
    }
    if ask.market.suspect().is_some() {
        return words(Code::PriceJump, "a price that the next one confirmed", "a jump");
    }
    // There is a reference exactly while something is fresh.
    if ask.reference.is_none_or(|reference| reference.0 <= 0) {
        return Err(Denial::new(Code::StaleData, Figure::Ms(ask.limits.data_age_ms), Figure::Words("nothing as fresh")));
    }
    let Some(limit) = ask.limits.max_spread_bps else { return Ok(()) };
    let Some(quote) = ask.market.fresh_quote(ask.now) else { return Ok(()) };
    // Spread over mid; both are twice themselves.
    let (spread, mid) = (2 * (i128::from(quote.ask.0) - i128::from(quote.bid.0)), i128::from(quote.ask.0) + i128::from(quote.bid.0));
    if spread * 10_000 <= mid * i128::from(limit) {
        return Ok(());
    }
    let found = i64::try_from(spread * 10_000 / mid.max(1)).unwrap_or(i64::MAX);
    Err(Denial::new(Code::PriceCollar, Figure::Bps(i64::from(limit)), Figure::Bps(found)))
}
