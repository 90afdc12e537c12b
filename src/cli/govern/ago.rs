//! Times as kubectl shows them: how long ago, or until when.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// How long ago this was, in at most two units: `5m`, `2d3h`.
pub(super) fn ago(time: Option<&Time>, now: Timestamp) -> String {
    time.map_or_else(|| "<unknown>".to_owned(), |Time(at)| span(now.duration_since(*at)))
}

/// How long it still is: `in 55m`, `expired 3m ago`.
pub(super) fn until(at: Timestamp, now: Timestamp) -> String {
    if at <= now { format!("expired {} ago", span(now.duration_since(at))) } else { format!("in {}", span(at.duration_since(now))) }
}

/// As kubectl does: precise while it is short, rough when it is long.
fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |big: i64, unit: &str, small: i64, of: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{of}") }
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200.. => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_those_of_kubectl() {
        for (seconds, shown) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (3_599, "59m"),
            (10_860, "3h1m"),
            (86_400, "24h"),
            (176_400, "2d1h"),
            (8_640_000, "100d"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn what_is_over_says_so() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap_or_default();
        assert_eq!(until(at(100), at(40)), "in 60s");
        assert_eq!(until(at(100), at(100)), "expired 0s ago");
        assert_eq!(ago(None, at(0)), "<unknown>");
        assert_eq!(ago(Some(&Time(at(0))), at(300)), "5m");
    }
}
