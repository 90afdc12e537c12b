//! Times as the data has them: nanoseconds since 1970 in UTC. Nothing here reads a clock.

use std::fmt;

use serde::{Serialize, Serializer};

/// Nanoseconds in a second.
pub const NS_PER_SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const NS_PER_MS: i64 = 1_000_000;
/// Nanoseconds in a day of UTC, which has no leap seconds.
pub const NS_PER_DAY: i64 = 86_400 * NS_PER_SECOND;

/// An instant, nanoseconds since 1970-01-01 00:00 UTC; good from 1678 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// A date of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: i64,
    /// Day of the month, from 1.
    pub day: i64,
}

impl Time {
    /// Days since 1970-01-01: the trading day that daily limits count by.
    #[inline]
    pub fn utc_day(self) -> i64 {
        self.0.div_euclid(NS_PER_DAY)
    }

    /// Later by so many nanoseconds; an instant past the end of the range stays at its end.
    #[inline]
    pub fn plus_ns(self, ns: i64) -> Time {
        Time(self.0.saturating_add(ns))
    }

    /// Nanoseconds from `earlier` to this; negative when it is later.
    #[inline]
    pub fn since(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The date.
    pub fn date(self) -> Date {
        Date::of_day(self.utc_day())
    }
}

impl Date {
    /// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
    pub fn day_number(self) -> i64 {
        let shifted = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// The date of a day number (same source, `civil_from_days`).
    pub fn of_day(number: i64) -> Date {
        let shifted = number + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Date { year, month, day: day_of_year - (153 * month_from_march + 2) / 5 + 1 }
    }

    /// Whether the calendar has it.
    pub fn exists(self) -> bool {
        (1..=12).contains(&self.month) && self.day >= 1 && Date::of_day(self.day_number()) == self
    }

    /// Midnight at its start.
    pub fn midnight(self) -> Time {
        Time(self.day_number().saturating_mul(NS_PER_DAY))
    }

    /// The first of the month so many months later.
    pub fn month_start(self, months_later: i64) -> Date {
        let months = self.year * 12 + self.month - 1 + months_later;
        Date { year: months.div_euclid(12), month: months.rem_euclid(12) + 1, day: 1 }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC, with as many decimals of a second as are needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_day = self.0.rem_euclid(NS_PER_DAY);
        let (seconds, ns) = (of_day / NS_PER_SECOND, of_day % NS_PER_SECOND);
        write!(f, "{}T{:02}:{:02}:{:02}", self.date(), seconds / 3_600, seconds / 60 % 60, seconds % 60)?;
        if ns != 0 {
            write!(f, ".{}", format!("{ns:09}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_of_known_days() {
        let cases = [(0, "1970-01-01"), (-1, "1969-12-31"), (11_016, "2000-02-29"), (12_649, "2004-08-19"), (19_782, "2024-02-29")];
        for (day, text) in cases {
            assert_eq!(Date::of_day(day).to_string(), text);
            assert_eq!(Date::of_day(day).day_number(), day);
        }
    }

    #[test]
    fn days_that_the_calendar_lacks_do_not_exist() {
        let exists = |year, month, day| Date { year, month, day }.exists();
        assert!(exists(2024, 2, 29) && exists(2023, 12, 31));
        assert!(!exists(2023, 2, 29) && !exists(2023, 13, 1) && !exists(2023, 0, 1) && !exists(2023, 4, 31) && !exists(2023, 4, 0));
    }

    #[test]
    fn a_month_ends_where_the_next_one_starts() {
        let december = Date { year: 2012, month: 12, day: 31 };
        assert_eq!(december.month_start(1).to_string(), "2013-01-01");
        assert_eq!(december.month_start(0).to_string(), "2012-12-01");
        assert_eq!(december.month_start(-12).to_string(), "2011-12-01");
    }

    #[test]
    fn times_print_in_utc_with_the_decimals_they_need() {
        assert_eq!(Time(1_723_161_253_937_085_768).to_string(), "2024-08-08T23:54:13.937085768Z");
        assert_eq!(Time(-NS_PER_SECOND).to_string(), "1969-12-31T23:59:59Z");
        assert_eq!(Time(1_500_000_000).to_string(), "1970-01-01T00:00:01.5Z");
    }

    proptest! {
        #[test]
        fn every_day_has_one_date(day in -100_000_i64..100_000) {
            let date = Date::of_day(day);
            prop_assert!(date.exists());
            prop_assert_eq!(date.day_number(), day);
        }
    }
}
