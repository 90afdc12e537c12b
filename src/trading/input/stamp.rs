//! Times as files write them.

use crate::time::{Date, NS_PER_DAY, NS_PER_SECOND, Time};

/// How a file writes its times. A file has one form from its first row to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `2004-08-19`.
    Date,
    /// `2017-04-19 09:00:00`, taken as UTC.
    Naive,
    /// With `Z` or an offset, seconds east of UTC.
    Offset(i64),
    /// An integer since 1970, of so many nanoseconds each.
    Epoch(i64),
}

impl Form {
    pub(super) fn name(self) -> String {
        match self {
            Form::Date => "a date".to_owned(),
            Form::Naive => "a time without a zone".to_owned(),
            Form::Offset(seconds) => format!("a time {seconds} seconds east of UTC"),
            Form::Epoch(unit) => format!("an integer of {unit} ns"),
        }
    }
}

/// A time and the form it is written in; none for what is neither a date, a time nor an integer since 1970.
pub(super) fn parse(text: &str) -> Option<(Time, Form)> {
    let bytes = text.as_bytes();
    if bytes.len() >= 9 && bytes.iter().all(u8::is_ascii_digit) {
        return epoch(text);
    }
    let day = date(bytes.get(..10)?)?;
    let Some(separator) = bytes.get(10) else { return Some((day, Form::Date)) };
    if !matches!(separator, b' ' | b'T') {
        return None;
    }
    let (clock, zone) = split_zone(bytes.get(11..)?)?;
    let time = day.0.checked_add(clock_ns(clock)?)?;
    match zone {
        None => Some((Time(time), Form::Naive)),
        Some(east) => Some((Time(time.checked_sub(east * NS_PER_SECOND)?), Form::Offset(east))),
    }
}

/// Seconds have ten digits from 2001 to 2286, milliseconds thirteen, and so on: the length says the unit.
fn epoch(text: &str) -> Option<(Time, Form)> {
    let unit = match text.len() {
        9 | 10 => NS_PER_SECOND,
        12 | 13 => 1_000_000,
        15 | 16 => 1_000,
        18 | 19 => 1,
        _ => return None,
    };
    let value: i64 = text.parse().ok()?;
    Some((Time(value.checked_mul(unit)?), Form::Epoch(unit)))
}

fn digits(bytes: &[u8]) -> Option<i64> {
    let all = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    all.then(|| bytes.iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0')))
}

fn date(bytes: &[u8]) -> Option<Time> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = bytes else { return None };
    let date = Date { year: digits(&[*y1, *y2, *y3, *y4])?, month: digits(&[*m1, *m2])?, day: digits(&[*d1, *d2])? };
    // Nanoseconds in 64 bits reach from 1678 to 2262.
    (date.exists() && (1678..2262).contains(&date.year)).then(|| date.midnight())
}

/// A clock without its zone, and the zone in seconds east of UTC.
fn split_zone(bytes: &[u8]) -> Option<(&[u8], Option<i64>)> {
    if let Some(clock) = bytes.strip_suffix(b"Z") {
        return Some((clock, Some(0)));
    }
    let Some(place) = bytes.iter().position(|byte| matches!(byte, b'+' | b'-')) else { return Some((bytes, None)) };
    let sign = if bytes[place] == b'-' { -1 } else { 1 };
    let (hours, minutes) = match &bytes[place + 1..] {
        [h1, h2] => ([*h1, *h2], [b'0', b'0']),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => ([*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let (hours, minutes) = (digits(&hours)?, digits(&minutes)?);
    (hours <= 14 && minutes < 60).then(|| (&bytes[..place], Some(sign * (hours * 3_600 + minutes * 60))))
}

fn clock_ns(clock: &[u8]) -> Option<i64> {
    let (hms, fraction) = match clock.iter().position(|byte| *byte == b'.') {
        Some(point) => (&clock[..point], Some(&clock[point + 1..])),
        None => (clock, None),
    };
    let (hours, minutes, seconds) = match hms {
        [h1, h2, b':', m1, m2] => ([*h1, *h2], [*m1, *m2], [b'0', b'0']),
        [h1, h2, b':', m1, m2, b':', s1, s2] => ([*h1, *h2], [*m1, *m2], [*s1, *s2]),
        _ => return None,
    };
    let (hours, minutes, seconds) = (digits(&hours)?, digits(&minutes)?, digits(&seconds)?);
    let within = hours < 24 && minutes < 60 && seconds < 60;
    let ns = match fraction {
        None => 0,
        Some(fraction) if fraction.len() <= 9 => digits(fraction)? * 10_i64.pow(9 - u32::try_from(fraction.len()).ok()?),
        Some(_) => return None,
    };
    let of_day = (hours * 3_600 + minutes * 60 + seconds) * NS_PER_SECOND + ns;
    (within && of_day < NS_PER_DAY).then_some(of_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_every_form_that_files_have() {
        let cases = [
            ("2004-08-19", "2004-08-19T00:00:00Z", Form::Date),
            ("2017-04-19 09:00:00", "2017-04-19T09:00:00Z", Form::Naive),
            ("2017-04-19T09:00", "2017-04-19T09:00:00Z", Form::Naive),
            ("2017-04-19T09:00:00.25Z", "2017-04-19T09:00:00.25Z", Form::Offset(0)),
            ("2017-04-19 09:00:00+02:00", "2017-04-19T07:00:00Z", Form::Offset(7_200)),
            ("2017-04-19 09:00:00-0530", "2017-04-19T14:30:00Z", Form::Offset(-19_800)),
            ("1723161253", "2024-08-08T23:54:13Z", Form::Epoch(1_000_000_000)),
            ("1723161253937", "2024-08-08T23:54:13.937Z", Form::Epoch(1_000_000)),
            ("1723161253937085768", "2024-08-08T23:54:13.937085768Z", Form::Epoch(1)),
        ];
        for (text, time, form) in cases {
            assert_eq!(parse(text).map(|(time, form)| (time.to_string(), form)), Some((time.to_owned(), form)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "x",
            "2004-02-30",
            "2004-8-19",
            "19.08.2004",
            "2004-08-19x",
            "2004-08-19 24:00",
            "2004-08-19 09:60",
            "2004-08-19 9:00",
            "2004-08-19 09:00:00.1234567890",
            "2004-08-19 09:00:00+15:00",
            "2004-08-19 09:00:00+1",
            "1500-01-01",
            "12345678901",
            "NaN",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
