//! How long a wish takes to the venue, and a word back.

use crate::time::Time;

/// One way there and one way back, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// From us to the venue.
    pub there_ns: i64,
    /// From the venue to us.
    pub back_ns: i64,
}

/// A model of latency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Always the same.
    Fixed(Delay),
    /// As it was measured: from each time on, until the next. Before the first it is the first.
    Recorded(Vec<(Time, Delay)>),
}

impl Default for Latency {
    fn default() -> Latency {
        Latency::Fixed(Delay::default())
    }
}

impl Latency {
    /// A recording, in the order of its times.
    ///
    /// # Errors
    /// The place of the first entry that is not later than the one before it, or takes less than no time; zero for an empty recording.
    pub fn recorded(entries: Vec<(Time, Delay)>) -> Result<Latency, usize> {
        let late = entries.windows(2).position(|pair| matches!(pair, [before, after] if after.0 <= before.0)).map(|place| place + 1);
        let negative = entries.iter().position(|(_, delay)| delay.there_ns < 0 || delay.back_ns < 0);
        match (late.or(negative), entries.is_empty()) {
            (Some(place), _) => Err(place),
            (None, true) => Err(0),
            (None, false) => Ok(Latency::Recorded(entries)),
        }
    }

    /// The delay of what is sent at this time.
    pub fn at(&self, now: Time) -> Delay {
        match self {
            Latency::Fixed(delay) => *delay,
            Latency::Recorded(entries) => {
                let after = entries.partition_point(|(from, _)| *from <= now);
                entries.get(after.saturating_sub(1)).map(|(_, delay)| *delay).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_recording_holds_from_each_of_its_times_to_the_next() {
        let delay = |there_ns| Delay { there_ns, back_ns: 1 };
        let recorded = Latency::recorded(vec![(Time(10), delay(5)), (Time(20), delay(7))]).unwrap();
        let at: Vec<i64> = [0, 9, 10, 19, 20, 99].map(|time| recorded.at(Time(time)).there_ns).to_vec();
        assert_eq!(at, [5, 5, 5, 5, 7, 7]);
        assert_eq!(Latency::recorded(vec![(Time(10), delay(5)), (Time(10), delay(7))]), Err(1));
        assert_eq!(Latency::recorded(vec![(Time(10), delay(-5))]), Err(0));
        assert_eq!(Latency::recorded(Vec::new()), Err(0));
    }
}
