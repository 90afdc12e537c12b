//! Conditions, written once: a transition time is kept where the status did not change, so that an unchanged object is not written again.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reeve_api::{Condition, ConditionStatus, ConditionType};

use crate::redact::Redactor;

/// What a condition shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Say {
    /// Which.
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, for a person.
    pub message: String,
}

impl Say {
    /// `Ready` with this status and reason.
    pub fn ready(status: ConditionStatus, reason: impl Into<String>, message: impl Into<String>) -> Say {
        Say { kind: ConditionType::Ready, status, reason: reason.into(), message: message.into() }
    }
}

/// The conditions after `say`. Order and times of what did not change are kept; no message holds a token of a shape that is known.
pub fn set(old: &[Condition], say: &[Say], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let (mut conditions, redactor) = (old.to_vec(), Redactor::default());
    for Say { kind, status, reason, message } in say {
        let at = old
            .iter()
            .find(|condition| condition.type_ == kind.as_str() && condition.status == status.as_str())
            .map_or_else(|| Time(whole_second(now)), |condition| condition.last_transition_time.clone());
        let new = status.condition(*kind, reason, &redactor.text(message), generation, at);
        match conditions.iter_mut().find(|condition| condition.type_ == new.type_) {
            Some(place) => *place = new,
            None => conditions.push(new),
        }
    }
    conditions
}

/// Kubernetes keeps times to the second; a finer one would read back different and be written for ever.
pub fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_shows_a_token() {
        let message = format!("the server said: bad key sk-{}", "x".repeat(30));
        let shown = set(&[], &[Say::ready(ConditionStatus::False, "Refused", message)], Some(1), at(10));
        assert_eq!(shown[0].message, "the server said: bad key [redacted]");
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_time_moves_only_with_the_status() {
        let first = set(&[], &[Say::ready(ConditionStatus::Unknown, "Running", "a")], Some(1), at(10));
        let same = set(&first, &[Say::ready(ConditionStatus::Unknown, "Running", "b")], Some(1), at(20));
        assert_eq!(same[0].last_transition_time, Time(at(10)));
        assert_eq!(same[0].message, "b");
        let moved = set(&same, &[Say::ready(ConditionStatus::True, "Finished", "c")], Some(1), at(30));
        assert_eq!(moved[0].last_transition_time, Time(at(30)));
        assert_eq!(moved.len(), 1);
    }
}
