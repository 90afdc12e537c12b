//! The last minute of an instrument, in seconds: mids, and our own fills by side.

use crate::number::{HalfTicks, Overflow, Price, Qty};
use crate::order::Side;
use crate::time::{NS_PER_SECOND, Time};

const SECONDS: usize = 60;

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Which second since 1970 it is; an older one in its place is out of the window.
    number: i64,
    mid: Option<HalfTicks>,
    bought: Traded,
    sold: Traded,
}

#[derive(Clone, Copy, Debug, Default)]
struct Traded {
    lots: i128,
    /// Σ price × quantity, half ticks × lots.
    sum: i128,
}

/// A rolling minute in fixed memory.
///
/// The last mid of each second counts once: a burst of quotes weighs no more than a quiet second.
#[derive(Clone, Debug)]
pub(crate) struct Minute {
    seconds: Box<[Second; SECONDS]>,
    /// When the last fill has left the window: most of the time it has, and nothing is to be summed.
    quiet_from: Time,
}

impl Default for Minute {
    fn default() -> Minute {
        Minute { seconds: Box::new([Second { number: i64::MIN, ..Second::default() }; SECONDS]), quiet_from: Time(i64::MIN) }
    }
}

impl Minute {
    fn second(&mut self, now: Time) -> &mut Second {
        let number = now.0.div_euclid(NS_PER_SECOND);
        let place = number.rem_euclid(SECONDS as i64) as usize;
        let second = &mut self.seconds[place];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        second
    }

    pub(super) fn see_mid(&mut self, now: Time, mid: HalfTicks) {
        self.second(now).mid = Some(mid);
    }

    pub(super) fn see_fill(&mut self, now: Time, side: Side, price: Price, qty: Qty) -> Result<(), Overflow> {
        self.quiet_from = now.plus_ns((SECONDS as i64 + 1) * NS_PER_SECOND);
        let second = self.second(now);
        let traded = match side {
            Side::Buy => &mut second.bought,
            Side::Sell => &mut second.sold,
        };
        // Two of the largest have no place: the product of one is all of 127 bits.
        let sum = (i128::from(price.0) * 2).checked_mul(i128::from(qty.0)).and_then(|value| traded.sum.checked_add(value));
        traded.sum = sum.ok_or(Overflow)?;
        traded.lots += i128::from(qty.0);
        Ok(())
    }

    fn window(&self, now: Time) -> impl Iterator<Item = &Second> {
        let number = now.0.div_euclid(NS_PER_SECOND);
        self.seconds.iter().filter(move |second| second.number > number - SECONDS as i64 && second.number <= number)
    }

    /// Sum and count of the mids.
    pub(crate) fn mids(&self, now: Time) -> (i128, i128) {
        self.window(now).filter_map(|second| second.mid).fold((0, 0), |(sum, count), mid| (sum + i128::from(mid.0), count + 1))
    }

    /// Whether it is known that nothing of ours was filled in the window.
    #[inline]
    pub(crate) fn is_quiet(&self, now: Time) -> bool {
        now >= self.quiet_from
    }

    /// Σ price × quantity in half ticks, and quantity, of our fills on a side.
    pub(crate) fn fills(&self, now: Time, side: Side) -> Result<(i128, i128), Overflow> {
        if self.is_quiet(now) {
            return Ok((0, 0));
        }
        self.window(now).try_fold((0_i128, 0), |(sum, lots), second| {
            let traded = match side {
                Side::Buy => &second.bought,
                Side::Sell => &second.sold,
            };
            Ok((sum.checked_add(traded.sum).ok_or(Overflow)?, lots + traded.lots))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_whose_sum_has_no_place_are_an_overflow() {
        let (price, qty) = (Price(i64::MAX), Qty(i64::MAX));
        for later_ns in [0, NS_PER_SECOND] {
            let mut minute = Minute::default();
            assert_eq!(minute.see_fill(Time(0), Side::Buy, price, qty), Ok(()));
            let second = minute.see_fill(Time(later_ns), Side::Buy, price, qty);
            assert_eq!(second.and_then(|()| minute.fills(Time(later_ns), Side::Buy)), Err(Overflow), "{later_ns} ns later");
        }
    }
}
