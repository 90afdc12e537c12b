//! When a request is sent again, and how long to wait before.
//!
//! The schedule is the one of the providers' own clients (0.5 s doubling to 8 s, `x-should-retry`, `retry-after-ms`, `retry-after`), with
//! full jitter in place of theirs: many runs meet the same overload at the same time and must not come back together
//! (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

use std::time::Duration;

use jiff::Timestamp;
use reeve_core::model::ModelFailure;
use reeve_core::redact::Redactor;
use reqwest::header::HeaderMap;
use tokio::time::Instant;

use crate::ModelError;

/// The longest wait before the first retry.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait of the schedule.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// The longest wait that a server may ask for; OpenAI's client draws the line here too.
pub(crate) const LONGEST_ASKED_WAIT: Duration = Duration::from_secs(120);

/// One attempt that failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) failure: ModelFailure,
    pub(crate) message: String,
    pub(crate) again: Again,
    /// It may have been answered, and charged, all the same.
    pub(crate) sent: bool,
}

/// Whether another attempt may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It would fail the same way.
    Never,
    /// After the wait of the schedule.
    Scheduled,
    /// After the wait that the server asked for.
    After(Duration),
}

impl Failed {
    /// A failure that another attempt would repeat.
    pub(crate) fn for_good(failure: ModelFailure, message: impl Into<String>) -> Failed {
        Failed { failure, message: message.into(), again: Again::Never, sent: false }
    }

    /// An answer, charged like any other, that cannot be read.
    pub(crate) fn unreadable(message: impl Into<String>) -> Failed {
        Failed { sent: true, ..Failed::for_good(ModelFailure::Garbled, message) }
    }

    /// Nobody knows whether there was an answer. Not tried again here: another attempt may be charged too, and that is for the budget to say.
    pub(crate) fn uncertain(message: impl Into<String>) -> Failed {
        Failed { sent: true, again: Again::Never, ..Failed::passing(message) }
    }

    /// A failure that may pass by itself.
    pub(crate) fn passing(message: impl Into<String>) -> Failed {
        Failed { failure: ModelFailure::Unavailable, message: message.into(), again: Again::Scheduled, sent: false }
    }

    /// The same without secrets in its text.
    pub(crate) fn redacted(self, redactor: &Redactor) -> Failed {
        Failed { message: redactor.text(&self.message), ..self }
    }

    fn after(self, attempts: u32, note: &str) -> ModelError {
        let times = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
        ModelError { failure: self.failure, message: format!("{} ({times}{note})", self.message), attempts, sent: self.sent }
    }
}

/// A wait anywhere between nothing and `ceiling`.
pub(crate) fn full_jitter(ceiling: Duration) -> Duration {
    ceiling.mul_f64(fastrand::f64())
}

/// Makes attempts until one succeeds, one fails for good, `max_retries` are used up, or the next would start at `deadline` or later.
/// Never sleeps past `deadline`. Also says how many attempts were made.
pub(crate) async fn with_retries<T, F, Attempt>(
    max_retries: u32,
    deadline: Instant,
    jitter: fn(Duration) -> Duration,
    mut attempt: F,
) -> Result<(T, u32), ModelError>
where
    F: FnMut() -> Attempt,
    Attempt: Future<Output = Result<T, Failed>>,
{
    if Instant::now() >= deadline {
        let message = "expected time left for a model request, found the deadline passed; nothing was sent".to_owned();
        return Err(ModelError { failure: ModelFailure::Unavailable, message, attempts: 0, sent: false });
    }
    let mut attempts = 0;
    loop {
        attempts += 1;
        let failed = match attempt().await {
            Ok(answer) => return Ok((answer, attempts)),
            Err(failed) => failed,
        };
        let wait = match failed.again {
            Again::Never => return Err(failed.after(attempts, "")),
            Again::Scheduled => jitter(ceiling(attempts)),
            Again::After(asked) => asked.min(LONGEST_ASKED_WAIT),
        };
        if attempts > max_retries {
            return Err(failed.after(attempts, ""));
        }
        if Instant::now().checked_add(wait).is_none_or(|start| start >= deadline) {
            return Err(failed.after(attempts, "; another would start past the deadline"));
        }
        tracing::warn!(failure = failed.failure.as_str(), reason = failed.message, attempts, wait = ?wait, "model request failed, trying again");
        tokio::time::sleep(wait).await;
    }
}

/// The longest wait of the schedule after this many attempts.
fn ceiling(attempts: u32) -> Duration {
    2u32.checked_pow(attempts.saturating_sub(1)).map_or(LONGEST_WAIT, |factor| FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT))
}

/// Whether the server said, in `x-should-retry`, that another attempt makes sense.
pub(crate) fn server_says_again(headers: &HeaderMap) -> Option<bool> {
    match header(headers, "x-should-retry")? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// The wait that the server asked for, at most [`LONGEST_ASKED_WAIT`]: `retry-after-ms`, else `retry-after` (RFC 9110, 10.2.3: seconds or
/// an HTTP date). A date is measured against the server's own `date`, so that clocks need not agree. What cannot be read is no wish.
pub(crate) fn asked_wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let in_ms = header(headers, "retry-after-ms").and_then(|text| seconds(text, 1_000.0));
    in_ms.or_else(|| {
        let text = header(headers, "retry-after")?;
        seconds(text, 1.0).or_else(|| {
            let until = http_date(text)?;
            let from = header(headers, "date").and_then(http_date).unwrap_or(now);
            let wait = until.duration_since(from);
            Some(Duration::try_from(wait).unwrap_or(Duration::ZERO).min(LONGEST_ASKED_WAIT))
        })
    })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn seconds(text: &str, units_per_second: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    Duration::try_from_secs_f64((number / units_per_second).min(LONGEST_ASKED_WAIT.as_secs_f64())).ok()
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::{Cell, RefCell};

    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn full(ceiling: Duration) -> Duration {
        ceiling
    }

    fn unavailable(again: Again) -> Failed {
        Failed { again, ..Failed::passing("down") }
    }

    /// Plays failures and then success; gives the result and when each attempt started, in virtual milliseconds.
    async fn play(failures: &[Again], max_retries: u32, deadline_ms: u64) -> (Result<(&'static str, u32), ModelError>, Vec<u128>) {
        let start = Instant::now();
        let starts = RefCell::new(Vec::new());
        let left = Cell::new(failures);
        let result = with_retries(max_retries, start + Duration::from_millis(deadline_ms), full, async || {
            starts.borrow_mut().push(start.elapsed().as_millis());
            match left.get().split_first() {
                Some((first, rest)) => {
                    left.set(rest);
                    Err(unavailable(*first))
                }
                None => Ok("answer"),
            }
        })
        .await;
        (result, starts.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_start_when_the_schedule_or_the_server_says() {
        use Again::{After, Never, Scheduled};
        let minute = |n: u64| After(Duration::from_secs(60 * n));
        let ample = 10_000_000;
        // Name, failures, retries, deadline in ms, succeeds at attempt, attempts start at ms.
        type Row<'a> = (&'a str, &'a [Again], u32, u64, Option<u32>, &'a [u128]);
        #[rustfmt::skip]
        let table: &[Row<'_>] = &[
            ("at once",            &[],                    2, ample,   Some(1), &[0]),
            ("doubling",           &[Scheduled; 6],        6, ample,   Some(7), &[0, 500, 1_500, 3_500, 7_500, 15_500, 23_500]),
            ("retries used up",    &[Scheduled; 3],        2, ample,   None,    &[0, 500, 1_500]),
            ("no retries",         &[Scheduled],           0, ample,   None,    &[0]),
            ("asked",              &[minute(1)],           2, ample,   Some(2), &[0, 60_000]),
            ("asked for too long", &[minute(60)],          2, ample,   Some(2), &[0, 120_000]),
            ("asked for nothing",  &[minute(0), Scheduled], 2, ample,  Some(3), &[0, 0, 1_000]),
            ("for good",           &[Scheduled, Never],    5, ample,   None,    &[0, 500]),
            ("past the deadline",  &[minute(1)],           2, 59_999,  None,    &[0]),
            ("at the deadline",    &[Scheduled],           2, 500,     None,    &[0]),
            ("before it",          &[Scheduled],           2, 501,     Some(2), &[0, 500]),
            ("passed already",     &[],                    2, 0,       None,    &[]),
        ];
        for (name, failures, max_retries, deadline_ms, succeeds_after, expected_starts) in table {
            let before = Instant::now();
            let (result, starts) = play(failures, *max_retries, *deadline_ms).await;
            assert_eq!(starts, *expected_starts, "{name}");
            assert!(before.elapsed().as_millis() <= u128::from(*deadline_ms), "{name}: slept past the deadline");
            match (result, succeeds_after) {
                (Ok(("answer", attempts)), Some(expected)) => assert_eq!(attempts, *expected, "{name}"),
                (Err(error), None) => assert_eq!(error.attempts as usize, expected_starts.len(), "{name}"),
                (other, _) => unreachable!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn jitter_is_full_and_never_more_than_the_ceiling() {
        let waits: Vec<Duration> = (0..1_000).map(|_| full_jitter(LONGEST_WAIT)).collect();
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT));
        assert!(waits.iter().any(|wait| *wait < LONGEST_WAIT / 4) && waits.iter().any(|wait| *wait > LONGEST_WAIT / 4 * 3));
    }

    #[test]
    fn what_the_server_asks_for_is_understood() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        type Row = (&'static [(&'static str, &'static str)], Option<u64>);
        let table: &[Row] = &[
            (&[], None),
            (&[("retry-after-ms", "250")], Some(250)),
            (&[("retry-after-ms", "1.5")], Some(1)),
            (&[("retry-after", "2")], Some(2_000)),
            (&[("retry-after", "0")], Some(0)),
            (&[("retry-after", "0.5")], Some(500)),
            (&[("retry-after", "9"), ("retry-after-ms", "30")], Some(30)),
            (&[("retry-after", "9"), ("retry-after-ms", "soon")], Some(9_000)),
            (&[("retry-after", "86400")], Some(120_000)),
            (&[("retry-after", "1e300")], Some(120_000)),
            (&[("retry-after", "inf")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "later")], None),
            (&[("retry-after", "Mon, 23 Nov 2026 10:00:07 GMT")], Some(7_000)),
            (&[("retry-after", "Mon, 23 Nov 2026 09:00:00 GMT")], Some(0)),
            (&[("retry-after", "Tue, 24 Nov 2026 10:00:00 GMT")], Some(120_000)),
            (&[("retry-after", "Mon, 23 Nov 2026 10:00:07 GMT"), ("date", "Mon, 23 Nov 2026 10:00:04 GMT")], Some(3_000)),
        ];
        for (headers, expected_ms) in table {
            let map: HeaderMap =
                headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
            let found = asked_wait(&map, now);
            assert_eq!(found.map(|wait| wait.as_millis() as u64), *expected_ms, "{headers:?}");
        }
    }
}
