//! What goes wrong in a world, as the lines of a scenario.

use std::fmt;

use super::{ApiFault, Counts, Crash, JournalFault, Lag, Phase, Plan, Point, Refusal, WatchFault};

/// One thing that goes wrong. Numbers count from where its line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator is killed.
    Crash(Crash),
    /// Caches are late.
    Lag(Lag),
    /// An event of a watch, by its number.
    Event(u64, WatchFault),
    /// An append, by its number.
    Append(u64, JournalFault),
    /// A request, by its number.
    Request(u64, ApiFault),
    /// Requests of a kind.
    Refusal(Refusal),
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Crash(crash) => crash.fmt(to),
            Fault::Lag(Lag { changes }) => write!(to, "cache lag {changes}"),
            Fault::Event(number, fault) => write!(to, "watch event {number} {}", fault.as_str()),
            Fault::Append(number, fault) => write!(to, "append {number} {fault}"),
            Fault::Request(number, fault) => write!(to, "request {number} {fault}"),
            Fault::Refusal(refusal) => refusal.fmt(to),
        }
    }
}

impl Fault {
    /// Reads a line. None: it is no fault's.
    ///
    /// # Errors
    /// What was expected there.
    pub(crate) fn parse(words: &[&str]) -> Option<Result<Fault, String>> {
        Some(match words {
            ["crash", phase, point, n] => crash(phase, point, n),
            ["cache", "lag", n] => number(n).map(|changes| Fault::Lag(Lag { changes })),
            ["watch", "event", n, fault] => {
                let known = WatchFault::ALL.into_iter().find(|known| known.as_str() == *fault);
                known.ok_or("expected dropped, twice, cut or older".to_owned()).and_then(|fault| Ok(Fault::Event(number(n)?, fault)))
            }
            ["append", n, fault @ ..] => append(fault).and_then(|fault| Ok(Fault::Append(number(n)?, fault))),
            ["request", n, fault] => {
                let known = ApiFault::parse(fault).ok_or("expected refused-CODE, gave-up, silent, cut or foreign".to_owned());
                known.and_then(|fault| Ok(Fault::Request(number(n)?, fault)))
            }
            ["refuse", verb, kind, code, rest @ ..] => refusal(verb, kind, code, rest).map(Fault::Refusal),
            _ => return None,
        })
    }
}

fn crash(phase: &str, point: &str, n: &str) -> Result<Fault, String> {
    let phase = Phase::ALL.into_iter().find(|known| known.as_str() == phase).ok_or("expected before, in or after")?;
    let point = Point::ALL.into_iter().find(|known| known.as_str() == point).ok_or("expected write, append or effect")?;
    Ok(Fault::Crash(Crash { point, number: number(n)?, phase }))
}

fn append(words: &[&str]) -> Result<JournalFault, String> {
    match words {
        ["refused"] => Ok(JournalFault::Refused),
        ["unheard"] => Ok(JournalFault::Unheard),
        ["refused", "for", time] => Ok(JournalFault::RefusedFor { ms: time_ms(time)? }),
        _ => Err("expected refused, refused for TIME, or unheard".to_owned()),
    }
}

fn refusal(verb: &str, kind: &str, code: &str, rest: &[&str]) -> Result<Refusal, String> {
    const VERBS: [&str; 8] = ["get", "list", "watch", "create", "replace", "patch", "probe", "delete"];
    if !VERBS.contains(&verb) {
        return Err(format!("expected one of {}", VERBS.join(", ")));
    }
    let code = code.parse().map_err(|_| format!("expected a code like 403, found {code:?}"))?;
    let mut refusal = Refusal { verb: verb.to_owned(), kind: kind.to_owned(), code, from: 1, for_ms: None };
    for pair in rest.chunks(2) {
        match pair {
            ["from", n] => refusal.from = number(n)?,
            ["for", time] => refusal.for_ms = Some(time_ms(time)?),
            _ => return Err("expected from N, for TIME".to_owned()),
        }
    }
    Ok(refusal)
}

impl Plan {
    /// This goes wrong too, counted from here on.
    pub(crate) fn add(&mut self, counts: &Counts, fault: Fault) {
        match fault {
            Fault::Crash(crash) => self.crashes.push(Crash { number: counts.of(crash.point) + crash.number, ..crash }),
            Fault::Lag(lag) => self.lag = lag,
            Fault::Event(number, fault) => self.events.push((counts.events + number, fault)),
            Fault::Append(number, fault) => self.journal.push((counts.appends + number, fault)),
            Fault::Request(number, fault) => self.requests.push((counts.requests + number, fault)),
            Fault::Refusal(refusal) => self.refusals.push(refusal.into()),
        }
    }
}

/// A count.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a number, found {text:?}"))
}

/// A time with its unit.
pub(crate) fn time_ms(text: &str) -> Result<u64, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let parsed = units.iter().find_map(|(unit, ms)| Some(text.strip_suffix(unit)?.parse::<u64>().ok()? * ms));
    parsed.ok_or_else(|| format!("expected a time like 30s, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        let mut faults = vec![
            Fault::Lag(Lag { changes: 3 }),
            Fault::Append(7, JournalFault::Refused),
            Fault::Append(7, JournalFault::Unheard),
            Fault::Append(7, JournalFault::RefusedFor { ms: 12_000 }),
        ];
        faults.extend(Point::ALL.into_iter().flat_map(|point| Phase::ALL.map(|phase| Fault::Crash(Crash { point, number: 3, phase }))));
        faults.extend(WatchFault::ALL.map(|fault| Fault::Event(2, fault)));
        faults.extend(ApiFault::ALL.map(|fault| Fault::Request(9, fault)));
        for (from, for_ms) in [(1, None), (3, None), (1, Some(120_000)), (3, Some(500))] {
            let (verb, kind) = ("patch".to_owned(), "run/status".to_owned());
            faults.push(Fault::Refusal(Refusal { verb, kind, code: 422, from, for_ms }));
        }
        for fault in faults {
            let text = fault.to_string();
            let words: Vec<&str> = text.split_whitespace().collect();
            assert_eq!(Fault::parse(&words), Some(Ok(fault)), "{text}");
        }
    }
}
