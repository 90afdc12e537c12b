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

    /// A recording as text: after a line `time,there_ns,back_ns`, a line for each time from which on it held, nanoseconds since 1970.
    ///
    /// # Errors
    /// The line, counted from one, and what is wrong with it.
    pub fn from_csv(text: &str) -> Result<Latency, (usize, String)> {
        let mut lines = text.lines().zip(1..);
        match lines.next() {
            Some(("time,there_ns,back_ns", _)) => {}
            found => return Err((1, format!("expected time,there_ns,back_ns, found {:?}", found.map_or("nothing", |(line, _)| line)))),
        }
        if !text.ends_with('\n') {
            return Err((text.lines().count(), "the last line does not end: it may have been cut".to_owned()));
        }
        let mut entries = Vec::new();
        for (line, number) in lines {
            let wrong = || (number, format!("expected three whole numbers, found {:?}", line.chars().take(60).collect::<String>()));
            let values: Vec<i64> = line.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
            let [time, there_ns, back_ns] = values[..] else { return Err(wrong()) };
            entries.push((Time(time), Delay { there_ns, back_ns }));
        }
        Latency::recorded(entries)
            .map_err(|place| (place + 2, "expected a time after the one before it, and no delay below zero".to_owned()))
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

    #[test]
    fn a_recording_that_is_not_one_is_refused_with_its_line() {
        let head = "time,there_ns,back_ns\n";
        let good = Latency::from_csv(&format!("{head}10,5,1\n20,7,1\n")).unwrap();
        assert_eq!([good.at(Time(19)).there_ns, good.at(Time(20)).there_ns], [5, 7]);
        for (text, line) in [
            ("", 1),
            ("10,5,1\n", 1),
            (head, 2),
            ("time,there_ns,back_ns\n10,5\n", 2),
            ("time,there_ns,back_ns\n10,5,1\n20,x,1\n", 3),
            ("time,there_ns,back_ns\n10,5,1\n10,7,1\n", 3),
            ("time,there_ns,back_ns\n10,5,1\n20,-7,1\n", 3),
            ("time,there_ns,back_ns\n10,5,1\n20,7,", 3),
            ("time,there_ns,back_ns\n10,5,99999999999999999999\n", 2),
        ] {
            assert_eq!(Latency::from_csv(text).map_err(|(line, _)| line), Err(line), "{text:?}");
        }
    }
}
