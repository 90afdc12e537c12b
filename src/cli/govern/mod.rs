//! What people do to what runs: approve, deny, raise, stop, release; and the look at who may.
//!
//! Nothing here decides. Each command asks the API server, whose admission policies hold whoever asks, and then waits until the operator has
//! said what came of it.

mod ago;
mod approvals;
mod approve;
mod budget;
mod doctor;
mod kill;
mod release;

use std::fmt::Debug;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::cluster::refused;
use crate::exit::Failure;

pub(crate) use approvals::{Approvals, is_open};
pub(crate) use approve::{Ballot, EXAMPLES_APPROVE, EXAMPLES_DENY};
pub(crate) use budget::Budget;
pub(crate) use doctor::Doctor;
pub(crate) use kill::Kill;
pub(crate) use release::Release;

/// Between two looks at an object while waiting: what a person sees as at once.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// For the operator to answer. It takes a second; the rest is for one that is restarted, or kills processes (five seconds).
const DEFAULT_WAIT: &str = "15s";

/// How long a command waits for the operator.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// How long to wait for the operator's answer, such as 30s or 2m; 0 does not wait
    #[arg(long, value_name = "DURATION", default_value = DEFAULT_WAIT, value_parser = duration)]
    timeout: Duration,
}

/// What a wait ended with.
#[derive(Debug)]
enum Waited<K> {
    /// What was waited for.
    Done(K),
    /// Time ran out; this is the last that was seen.
    Late(K),
    /// The object is gone, or another one has its name.
    Gone,
}

impl Wait {
    /// Looks at an object until `done` says so. The UID is that of the object that is meant.
    async fn until<K>(self, api: &Api<K>, object: &K, done: impl Fn(&K) -> bool) -> Result<Waited<K>, Failure>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let name = object.meta().name.clone().unwrap_or_default();
        let until = tokio::time::Instant::now() + self.timeout;
        loop {
            let found = api.get_opt(&name).await.map_err(refused(format!("waiting for {} {name}", K::kind(&()))))?;
            let Some(found) = found.filter(|found| found.meta().uid == object.meta().uid) else { return Ok(Waited::Gone) };
            if done(&found) {
                return Ok(Waited::Done(found));
            }
            if tokio::time::Instant::now() + LOOK_AGAIN > until {
                return Ok(Waited::Late(found));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn is_none(self) -> bool {
        self.timeout.is_zero()
    }

    /// `15 s`.
    fn shown(self) -> String {
        format!("{} s", self.timeout.as_secs())
    }
}

/// Seconds, with or without a unit: `90`, `90s`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit_seconds) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits.then(|| number.parse::<u32>().ok()).flatten().and_then(|number| number.checked_mul(unit_seconds));
    match seconds {
        Some(seconds) if seconds <= 3600 => Ok(Duration::from_secs(u64::from(seconds))),
        Some(_) | None => Err("expected seconds or minutes up to an hour, such as 15s or 2m".to_owned()),
    }
}

/// Who the API server says is asking: the only name under which a vote is let in.
pub(crate) async fn whoami(client: &Client) -> Result<String, Failure> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let review = review.map_err(refused("asking the API server who you are"))?;
    let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
    user.filter(|name| !name.is_empty()).ok_or_else(|| Failure::no("the API server does not say who you are: it gave no user name"))
}

/// Asks a person at a terminal. Without one nobody is asked, and the answer is yes: what must not be done so is refused before.
fn is_confirmed(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    let mut to = std::io::stderr().lock();
    write!(to, "{question} [y/N] ").and_then(|()| to.flush()).map_err(Failure::writing("to standard error"))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(Failure::reading("the answer"))?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Condition Ready, once the operator has set it.
fn ready(conditions: &[reeve_api::Condition]) -> Option<&reeve_api::Condition> {
    conditions.iter().find(|condition| condition.type_ == reeve_api::ConditionType::Ready.as_str())
}

/// How many of what: `1 run`, `2 runs`.
fn count(n: i64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_written_as_kubectl_has_it() {
        for (text, seconds) in [("15s", 15), ("90", 90), ("2m", 120), ("0", 0), ("60m", 3600)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "-1", "1h", "61m", "3601", "1.5s", "99999999999m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
