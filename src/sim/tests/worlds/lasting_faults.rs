//! Every scenario with a kind of request that is refused for minutes, or for good: rights that were taken away, a webhook that takes
//! nothing, a server that is down. What is refused is told and tried again at a bounded pace, and when the cause is gone all ends well.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use reeve_sim::world::{Outcome, Refusal, Scenario, Setting};

use crate::common::{hold, play_one, sample, scenarios, side_by_side};
use crate::pardon::{differs, pardoned};

/// As in the crash matrix.
const QUIET_MS: u64 = 70_000;
/// How long it lasts: through the longest pause between two tries, and more than one of them.
const LASTS_MS: u64 = 120_000;
/// The most requests a minute about one thing while each is refused. Kill switches are listed every three seconds, on purpose, and two watches
/// of them each begin with seven tries in their first minute; whatever else backs off is below that.
const MOST_A_MINUTE: u64 = 34;
/// What a server says for long: a right is missing, nothing like this is taken, or it does not work.
const CODES: [u16; 3] = [403, 422, 500];

/// What stays so where an operator never hears of it, or never gets to its work (it asks for policy sets and budgets before it begins): what is
/// complained of then, and the kinds of which a request that is refused for good may bring that about, one with the verb where it takes that.
const NEVER: [(&str, &[&str]); 7] = [
    ("has no reason", &["policy", "budget", "kill", "profile", "provider", "run", "goal", "approval", "job", "configmap"]),
    ("has limits that are not in force", &["policy", "budget"]),
    ("is engaged, and the journal does not have it so", &["policy", "budget", "list kill"]),
    ("stops nothing any more, and the journal has it engaged", &["policy", "budget", "list kill"]),
    ("and its status does not show since when", &["policy", "budget", "list kill", "watch kill", "patch kill", "list run"]),
    ("is not posted; the last one is None", &["configmap"]),
    ("no key signs it", &["configmap"]),
];

/// One world of this lane.
struct Case<'a> {
    scenario: &'a Scenario,
    whole: &'a Outcome,
    refusal: Refusal,
}

/// Lines that an operator logged at WARN and above.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Plays a world, and hears what its operator logs.
fn heard(scenario: &Scenario, setting: &Setting) -> (Outcome, String) {
    let lines = Lines::default();
    let to = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false).without_time();
    let outcome = tracing::subscriber::with_default(subscriber.with_writer(move || to.clone()).finish(), || play_one(scenario, setting));
    let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (outcome, String::from_utf8_lossy(&bytes).into_owned())
}

fn setting(refusals: Vec<Refusal>) -> Setting {
    Setting { refusals, quiet_ms: QUIET_MS, ..Setting::of(1) }
}

/// Each kind of request of each scenario, each with one code and one beginning in turn; `REEVE_ALL`: with all.
fn cases<'a>(scenarios: &'a [Scenario], whole: &'a [Outcome], for_ms: Option<u64>) -> Vec<Case<'a>> {
    let all = std::env::var_os("REEVE_ALL").is_some();
    let mut cases = Vec::new();
    for (at, (scenario, whole)) in scenarios.iter().zip(whole).enumerate() {
        for (number, ((verb, kind), times)) in whole.asked.iter().enumerate() {
            let refusals = CODES.iter().flat_map(|code| [1, 2].map(|from| (*code, from))).filter(|(_, from)| from <= times);
            let refusals: Vec<(u16, u64)> = refusals.collect();
            let turn = (at + number) % refusals.len();
            let chosen = if all { &refusals[..] } else { &refusals[turn..=turn] };
            cases.extend(chosen.iter().map(|(code, from)| Case {
                scenario,
                whole,
                refusal: Refusal { verb: (*verb).to_owned(), kind: kind.clone(), code: *code, from: *from, for_ms },
            }));
        }
    }
    sample(cases)
}

/// What is wrong with a world in which something was refused for long, whatever became of it.
fn at_any_rate(outcome: &Outcome, log: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some((times, asked)) = outcome.busiest.as_ref().filter(|(times, _)| *times > MOST_A_MINUTE) {
        wrong.push(format!("{} {} was asked for {times} times within a minute", asked.verb, asked.place));
    }
    // A condition, a log line (each comes with its metric), or the end of a process that cannot start.
    let ends = || outcome.tale.iter().any(|line| line.starts_with("operator  ends"));
    if !outcome.struck.is_empty() && outcome.named.is_empty() && !log.contains("a simulated fault") && !ends() {
        wrong.push("what was refused is told nowhere".to_owned());
    }
    wrong
}

/// Whether this complaint is the text's own.
fn is_text(scenario: &Scenario, why: &str) -> bool {
    why.starts_with(&format!("{}:", scenario.name))
}

/// Objects that still say that something cannot be had, long after all can.
fn still_waiting(outcome: &Outcome) -> Vec<String> {
    let waits = |shown: &str| ["Unavailable", "Unreadable"].iter().any(|end| shown.ends_with(end)) && !shown.starts_with("Failed");
    outcome.end.iter().filter(|(_, shown)| waits(shown)).map(|(key, shown)| format!("{key} still shows {shown}")).collect()
}

#[test]
fn what_is_refused_for_minutes_is_told_and_ends_well() {
    let scenarios = scenarios();
    let whole = side_by_side(&scenarios, |scenario| play_one(scenario, &setting(Vec::new())));
    let cases = cases(&scenarios, &whole, Some(LASTS_MS));
    let wrong = side_by_side(&cases, |Case { scenario, whole, refusal }| {
        let (faulty, log) = heard(scenario, &setting(vec![refusal.clone()]));
        let mut wrong = at_any_rate(&faulty, &log);
        let mut found = pardoned(&scenario.name, &faulty);
        let all = found.len();
        // People come to what is over by then, or see what a status says in the meantime: there the text stops, and what it would have done next
        // is not done. What is there goes on all the same.
        found.retain(|why| !is_text(scenario, why));
        if found.len() == all {
            found.extend(differs(&faulty, whole));
        }
        found.extend(still_waiting(&faulty));
        wrong.extend(found);
        (!wrong.is_empty()).then(|| format!("{}, {refusal}: {wrong:#?}\n{}", scenario.name, faulty.tale.join("\n")))
    });
    hold("lasting faults", cases.len(), &wrong.into_iter().flatten().collect::<Vec<_>>());
}

#[test]
fn what_is_refused_for_good_is_told_and_repeats_nothing() {
    let scenarios = scenarios();
    let whole = side_by_side(&scenarios, |scenario| play_one(scenario, &setting(Vec::new())));
    let cases = cases(&scenarios, &whole, None);
    let wrong = side_by_side(&cases, |Case { scenario, refusal, .. }| {
        let (faulty, log) = heard(scenario, &setting(vec![refusal.clone()]));
        let mut wrong = at_any_rate(&faulty, &log);
        // What is never heard of, or cannot be written, shows nothing and is not in force. Nobody gets what the text waits for.
        let kind = refusal.kind.trim_end_matches("/status");
        let request = format!("{} {kind}", refusal.verb);
        let is_of = |kinds: &[&str]| kinds.contains(&kind) || kinds.contains(&request.as_str());
        let never = |why: &String| NEVER.iter().any(|(told, kinds)| why.ends_with(told) && is_of(kinds));
        wrong.extend(faulty.wrong.iter().filter(|why| !is_text(scenario, why) && !never(why)).cloned());
        (!wrong.is_empty()).then(|| format!("{}, {refusal}: {wrong:#?}\n{}", scenario.name, faulty.tale.join("\n")))
    });
    hold("faults for good", cases.len(), &wrong.into_iter().flatten().collect::<Vec<_>>());
}
