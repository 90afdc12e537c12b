//! What a strategy did lately, as far as limits count it.

use std::collections::VecDeque;

use super::limits::Limits;
use super::window::Window;
use crate::instrument::InstrumentId;
use crate::number::{HalfTicks, Money, Overflow, Price, Qty};
use crate::order::{Order, OrderKind, Side};
use crate::time::{NS_PER_MS, Time};

/// Row 6 looks at so many last orders; at ten orders a second that is more than any sensible window.
const REMEMBERED: usize = 1_024;

/// What makes two orders the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Likeness {
    instrument: InstrumentId,
    side: Side,
    qty: Qty,
    kind: OrderKind,
}

impl Likeness {
    pub(super) fn of(order: &Order) -> Likeness {
        Likeness { instrument: order.instrument, side: order.side, qty: order.qty, kind: order.kind }
    }

    /// The same apart from its price: row 5 counts how often a strategy does the same thing, and prices always differ a little.
    pub(super) fn repeats(&self, other: &Likeness) -> bool {
        (self.instrument, self.side, self.qty) == (other.instrument, other.side, other.qty)
            && std::mem::discriminant(&self.kind) == std::mem::discriminant(&other.kind)
    }
}

/// A day's sums.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Day {
    pub(super) turnover: Money,
    pub(super) fees: Money,
    pub(super) orders: u64,
    pub(super) cancels: u64,
}

/// Counters and windows of one strategy.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) orders: Window,
    pub(super) venue_orders: Option<Window>,
    pub(super) reducing_orders: Window,
    pub(super) cancels: Window,
    pub(super) errors: Option<Window>,
    pub(super) day: Day,
    recent: VecDeque<(Likeness, u64, Time)>,
    /// The highest number of an intent that passed: a higher one has not been seen, and is not looked for.
    highest_tag: Option<u64>,
    repeated: Option<(Likeness, Window)>,
    losses_in_a_row: u32,
    pub(super) paused_until: Option<Time>,
    /// Slippage of the last fills, in hundredths of a basis point, worse is more.
    slips: VecDeque<i64>,
    slips_wanted: usize,
}

impl History {
    pub(super) fn new(limits: &Limits) -> History {
        let slips_wanted = limits.slippage.map_or(0, |slippage| slippage.fills as usize);
        History {
            orders: Window::new(limits.orders),
            venue_orders: limits.venue_orders.map(Window::new),
            reducing_orders: Window::new(limits.orders),
            cancels: Window::new(limits.orders),
            errors: limits.errors.map(Window::new),
            day: Day::default(),
            recent: VecDeque::with_capacity(REMEMBERED),
            highest_tag: None,
            repeated: None,
            losses_in_a_row: 0,
            paused_until: None,
            slips: VecDeque::with_capacity(slips_wanted),
            slips_wanted,
        }
    }

    /// An order passed.
    pub(super) fn admitted(&mut self, now: Time, order: &Order, tag: u64, reducing: bool, limits: &Limits) {
        let like = Likeness::of(order);
        if let Some(window) = &mut self.venue_orders {
            window.push(now);
        }
        self.day.orders += 1;
        // What is older than the window is passed over when it is looked for: here it only makes room.
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((like, tag, now));
        self.highest_tag = self.highest_tag.max(Some(tag));
        if reducing {
            self.reducing_orders.push(now);
            return;
        }
        self.orders.push(now);
        if let Some(repeat) = limits.repeat {
            match &mut self.repeated {
                Some((last, window)) if last.repeats(&like) => window.push(now),
                Some(_) | None => {
                    let mut window = Window::new(repeat);
                    window.push(now);
                    self.repeated = Some((like, window));
                }
            }
        }
    }

    /// How long ago the same order with the same tag passed, if it did within the window.
    #[inline]
    pub(super) fn duplicate(&self, now: Time, order: &Order, tag: u64, window_ms: i64) -> Option<i64> {
        if self.highest_tag < Some(tag) {
            return None;
        }
        let like = Likeness::of(order);
        let window_ns = window_ms.saturating_mul(NS_PER_MS);
        let found = self.recent.iter().rev().find(|(seen, seen_tag, at)| *seen_tag == tag && *seen == like && now.since(*at) < window_ns);
        found.map(|(_, _, at)| now.since(*at) / NS_PER_MS)
    }

    /// How often in a row the same thing was done within the window.
    #[inline]
    pub(super) fn repeats(&self, now: Time, order: &Order) -> u64 {
        match &self.repeated {
            Some((last, window)) if last.repeats(&Likeness::of(order)) => window.count(now),
            Some(_) | None => 0,
        }
    }

    /// A round trip closed.
    pub(super) fn closed(&mut self, now: Time, profit: Money, limits: &Limits) {
        match profit.cmp(&Money::ZERO) {
            std::cmp::Ordering::Less => self.losses_in_a_row += 1,
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => self.losses_in_a_row = 0,
        }
        if let Some(streak) = limits.loss_streak.filter(|streak| self.losses_in_a_row >= streak.trades) {
            self.paused_until = Some(now.plus_ns(streak.pause_ms.saturating_mul(NS_PER_MS)));
            self.losses_in_a_row = 0;
        }
    }

    /// A fill against the mid of when its order was sent.
    pub(super) fn filled(&mut self, side: Side, price: Price, arrival: Option<HalfTicks>) -> Result<(), Overflow> {
        let Some(arrival) = arrival.filter(|arrival| arrival.0 > 0 && self.slips_wanted > 0) else { return Ok(()) };
        let moved = i128::from(price.0) * 2 - i128::from(arrival.0);
        let worse = match side {
            Side::Buy => moved,
            Side::Sell => -moved,
        };
        let slip = i64::try_from(worse * 1_000_000 / i128::from(arrival.0)).map_err(|_| Overflow)?;
        if self.slips.len() >= self.slips_wanted {
            self.slips.pop_front();
        }
        self.slips.push_back(slip);
        Ok(())
    }

    /// Sum and count of the last fills' slippage, hundredths of a basis point, once there are enough of them.
    #[inline]
    pub(super) fn slippage(&self) -> Option<(i128, i128)> {
        (self.slips_wanted > 0 && self.slips.len() >= self.slips_wanted)
            .then(|| (self.slips.iter().map(|slip| i128::from(*slip)).sum(), self.slips.len() as i128))
    }
}
